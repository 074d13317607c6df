/* SPDX-License-Identifier: MIT */
/*
 * The gpu channel: QEMU <-> renderer, everything that is not a virtqueue.
 *
 * Transport: a Unix SOCK_STREAM socket pair, non-blocking at both ends, host
 * byte order.  The framing, and requests 1 to 12, are vhost-user-gpu's (QEMU
 * docs/interop/vhost-user-gpu.rst); requests from 0x1000 are ours.  Nobody
 * ever waits for a reply: QEMU pushes display information and EDIDs when they
 * change, the renderer answers its guest from the last it was sent.
 *
 * A descriptor travels with the first byte of its message and belongs to the
 * receiver.  Both readers must accept a message in any number of pieces, check
 * size and fd count against the request before looking at the payload, and
 * treat a violation as the end of the connection.
 *
 * Order: what QEMU wrote here before it wrote a vhost-user message is read by
 * the renderer before that message (the renderer drains this socket first).
 */
#ifndef VGPU_CHANNEL_H
#define VGPU_CHANNEL_H

#include <stdint.h>

#define VGPU_CHANNEL_VERSION      4
#define VGPU_CHANNEL_MAX_PAYLOAD  (20u * 1024) /* a cursor is the largest */
#define VGPU_CHANNEL_MAX_SCANOUTS 16
#define VGPU_CHANNEL_EDID_MAX     1024
#define VGPU_CHANNEL_CURSOR_SIZE  64   /* pixels, square, B8G8R8A8 */
#define VGPU_CHANNEL_BLOB_MAPS    8192 /* in the window at once */

enum vgpu_channel_request {
    /* vhost-user-gpu's, renderer -> QEMU */
    VGPU_CHANNEL_CURSOR_POS      = 4,
    VGPU_CHANNEL_CURSOR_POS_HIDE = 5,
    VGPU_CHANNEL_CURSOR_UPDATE   = 6,
    VGPU_CHANNEL_SCANOUT         = 7,  /* width or height 0: disabled */
    VGPU_CHANNEL_DMABUF_SCANOUT2 = 12, /* +1 fd */
    /* ours, renderer -> QEMU */
    VGPU_CHANNEL_HELLO       = 0x1000, /* once, first */
    VGPU_CHANNEL_SHM_SCANOUT = 0x1001, /* +1 fd */
    VGPU_CHANNEL_SHM_UPDATE  = 0x1002,
    VGPU_CHANNEL_PONG        = 0x1003,
    VGPU_CHANNEL_FATAL       = 0x1004, /* last words of a renderer */
    VGPU_CHANNEL_BLOB_MAP    = 0x1005, /* +1 fd */
    VGPU_CHANNEL_BLOB_UNMAP  = 0x1006,
    VGPU_CHANNEL_ADOPTED     = 0x1007, /* once, after an ADOPT */
    VGPU_CHANNEL_CONTEXTS    = 0x1008, /* when there are some now, or none any more */
    VGPU_CHANNEL_JUDGED      = 0x1009, /* once, after an ADOPT of a saved state */
    /* ours, QEMU -> renderer */
    VGPU_CHANNEL_DISPLAY_INFO = 0x1100, /* all scanouts, whenever one changed */
    VGPU_CHANNEL_EDID         = 0x1101, /* one per scanout */
    VGPU_CHANNEL_RESET        = 0x1102, /* the guest reset the device */
    VGPU_CHANNEL_PING         = 0x1103,
    VGPU_CHANNEL_UPDATE_DONE  = 0x1104, /* a SHM_UPDATE was taken */
    VGPU_CHANNEL_WINDOW       = 0x1105, /* once, before the rings start */
    VGPU_CHANNEL_BLOB_DONE    = 0x1106, /* of a BLOB_MAP or BLOB_UNMAP */
    VGPU_CHANNEL_ADOPT        = 0x1107, /* +1 fd; once, before the rings start */
    VGPU_CHANNEL_SAVE         = 0x1108, /* +1 fd; while the rings are stopped */
};

struct vgpu_channel_hdr {
    uint32_t request; /* enum vgpu_channel_request */
    uint32_t flags;   /* 0 */
    uint32_t size;    /* of the payload that follows, bytes */
};

struct vgpu_channel_cursor_pos { /* CURSOR_POS, CURSOR_POS_HIDE */
    uint32_t scanout_id;
    uint32_t x, y;
};

struct vgpu_channel_cursor_update {
    struct vgpu_channel_cursor_pos pos;
    uint32_t hot_x, hot_y;
    uint32_t data[VGPU_CHANNEL_CURSOR_SIZE * VGPU_CHANNEL_CURSOR_SIZE];
};

struct vgpu_channel_scanout {
    uint32_t scanout_id;
    uint32_t width, height;
};

