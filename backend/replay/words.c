/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "words.h"

#include <inttypes.h>
#include <linux/virtio_gpu.h>
#include <stdio.h>
#include <string.h>

#include "../quota/virgl.h"

static const struct {
    uint32_t type;
    const char *name;
} commands[] = {
#define NAME(type) { VIRTIO_GPU_CMD_##type, #type }
    NAME(GET_DISPLAY_INFO),
    NAME(RESOURCE_CREATE_2D),
    NAME(RESOURCE_UNREF),
    NAME(SET_SCANOUT),
    NAME(RESOURCE_FLUSH),
    NAME(TRANSFER_TO_HOST_2D),
    NAME(RESOURCE_ATTACH_BACKING),
    NAME(RESOURCE_DETACH_BACKING),
    NAME(GET_CAPSET_INFO),
    NAME(GET_CAPSET),
    NAME(GET_EDID),
    NAME(RESOURCE_ASSIGN_UUID),
    NAME(RESOURCE_CREATE_BLOB),
    NAME(SET_SCANOUT_BLOB),
    NAME(CTX_CREATE),
    NAME(CTX_DESTROY),
    NAME(CTX_ATTACH_RESOURCE),
    NAME(CTX_DETACH_RESOURCE),
    NAME(RESOURCE_CREATE_3D),
    NAME(TRANSFER_TO_HOST_3D),
    NAME(TRANSFER_FROM_HOST_3D),
    NAME(SUBMIT_3D),
    NAME(RESOURCE_MAP_BLOB),
    NAME(RESOURCE_UNMAP_BLOB),
    NAME(UPDATE_CURSOR),
    NAME(MOVE_CURSOR),
#undef NAME
};

static const char *const opcodes[VIRGL_MAX_COMMANDS] = {
#define NAME(opcode) [VIRGL_CCMD_##opcode] = #opcode
    NAME(NOP),
    NAME(CREATE_OBJECT),
    NAME(BIND_OBJECT),
    NAME(DESTROY_OBJECT),
    NAME(SET_VIEWPORT_STATE),
    NAME(SET_FRAMEBUFFER_STATE),
    NAME(SET_VERTEX_BUFFERS),
    NAME(CLEAR),
    NAME(DRAW_VBO),
    NAME(RESOURCE_INLINE_WRITE),
    NAME(SET_SAMPLER_VIEWS),
    NAME(SET_INDEX_BUFFER),
    NAME(SET_CONSTANT_BUFFER),
    NAME(SET_STENCIL_REF),
    NAME(SET_BLEND_COLOR),
    NAME(SET_SCISSOR_STATE),
    NAME(BLIT),
    NAME(RESOURCE_COPY_REGION),
    NAME(BIND_SAMPLER_STATES),
    NAME(BEGIN_QUERY),
    NAME(END_QUERY),
    NAME(GET_QUERY_RESULT),
    NAME(SET_POLYGON_STIPPLE),
    NAME(SET_CLIP_STATE),
    NAME(SET_SAMPLE_MASK),
    NAME(SET_STREAMOUT_TARGETS),
    NAME(SET_RENDER_CONDITION),
    NAME(SET_UNIFORM_BUFFER),
    NAME(SET_SUB_CTX),
    NAME(CREATE_SUB_CTX),
    NAME(DESTROY_SUB_CTX),
    NAME(BIND_SHADER),
    NAME(SET_TESS_STATE),
    NAME(SET_MIN_SAMPLES),
    NAME(SET_SHADER_BUFFERS),
    NAME(SET_SHADER_IMAGES),
    NAME(MEMORY_BARRIER),
    NAME(LAUNCH_GRID),
    NAME(SET_FRAMEBUFFER_STATE_NO_ATTACH),
    NAME(TEXTURE_BARRIER),
    NAME(SET_ATOMIC_BUFFERS),
    NAME(SET_DEBUG_FLAGS),
    NAME(GET_QUERY_RESULT_QBO),
    NAME(TRANSFER3D),
    NAME(END_TRANSFERS),
    NAME(COPY_TRANSFER3D),
    NAME(SET_TWEAKS),
    NAME(CLEAR_TEXTURE),
    NAME(PIPE_RESOURCE_CREATE),
    NAME(PIPE_RESOURCE_SET_TYPE),
    NAME(GET_MEMORY_INFO),
    NAME(SEND_STRING_MARKER),
    NAME(LINK_SHADER),
    NAME(CREATE_VIDEO_CODEC),
    NAME(DESTROY_VIDEO_CODEC),
    NAME(CREATE_VIDEO_BUFFER),
    NAME(DESTROY_VIDEO_BUFFER),
    NAME(BEGIN_FRAME),
    NAME(DECODE_MACROBLOCK),
    NAME(DECODE_BITSTREAM),
    NAME(ENCODE_BITSTREAM),
    NAME(END_FRAME),
    NAME(CLEAR_SURFACE),
#undef NAME
};

