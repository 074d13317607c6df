/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The capsets: what the renderer has and the profile allows, and the static facts of this slice. */
#include <string.h>

#include "command.h"
#include "late.h"
#include "vgpu/virtio.h"

#define CAPSET_VENUS 4 /* in virtio_gpu.h of newer kernels */

uint32_t capset_api(uint32_t id)
{
    switch (id) {
    case VIRTIO_GPU_CAPSET_VIRGL:
    case VIRTIO_GPU_CAPSET_VIRGL2:
        return VGPU_API_GL;
    case CAPSET_VENUS:
        return VGPU_API_VULKAN;
    default:
        return 0;
    }
}

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
    for (uint32_t i = 0; late_capset_info(d, i, id, version, size); i++) {
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

/* VGPU_API_*: of which there are capsets. */
static uint32_t capset_apis(Device *d)
{
    uint32_t apis = 0, count, id, version, size;

    for (uint32_t i = 0; renderer_capset(d, i, &count, &id, &version, &size); i++) {
        apis |= capset_api(id);
    }
    return apis;
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

/* As vgpud has it now; the option is what it was when we were started. */
static void capset_profile(Device *d, char profile[64])
{
    const struct vgpu_stats *page = d->stats;

    for (unsigned tries = 0; tries < 1000; tries++) {
        uint64_t serial = __atomic_load_n(&page->profile_serial, __ATOMIC_ACQUIRE);

        memcpy(profile, page->profile, sizeof(page->profile));
        profile[sizeof(page->profile) - 1] = 0;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(serial & 1) && __atomic_load_n(&page->profile_serial, __ATOMIC_RELAXED) == serial) {
            break;
        }
    }
    if (!*profile) { /* a page that no vgpud writes */
        g_strlcpy(profile, d->options->profile, sizeof(page->profile));
    }
}

bool capset_fill(Device *d, uint32_t id, uint32_t version, void *data, uint32_t size)
{
    struct vgpu_capset caps = {
        .version = VGPU_CAPSET_VERSION,
        .size = sizeof(caps),
        .memory_limit = ledger_limit(&d->ledger),
        .max_contexts = (uint32_t)d->options->max_contexts,
        .max_outputs = (uint32_t)d->options->max_outputs,
        .apis = capset_apis(d),
    };

    if (id != VGPU_CAPSET_ID) {
        late_start(d);
        return d->ops->capset(d->renderer, id, version, data, size);
    }
    if (size != sizeof(caps)) {
        return false;
    }
    capset_profile(d, caps.profile);
    g_strlcpy(caps.gpu, d->options->gpu, sizeof(caps.gpu));
    g_strlcpy(caps.renderer, late_description(d), sizeof(caps.renderer));
    if (late_gl_version(d)) {
        g_strlcpy(caps.gl_version, late_gl_version(d), sizeof(caps.gl_version));
    }
    g_strlcpy(caps.host_version, VGPU_VERSION, sizeof(caps.host_version));
    memcpy(data, &caps, sizeof(caps));
    return true;
}
