/* SPDX-License-Identifier: MIT */
/*
 * The attach protocol: how a VM asks vgpud for a slice of a GPU.
 *
 * Transport: a Unix SOCK_SEQPACKET socket, one packet per message, host byte
 * order (both ends are on one host).  Default paths, in this order:
 *   /run/vgpu/vgpud.sock, $XDG_RUNTIME_DIR/vgpu/vgpud.sock
 *
 *   QEMU                                   vgpud
 *    | -- REQUEST ---------------------------> |  checks, admits, starts renderer
 *    | <-- ACCEPTED + 4 fds, or REFUSED ------ |
 *    |            (the connection stays open)  |
 *    | -- LOST (renderer missed a deadline) -> |  kills it, keeps the booking
 *    | <-- EVENT (renderer ended, ...) ------- |
 *    | -- REQUEST with F_REJOIN -------------> |  a new renderer, same booking
 *
 * Closing the connection gives the slice back once the renderer has ended too;
 * a renderer ends by itself when its vhost-user and channel sockets close.
 * When vgpud goes away the VM runs on; it connects again when it next needs to.
 *
 * A packet whose size is not exactly sizeof its struct, whose fd count is not
 * the declared one, or whose strings are not NUL-terminated is refused.  All
 * pads must be zero.  Descriptors received with a refused packet are closed.
 */
#ifndef VGPU_ATTACH_H
#define VGPU_ATTACH_H

#include <stdint.h>

#define VGPU_ATTACH_MAGIC   0x55504756u /* "VGPU" */
#define VGPU_ATTACH_VERSION 2
#define VGPU_SOCKET_SYSTEM  "/run/vgpu/vgpud.sock"
#define VGPU_SOCKET_USER    "vgpu/vgpud.sock" /* under $XDG_RUNTIME_DIR */

#define VGPU_NAME_MAX    64   /* profile and gpu names, with NUL */
#define VGPU_VM_NAME_MAX 128  /* VM names, with NUL */
#define VGPU_MESSAGE_MAX 2048 /* sentences, with NUL */

/* The window for host-visible memory, bytes: a power of two between these. */
#define VGPU_HOSTMEM_MIN (1ull << 20)
#define VGPU_HOSTMEM_MAX (1ull << 38)

enum vgpu_attach_type {
    VGPU_ATTACH_REQUEST  = 1, /* QEMU -> vgpud, no fds */
    VGPU_ATTACH_ACCEPTED = 2, /* vgpud -> QEMU, VGPU_ATTACH_FD_COUNT fds */
    VGPU_ATTACH_REFUSED  = 3, /* vgpud -> QEMU, no fds; then vgpud closes */
    VGPU_ATTACH_LOST     = 4, /* QEMU -> vgpud, no fds */
    VGPU_ATTACH_EVENT    = 5, /* vgpud -> QEMU, no fds */
};

/* The descriptors of ACCEPTED, in this order; ownership passes to QEMU. */
enum vgpu_attach_fd {
    VGPU_ATTACH_FD_VHOST_USER, /* SOCK_STREAM, QEMU is the vhost-user front-end */
    VGPU_ATTACH_FD_CHANNEL,    /* SOCK_STREAM, see channel.h */
    VGPU_ATTACH_FD_STATS,      /* one struct vgpu_stats page, see stats.h */
    VGPU_ATTACH_FD_OBJECTS,    /* the renderer's object table: QEMU only keeps it */
    VGPU_ATTACH_FD_COUNT,
};

/* First in every message. The layout of this and of REFUSED never changes. */
struct vgpu_attach_hdr {
    uint32_t magic;    /* VGPU_ATTACH_MAGIC */
    uint16_t version;  /* VGPU_ATTACH_VERSION of the sender */
    uint16_t type;     /* enum vgpu_attach_type */
    uint32_t size;     /* of the whole packet, bytes */
    uint32_t fd_count; /* descriptors that come with it */
};

