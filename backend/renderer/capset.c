/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The capsets: what the renderer has and the profile allows, and the static facts of this slice. */
#include <string.h>

#include "command.h"
#include "vgpu/virtio.h"

#define CAPSET_VENUS 4 /* in virtio_gpu.h of newer kernels */

bool capset_allowed(const Device *d, uint32_t id)
{
    switch (id) {
    case 0:
    case VIRTIO_GPU_CAPSET_VIRGL:
    case VIRTIO_GPU_CAPSET_VIRGL2:
        return d->options->gl;
    case CAPSET_VENUS:
        return d->options->vulkan;
    default:
        return true;
    }
}

/* The renderer's that are allowed, index 0 up; *count: how many there are when there is none of that index.
 */
static bool renderer_capset(Device *d, uint32_t index, uint32_t *count, uint32_t *id, uint32_t *version,
                            uint32_t *size)
{
    *count = 0;
    for (uint32_t i = 0; d->ops->capset_info(d->renderer, i, id, version, size); i++) {
        if (capset_allowed(d, *id) && (*count)++ == index) {
            return true;
        }
    }
    return false;
}

uint32_t capset_count(Device *d)
{
    uint32_t count, id, version, size;

    renderer_capset(d, UINT32_MAX, &count, &id, &version, &size);
    return count + 1;
}

/* The null renderer has 3D and no capset. */
bool capset_has_3d(Device *d)
{
    return d->options->gl || capset_count(d) > 1;
}

bool capset_info(Device *d, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size)
{
    uint32_t count;

    if (renderer_capset(d, index, &count, id, version, size)) {
        return true;
    }
    if (index == count) {
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