typedef struct Count {
    const char *name;
    uint64_t n, bytes;
} Count;

/* What a request's struct says, as far as it is there: a recording may be anybody's. */
#define AS(type, var, data, size)                                                                            \
    struct type var;                                                                                         \
    memset(&var, 0, sizeof(var));                                                                            \
    memcpy(&var, data, MIN(sizeof(var), size))

/* Its place in the table, or the one behind it. */
static unsigned command_index(uint32_t type)
{
    unsigned i = 0;

    while (i < G_N_ELEMENTS(commands) && commands[i].type != type) {
        i++;
    }
    return i;
}

static const char *command_name(unsigned index)
{
    return index < G_N_ELEMENTS(commands) ? commands[index].name : "unknown";
}

static void print_box(const struct virtio_gpu_box *b)
{
    printf(" %ux%ux%u at %u,%u,%u", b->w, b->h, b->d, b->x, b->y, b->z);
}

static void print_rect(const struct virtio_gpu_rect *r)
{
    printf(" %ux%u at %u,%u", r->width, r->height, r->x, r->y);
}

static void print_details(const RecordingEntry *e, uint32_t type)
{
    switch (type) {
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_2D: {
        AS(virtio_gpu_resource_create_2d, c, e->data, e->size);
        printf(" resource %u, %ux%u, format %u", c.resource_id, c.width, c.height, c.format);
        break;
    }
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_3D: {
        AS(virtio_gpu_resource_create_3d, c, e->data, e->size);
        printf(" resource %u, target %u, %ux%ux%u, format %u, bind 0x%x", c.resource_id, c.target, c.width,
               c.height, c.depth, c.format, c.bind);
        break;
    }
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB: {
        AS(virtio_gpu_resource_create_blob, c, e->data, e->size);
        printf(" resource %u, %" PRIu64 " bytes, memory %u", c.resource_id, (uint64_t)c.size, c.blob_mem);
        break;
    }
    case VIRTIO_GPU_CMD_SET_SCANOUT: {
        AS(virtio_gpu_set_scanout, c, e->data, e->size);
        printf(" scanout %u, resource %u,", c.scanout_id, c.resource_id);
        print_rect(&c.r);
        break;
    }
    case VIRTIO_GPU_CMD_RESOURCE_FLUSH: {
        AS(virtio_gpu_resource_flush, c, e->data, e->size);
        printf(" resource %u,", c.resource_id);
        print_rect(&c.r);
        break;
    }
    case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D: {
        AS(virtio_gpu_transfer_to_host_2d, c, e->data, e->size);
        printf(" resource %u,", c.resource_id);
        print_rect(&c.r);
        break;
    }
    case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D:
    case VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D: {
        AS(virtio_gpu_transfer_host_3d, c, e->data, e->size);
        printf(" resource %u, level %u,", c.resource_id, c.level);
        print_box(&c.box);
        break;
    }
    case VIRTIO_GPU_CMD_CTX_CREATE: {
        AS(virtio_gpu_ctx_create, c, e->data, e->size);
        printf(" '%.*s', capset %u", (int)MIN(c.nlen, sizeof(c.debug_name)), c.debug_name,
               c.context_init & 0xff);
        break;
    }
    case VIRTIO_GPU_CMD_SUBMIT_3D: {
        AS(virtio_gpu_cmd_submit, c, e->data, e->size);
        printf(" %u bytes", c.size);
        break;
    }
    case VIRTIO_GPU_CMD_RESOURCE_UNREF:
    case VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING:
    case VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE:
    case VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE: {
        AS(virtio_gpu_resource_unref, c, e->data, e->size);
        printf(" resource %u", c.resource_id);
        break;
    }
    case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING: {
        AS(virtio_gpu_resource_attach_backing, c, e->data, e->size);
        printf(" resource %u, %" PRIu64 " bytes", c.resource_id, e->command.backing_size);
        break;
    }
    default:
        break;
    }
}