struct vgpu_channel_dmabuf_scanout2 {
    uint32_t scanout_id;
    uint32_t x, y, width, height;
    uint32_t fd_width, fd_height, fd_stride, fd_flags;
    int32_t fd_drm_fourcc;
    uint64_t modifier;
} __attribute__((packed));

enum vgpu_renderer_kind {
    VGPU_RENDERER_NULL  = 0,
    VGPU_RENDERER_2D    = 1,
    VGPU_RENDERER_VIRGL = 2,
};

/*
 * What this renderer is and can do.  QEMU offers the guest no feature that is
 * not in virtio_features.  A warning that is not empty is shown to the user.
 */
struct vgpu_channel_hello {
    uint32_t version;     /* VGPU_CHANNEL_VERSION */
    uint32_t kind;        /* enum vgpu_renderer_kind */
    uint32_t num_capsets; /* for struct virtio_gpu_config */
    uint32_t pad;
    uint64_t virtio_features; /* VIRTIO_GPU_F_* and VGPU_F_* bits it serves */
    char description[128];    /* GL_RENDERER of the host, or "" */
    char warning[512];        /* e.g. why it fell back to 2D, or "" */
};

/*
 * The picture of one scanout is in the memory behind the fd.  The memory is a
 * memfd with F_SEAL_SHRINK; QEMU refuses it otherwise, or when
 * offset + stride * height exceeds its size.  The fd stays valid until the
 * next SHM_SCANOUT or SCANOUT for this scanout.
 */
struct vgpu_channel_shm_scanout {
    uint32_t scanout_id;
    uint32_t width, height; /* pixels, 1 to 16384 */
    uint32_t stride;        /* bytes, >= 4 * width, multiple of 4 */
    uint32_t drm_fourcc;    /* XR24, AR24, XB24, AB24 and their BX/RX kin */
    uint32_t pad;
    uint64_t offset; /* bytes, multiple of 4096 */
    uint64_t size;   /* bytes of the memory, as the renderer sees it */
};

/*
 * The pixels of a rectangle changed.  At most one is outstanding per scanout:
 * the renderer merges damage until UPDATE_DONE with the same serial comes.
 */
struct vgpu_channel_shm_update {
    uint32_t scanout_id;
    uint32_t x, y, width, height;
    uint32_t serial;
};

struct vgpu_channel_update_done {
    uint32_t scanout_id;
    uint32_t serial;
};

/*
 * Host-visible memory: the guest sees a window (BAR 4) of which the renderer
 * has pieces mapped by QEMU.  Without a WINDOW, or with one of 0 bytes, nothing
 * can be mapped.
 */
struct vgpu_channel_window {
    uint64_t size; /* bytes, a power of two */
};

#define VGPU_BLOB_MAP_RW (1u << 0) /* readable and writable: the only kind so far */

/*
 * [offset, offset + size) of the window shows the memory behind the fd, from
 * fd_offset on.  All three are multiples of 4096; the range lies in the window
 * and overlaps no other; there are at most VGPU_CHANNEL_BLOB_MAPS.  The memory
 * is a memfd with F_SEAL_SHRINK, not of huge pages, or a dmabuf, and reaches to
 * fd_offset + size at least.  All else is the end of the connection.
 *
 * QEMU answers each with BLOB_DONE, in the order they came, when the guest sees
 * what was asked for.  One whose generation is not that of the last RESET
 * that QEMU sent to this renderer is dropped: no mapping, no answer.
 */
struct vgpu_channel_blob_map {
    uint64_t serial; /* the renderer's, comes back in BLOB_DONE */
    uint64_t offset;
    uint64_t size;
    uint64_t fd_offset;
    uint32_t generation; /* of the last RESET that was read, 0: none yet */
    uint32_t flags;      /* VGPU_BLOB_MAP_RW */
};

/* Of one BLOB_MAP as a whole.  Who reads there from now on sees neither it nor anything else. */
struct vgpu_channel_blob_unmap {
    uint64_t serial;
    uint64_t offset;
    uint64_t size;
    uint32_t generation;
    uint32_t pad;
};

enum vgpu_blob_status {
    VGPU_BLOB_OK         = 0,
    VGPU_BLOB_NO_MEMORY  = 1, /* the host could not map it; nothing changed */
    VGPU_BLOB_NOT_MAPPED = 2, /* there was nothing to unmap */
};

struct vgpu_channel_blob_done {
    uint64_t serial;
    uint32_t status; /* enum vgpu_blob_status */
    uint32_t pad;
};

struct vgpu_channel_ping { /* PING and PONG */
    uint64_t cookie;
};

enum vgpu_fatal_cause {
    VGPU_FATAL_ERROR   = 0,
    VGPU_FATAL_PLANNED = 1, /* it was asked to make room for another one */
};

