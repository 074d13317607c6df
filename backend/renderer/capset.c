/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The capsets: what the renderer has, and the static facts of this slice. */
#include <string.h>

#include "command.h"
#include "vgpu/virtio.h"

bool capset_info(Device *d, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size)
{
    if (index < d->own_capsets) {
        return d->ops->capset_info(d->renderer, index, id, version, size);
    }
    if (index == d->own_capsets) {
        *id = VGPU_CAPSET_ID;
        *version = VGPU_CAPSET_VERSION;
        *size = sizeof(struct vgpu_capset);
        return true;
    }
    return false;
}

bool capset_fill(Device *d, uint32_t id, uint32_t version, void *data, uint32_t size)
{
    struct vgpu_capset caps = {
        .version = VGPU_CAPSET_VERSION,
        .size = sizeof(caps),
        .memory_limit = ledger_limit(&d->ledger),
        .max_contexts = (uint32_t)d->options->max_contexts,
        .max_outputs = (uint32_t)d->options->max_outputs,
    };

    if (id != VGPU_CAPSET_ID) {
        return d->ops->capset(d->renderer, id, version, data, size);
    }
    if (size != sizeof(caps)) {
        return false;
    }
    g_strlcpy(caps.profile, d->options->profile, sizeof(caps.profile));
    g_strlcpy(caps.gpu, d->options->gpu, sizeof(caps.gpu));
    g_strlcpy(caps.renderer, d->ops->description(d->renderer), sizeof(caps.renderer));
    g_strlcpy(caps.host_version, VGPU_VERSION, sizeof(caps.host_version));
    memcpy(data, &caps, sizeof(caps));
    return true;
}
