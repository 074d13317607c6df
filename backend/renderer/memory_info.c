/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The layouts below are facts of virglrenderer's guest interface (virgl_hw.h,
 * virgl_protocol.h), which only ever grows at the end.  virglrenderer 1.1 would
 * answer with the host's own figures, and on a host without GL_NVX_gpu_memory_info
 * or GL_ATI_meminfo not at all.
 */
#include "memory_info.h"

#include <string.h>
#include <strings.h>

#include "../quota/virgl.h"

#define FORMAT_MASK_DWORDS 16

/* struct virgl_caps_v2 up to what we need, in dwords. */
struct caps_v2_prefix {
    uint32_t max_version;
    uint32_t v1_formats[4 * FORMAT_MASK_DWORDS]; /* sampler, render, depth-stencil, vertex */
    uint32_t v1_bits;
    uint32_t v1_limits[11];       /* glsl_level to max_texture_gather_components */
    uint32_t points_and_lines[9]; /* floats, with the LOD bias */
    uint32_t vertex_limits[5];    /* max_geom_output_vertices to max_shader_patch_varyings */
    uint32_t texel_offsets[4];
    uint32_t alignments[3];
    uint32_t capability_bits;
    uint32_t sample_locations[8];
    uint32_t shader_limits[8]; /* max_vertex_attrib_stride to max_compute_shared_memory_size */
    uint32_t compute_grid[6];
    uint32_t texture_sizes[3];
    uint32_t max_combined_shader_buffers;
    uint32_t atomics[14];
    uint32_t host_feature_check_version;
    uint32_t readback_formats[FORMAT_MASK_DWORDS];
    uint32_t scanout_formats[FORMAT_MASK_DWORDS];
    uint32_t capability_bits_v2;
    uint32_t max_video_memory; /* MiB */
    char renderer[64];         /* GL_RENDERER of the host, cut */
};

_Static_assert(offsetof(struct caps_v2_prefix, points_and_lines) == 308, "size of struct virgl_caps_v1");
_Static_assert(offsetof(struct caps_v2_prefix, capability_bits) == 392, "virgl_hw.h");
_Static_assert(offsetof(struct caps_v2_prefix, host_feature_check_version) == 556, "virgl_hw.h");
_Static_assert(offsetof(struct caps_v2_prefix, capability_bits_v2) == 688, "virgl_hw.h");
_Static_assert(offsetof(struct caps_v2_prefix, max_video_memory) == 692, "virgl_hw.h");

#define CAP_BUFFER_STORAGE  (1u << 31) /* buffers of the host's mapped into the guest */
#define CAP_V2_VIDEO_MEMORY (1u << 2)
#define CAP_V2_MEMINFO      (1u << 3)

static uint32_t to_u32(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

bool memory_info_patch_caps(void *caps, size_t size, const char *host_renderer, uint64_t limit)
{
    struct caps_v2_prefix prefix;
    size_t known = strnlen(host_renderer, sizeof(prefix.renderer) / 2);

    if (size < sizeof(prefix)) {
        return false;
    }
    memcpy(&prefix, caps, sizeof(prefix));
    /* The string right behind our fields (llvmpipe in capitals there): they lie where we think. */
    if (known == 0 || strncasecmp(prefix.renderer, host_renderer, known) != 0) {
        return false;
    }
    prefix.capability_bits &= ~CAP_BUFFER_STORAGE; /* no descriptor leads to them: see virgl_blob.c */
    prefix.capability_bits_v2 |= CAP_V2_VIDEO_MEMORY | CAP_V2_MEMINFO;
    prefix.max_video_memory = to_u32(limit >> 20);
    memcpy(caps, &prefix, sizeof(prefix));
    return true;
}

static bool write_iov(const struct iovec *iov, uint32_t count, const void *data, size_t size)
{
    const char *from = data;

    for (uint32_t i = 0; i < count && size > 0; i++) {
        size_t n = iov[i].iov_len < size ? iov[i].iov_len : size;

        memcpy(iov[i].iov_base, from, n);
        from += n;
        size -= n;
    }
    return size == 0;
}

bool memory_info_write(const Ledger *ledger, const struct iovec *iov, uint32_t count)
{
    /* Guest pages are no part of the slice, and nothing is ever evicted from it. */
    struct virgl_memory_info info = {
        .total_device_memory = to_u32(ledger_limit(ledger) >> 10),
        .avail_device_memory = to_u32(ledger_free(ledger) >> 10),
    };
    size_t room = 0;

    for (uint32_t i = 0; i < count && room < sizeof(info); i++) {
        room += iov[i].iov_len;
    }
    return room >= sizeof(info) && write_iov(iov, count, &info, sizeof(info));
}