struct vgpu_channel_fatal {
    uint32_t cause; /* enum vgpu_fatal_cause */
    uint32_t pad;
    char message[512];
};

enum vgpu_adopt_form {
    VGPU_ADOPT_TABLE = 0,
    VGPU_ADOPT_SAVED = 1,
};

/*
 * The VM had a renderer before, and its guest was not reset since: the fd is that
 * one's object table (the descriptor of attach.h), from which the new one makes
 * the guest's objects again once the rings run.  ADOPTED says that this is done and
 * that the table is not needed any more: a renderer that is lost before leaves QEMU
 * with the older table for the next one.  The figures are for people.
 *
 * Or the VM comes from elsewhere: then it is a memory file with what SAVE brought
 * forth there.  JUDGED says at once whether the guest can go on from that.
 */
struct vgpu_channel_adopt {
    uint32_t generation; /* the table's, if it is of the guest after its last reset; else it is not wanted */
    uint32_t form;       /* enum vgpu_adopt_form */
};

struct vgpu_channel_judged {
    uint32_t ok; /* 0: message says why not, and nothing is taken over */
    uint32_t pad;
    char message[512];
};

/* OpenGL and Vulkan contexts: what cannot be saved. */
struct vgpu_channel_contexts {
    uint32_t count; /* 0: none; else at least one */
    uint32_t pad;
};

/*
 * The VM stands still and is to be saved.  Into the fd, a stream socket, the
 * renderer writes all that another one needs to go on in its place, and closes
 * it; for its own guest nothing changes.  What is written is for that other one
 * alone: QEMU carries it, and gives it to whom it may concern by ADOPT.
 *
 * It comes in frames: a uint32_t that says how many bytes follow, at most
 * VGPU_SAVE_FRAME_MAX.  The last one is 0; or VGPU_SAVE_REFUSED, and a struct
 * vgpu_save_refused follows.
 */
struct vgpu_channel_save {
    uint32_t leave_contexts; /* 1: contexts are left behind; 0: where there are any it is refused */
    uint32_t pad;
};

#define VGPU_SAVE_FRAME_MAX (64u * 1024)
#define VGPU_SAVE_REFUSED   0xffffffffu

struct vgpu_save_refused {
    char message[512];
};

struct vgpu_channel_adopted {
    uint32_t resources;   /* that are there again */
    uint32_t lost;        /* that cannot be made again */
    uint32_t refused;     /* entries that made no sense */
    uint32_t descriptors; /* commands in flight that will be answered */
};

struct vgpu_channel_mode {
    uint32_t enabled; /* 0 or 1 */
    uint32_t x, y, width, height;
    uint32_t pad;
};

struct vgpu_channel_display_info {
    uint32_t count; /* scanouts the device has, 1 to 16 */
    uint32_t pad;
    struct vgpu_channel_mode mode[VGPU_CHANNEL_MAX_SCANOUTS];
};

struct vgpu_channel_edid {
    uint32_t scanout_id;
    uint32_t size; /* valid bytes of edid */
    uint8_t edid[VGPU_CHANNEL_EDID_MAX];
};

/* All objects of the guest go; answers to older requests are dropped. */
struct vgpu_channel_reset {
    uint32_t generation; /* counts up from 1 */
    uint32_t pad;
};

_Static_assert(sizeof(struct vgpu_channel_hdr) == 12, "vhost-user-gpu framing");
_Static_assert(sizeof(struct vgpu_channel_cursor_update) == 20 + 64 * 64 * 4, "wire");
_Static_assert(sizeof(struct vgpu_channel_dmabuf_scanout2) == 48, "wire");
_Static_assert(sizeof(struct vgpu_channel_hello) == 24 + 640, "wire");
_Static_assert(sizeof(struct vgpu_channel_shm_scanout) == 40, "wire");
_Static_assert(sizeof(struct vgpu_channel_shm_update) == 24, "wire");
_Static_assert(sizeof(struct vgpu_channel_adopt) == 8, "wire");
_Static_assert(sizeof(struct vgpu_channel_adopted) == 16, "wire");
_Static_assert(sizeof(struct vgpu_channel_judged) == 8 + 512, "wire");
_Static_assert(sizeof(struct vgpu_channel_contexts) == 8, "wire");
_Static_assert(sizeof(struct vgpu_channel_save) == 8, "wire");
_Static_assert(sizeof(struct vgpu_channel_display_info) == 8 + 16 * 24, "wire");
_Static_assert(sizeof(struct vgpu_channel_edid) == 8 + 1024, "wire");
_Static_assert(sizeof(struct vgpu_channel_blob_map) == 40, "wire");
_Static_assert(sizeof(struct vgpu_channel_blob_unmap) == 32, "wire");
_Static_assert(sizeof(struct vgpu_channel_blob_done) == 16, "wire");

#endif