#define VGPU_ATTACH_F_REJOIN (1u << 0) /* the VM had a renderer and lost it */

struct vgpu_attach_request {
    struct vgpu_attach_hdr hdr;
    char profile[VGPU_NAME_MAX]; /* "" asks for the default, "full" */
    char gpu[VGPU_NAME_MAX];     /* "" or "auto": vgpud chooses */
    char name[VGPU_VM_NAME_MAX]; /* shown to operators, not unique */
    char device[VGPU_NAME_MAX];  /* qdev id or path: a VM may have several */
    uint8_t uuid[16];            /* of the VM; (uuid, device) is the key */
    uint32_t max_outputs;        /* 1 to 16 */
    uint32_t flags;              /* VGPU_ATTACH_F_* */
};

struct vgpu_attach_accepted {
    struct vgpu_attach_hdr hdr;
    uint64_t memory_limit; /* bytes of GPU memory */
    char profile[VGPU_NAME_MAX];
    char gpu[VGPU_NAME_MAX];
    uint32_t max_width, max_height; /* of one output, pixels; 0: no bound */
    uint32_t max_outputs;           /* granted, at most what was asked for */
    uint32_t pad;
    /*
     * The window for host-visible memory, bytes; 0: none.  A VM keeps the one
     * its device was made with, whatever a later ACCEPTED says.
     */
    uint64_t hostmem;
};

enum vgpu_refusal {
    VGPU_REFUSED_MALFORMED  = 1,
    VGPU_REFUSED_VERSION    = 2,
    VGPU_REFUSED_NO_PROFILE = 3,
    VGPU_REFUSED_NO_GPU     = 4,
    VGPU_REFUSED_FULL       = 5,
    VGPU_REFUSED_IN_USE     = 6, /* (uuid, device) is attached already */
    VGPU_REFUSED_START      = 7, /* the renderer could not be started */
    VGPU_REFUSED_DENIED     = 8, /* this user may not, or not this profile */
    VGPU_REFUSED_LIMIT      = 9, /* this user has as many as one may have */
};

struct vgpu_attach_refused {
    struct vgpu_attach_hdr hdr;
    uint32_t code; /* enum vgpu_refusal */
    uint32_t pad;
    char message[VGPU_MESSAGE_MAX]; /* a sentence for the VM's owner */
};

enum vgpu_lost_cause {
    VGPU_LOST_UNKNOWN  = 0,
    VGPU_LOST_DEADLINE = 1, /* a vhost-user or channel exchange took too long */
    VGPU_LOST_CLOSED   = 2, /* the renderer closed a socket */
    VGPU_LOST_PROTOCOL = 3, /* the renderer sent nonsense */
};

struct vgpu_attach_lost {
    struct vgpu_attach_hdr hdr;
    uint32_t cause; /* enum vgpu_lost_cause */
    uint32_t pad;
};

enum vgpu_event {
    VGPU_EVENT_RENDERER_ENDED = 1,
    VGPU_EVENT_CHANGED        = 2, /* the profile or a limit: the statistics page says what it is now */
};

struct vgpu_attach_event {
    struct vgpu_attach_hdr hdr;
    uint32_t event; /* enum vgpu_event */
    uint32_t pad;
    char message[VGPU_MESSAGE_MAX];
};

_Static_assert(sizeof(struct vgpu_attach_hdr) == 16, "wire");
_Static_assert(sizeof(struct vgpu_attach_request) == 16 + 64 + 64 + 128 + 64 + 16 + 8, "wire");
_Static_assert(sizeof(struct vgpu_attach_accepted) == 16 + 8 + 128 + 16 + 8, "wire");
_Static_assert(sizeof(struct vgpu_attach_refused) == 16 + 8 + 2048, "wire");
_Static_assert(sizeof(struct vgpu_attach_lost) == 24, "wire");
_Static_assert(sizeof(struct vgpu_attach_event) == 16 + 8 + 2048, "wire");

#endif