static void print_stream(const RecordingEntry *e, Count *counts, bool lines)
{
    const uint8_t *data = e->data + sizeof(struct virtio_gpu_cmd_submit);
    uint32_t count, at = 0;

    if (e->size < sizeof(struct virtio_gpu_cmd_submit)) {
        return;
    }
    count = (e->size - (uint32_t)sizeof(struct virtio_gpu_cmd_submit)) / 4;
    while (at < count) {
        uint32_t header, length, opcode;

        memcpy(&header, data + (size_t)at * 4, 4);
        length = VIRGL_CMD_LENGTH(header);
        opcode = VIRGL_CMD_OPCODE(header);
        if (opcode < VIRGL_MAX_COMMANDS) {
            counts[opcode].name = opcodes[opcode];
            counts[opcode].n++;
            counts[opcode].bytes += 4 + 4 * (uint64_t)length;
        }
        if (lines) {
            const char *name = opcode < VIRGL_MAX_COMMANDS ? opcodes[opcode] : NULL;

            printf("%17s %s, %u words%s\n", "", name ? name : "unknown", length,
                   length >= count - at ? ", of which the stream lacks some" : "");
        }
        at += 1 + MIN(length, count - at);
    }
}

static int by_bytes(const void *a, const void *b)
{
    const Count *x = a, *y = b;

    return x->bytes == y->bytes ? (x->n < y->n) - (x->n > y->n)
                                : (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void print_counts(const char *title, Count *counts, unsigned n)
{
    printf("\n%-28s %10s %12s\n", title, "times", "bytes");
    qsort(counts, n, sizeof(*counts), by_bytes);
    for (unsigned i = 0; i < n; i++) {
        if (counts[i].n) {
            printf("%-28s %10" PRIu64 " %12" PRIu64 "\n", counts[i].name ? counts[i].name : "unknown",
                   counts[i].n, counts[i].bytes);
        }
    }
}

void words_print(const Recording *r, bool streams)
{
    Count types[G_N_ELEMENTS(commands) + 1] = { 0 }, ops[VIRGL_MAX_COMMANDS] = { 0 };
    Count memory[1] = { { .name = "guest memory" } };
    uint64_t last = 0;
    RecordingEntry e;
    size_t at = 0;

    printf("VM '%s', rendered by '%s'%s\n", r->head.vm, r->head.renderer,
           r->whole ? "" : "; the file ends early: the recorder was killed");
    while (recording_next(r, &at, &e)) {
        unsigned i;

        last = e.time_ns;
        if (e.kind == VGPU_RECORDING_MEMORY) {
            memory[0].n++;
            memory[0].bytes += e.size;
            printf("%12.6f s  memory of resource %u, %u bytes at %" PRIu64 "\n", (double)e.time_ns / 1e9,
                   e.memory.resource_id, e.size, e.memory.offset);
            continue;
        }
        AS(virtio_gpu_ctrl_hdr, hdr, e.data, e.size);
        i = command_index(hdr.type);
        types[i].name = command_name(i);
        types[i].n++;
        types[i].bytes += e.size;
        printf("%12.6f s  %s", (double)e.time_ns / 1e9, command_name(i));
        if (hdr.ctx_id) {
            printf(" context %u,", hdr.ctx_id);
        }
        print_details(&e, hdr.type);
        printf(hdr.flags & VIRTIO_GPU_FLAG_FENCE ? ", fence %" PRIu64 "\n" : "\n", (uint64_t)hdr.fence_id);
        if (hdr.type == VIRTIO_GPU_CMD_SUBMIT_3D) {
            print_stream(&e, ops, streams);
        }
    }
    printf("\n%.3f s\n", (double)last / 1e9);
    print_counts("command", types, G_N_ELEMENTS(types));
    print_counts("of virgl streams", ops, G_N_ELEMENTS(ops));
    print_counts("memory", memory, 1);
}
