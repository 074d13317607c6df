/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpu-device: what its files share.
 *
 * Everything here runs under the BQL.  The device has these parts:
 *
 *   vgpu-pci.c     the PCI function
 *   vgpu-device.c  properties, features, config space, realize, reset
 *   attach.c       getting a renderer from vgpud
 *   link.c         the vhost-user socket: bounded waits, checked replies
 *   rings.c        vhost-user by QEMU's core, on that socket
 *   channel.c      the gpu channel: framing, both directions, keep-alive
 *   console.c      scanouts, cursor, modes and EDIDs
 *   window.c       BAR 4: host memory that the guest sees
 *   stats.c        BAR 0: the statistics page
 *   memory.c       is guest RAM shareable?
 *   lost.c         losing a renderer
 *   revive.c       getting a new one, and what it takes over
 *   migrate.c      saving and loading the VM
 */
#ifndef HW_DISPLAY_VGPU_H
#define HW_DISPLAY_VGPU_H

#include "chardev/char-fe.h"
#include "hw/virtio/vhost.h"
#include "hw/virtio/vhost-user.h"
#include "hw/virtio/virtio-gpu.h"
#include "qemu/interval-tree.h"
#include "qemu/timer.h"
#include "ui/console.h"

#include "vgpu/attach.h"
#include "vgpu/channel.h"
#include "vgpu/stats.h"
#include "vgpu/virtio.h"

/* QEMU as a whole is built with --disable-werror; what is in our files is an error. */
#pragma GCC diagnostic error "-Wall"
#pragma GCC diagnostic error "-Wextra"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#ifdef __clang__ /* clang-tidy sees what QEMU's property macros do */
#pragma GCC diagnostic ignored "-Wnull-pointer-subtraction"
#endif
#pragma GCC diagnostic error "-Wshadow=local"
#pragma GCC diagnostic error "-Wmissing-prototypes"
#pragma GCC diagnostic error "-Wstrict-prototypes"
#pragma GCC diagnostic error "-Wold-style-definition"
#pragma GCC diagnostic error "-Wredundant-decls"
#pragma GCC diagnostic error "-Wwrite-strings"
#pragma GCC diagnostic error "-Wvla"

#define TYPE_VGPU_DEVICE "vgpu-device"
OBJECT_DECLARE_SIMPLE_TYPE(VgpuDevice, VGPU_DEVICE)

#define TYPE_VGPU_LINK "chardev-vgpu-link"
OBJECT_DECLARE_SIMPLE_TYPE(VgpuLink, VGPU_LINK)

#define VGPU_QUEUES_MAX (VGPU_QUEUE_SUBMIT + VGPU_SUBMIT_QUEUES_MAX)
#define VGPU_WHY_MAX    640
/* One for each vCPU, but not more than this: one thread of the renderer's serves all. */
#define VGPU_SUBMIT_QUEUES_AUTO UINT16_MAX
#define VGPU_SUBMIT_QUEUES_WELL 4

typedef enum VgpuState {
    VGPU_STATE_OFF,      /* not realized */
    VGPU_STATE_STARTING, /* asking vgpud for a renderer */
    VGPU_STATE_RUNNING,  /* there is a renderer */
    VGPU_STATE_LOST,     /* there was one; the next is asked for soon, or at the next reset */
} VgpuState;

/* A conversation with vgpud; see attach.c. */
typedef struct VgpuAttach {
    int fd;       /* -1: not connected */
    bool waiting; /* a REQUEST is unanswered */
    bool rejoin;
    bool spawned;                  /* a vgpud was started by this attempt */
    int64_t child;                 /* its pid until it is reaped, 0: none */
    int64_t expires;               /* ms of QEMU_CLOCK_REALTIME */
    int fds[VGPU_ATTACH_FD_COUNT]; /* of ACCEPTED, -1 when taken */
    struct vgpu_attach_accepted grant;
} VgpuAttach;

typedef struct VgpuChannel {
    int fd; /* -1: closed */
    uint8_t in[sizeof(struct vgpu_channel_hdr) + VGPU_CHANNEL_MAX_PAYLOAD];
    size_t have;     /* bytes in in[] */
    int in_fd;       /* came with the message in in[], or -1 */
    GByteArray *out; /* not yet taken by the socket */
    bool hello_seen;
    struct vgpu_channel_hello hello;
    unsigned unanswered;   /* ticks since the last PONG */
    int64_t ticked;        /* ms: when the last one was */
    uint64_t cookie;       /* of the last PING */
    uint64_t notify_after; /* the PONG that lets the guest see new modes */
} VgpuChannel;

typedef struct VgpuScanout {
    VgpuDevice *dev;
    uint32_t id;
    bool shown; /* a picture of the renderer is on the console */
    bool left;  /* or one of a lost renderer */
    uint32_t width, height;
    bool update_pending; /* a SHM_UPDATE has not had its UPDATE_DONE */
    uint32_t update_serial;
    bool refresh_waits; /* graphic_hw_update_done() is owed */
    int64_t refreshed;  /* ms: when a display last asked for pixels */
    int64_t acked;      /* ms: the last UPDATE_DONE */
    QEMUTimer *ack_timer, *refresh_timer;
} VgpuScanout;

typedef struct VgpuStatsPage VgpuStatsPage;

/* See revive.c. */
typedef struct VgpuRevive {
    bool enabled; /* a property */
    QEMUTimer *timer, *dark_timer;
    int64_t asked;        /* ms: when a new renderer was last asked for */
    int64_t running;      /* ms: since when there is one */
    int64_t lost;         /* ms: when the last one was */
    unsigned short_lived; /* in a row that did not last, or did not come */
    bool planned;         /* the one that is being lost makes room for another */
    int table_fd;         /* a lost renderer's object table, or a saved state; -1: none */
    uint32_t form;        /* enum vgpu_adopt_form: which of the two */
    uint32_t generation;  /* of it */
    unsigned losses;      /* renderers that were lost while they took it over */
    bool adopting;        /* the renderer takes it over now */
    bool adopted_due;     /* an ADOPTED is to come */
} VgpuRevive;

/* What is saved beside what the renderer has; see migrate.c. */
typedef struct VgpuSaved {
    uint32_t outputs, submit_queues;
    uint64_t window;   /* bytes */
    uint64_t features; /* that the guest took */
    uint32_t capsets;
    uint32_t events; /* of the config space */
    bool contexts;   /* there were some, which are left behind */
    bool status_ok;  /* the guest's driver runs */
} VgpuSaved;

typedef struct VgpuMigrate {
    char *property;       /* "block", "reset" */
    bool leave_contexts;  /* what it says */
    uint32_t patience_ms; /* with a renderer that is to write its state: a property */
    bool contexts;        /* there are some, as the renderer says */
    bool judging;         /* a JUDGED is to come */
    bool accepted;        /* what it said */
    char verdict[VGPU_WHY_MAX];
    bool tell_loss, tell_profile; /* when the guest goes on */
    VgpuSaved saved;
    uint8_t frame[VGPU_SAVE_FRAME_MAX]; /* on its way */
} VgpuMigrate;

typedef struct VgpuWindowMemory VgpuWindowMemory;

typedef struct VgpuWindow {
    uint64_t size;            /* bytes, fixed when the device is made; 0: there is none */
    MemoryRegion region;      /* all of BAR 4 */
    VgpuWindowMemory *memory; /* behind it */
    IntervalTreeRoot maps;    /* what is mapped now */
    unsigned count;           /* of maps */
    uint32_t generation;      /* of the last RESET that this renderer was sent, 0: none */
} VgpuWindow;

struct VgpuDevice {
    VirtIOGPUBase parent_obj;

    /* properties */
    char *profile, *gpu, *socket, *name;
    uint64_t hostmem;
    uint32_t deadline_ms, attach_deadline_ms;
    uint16_t submit_queues; /* VGPU_SUBMIT_QUEUES_AUTO until it is looked at */

    VgpuState state;
    char vm_name[VGPU_VM_NAME_MAX];
    char device_name[VGPU_NAME_MAX];
    uint64_t plug_features; /* transport bits given by properties */

    VgpuAttach attach;
    int objects_fd;                 /* the renderer's object table: only kept */
    VgpuStatsPage *stats_page;      /* NULL: not realized */
    const struct vgpu_stats *stats; /* in it; all zero without a renderer */
    MemoryRegion stats_region;      /* all of BAR 0 */
    bool stats_shown;               /* there is that BAR */
    uint64_t profile_serial;        /* of that page, as the guest was last told */

    CharBackend link_be;
    VgpuLink *link; /* NULL: none */
    VhostUserState vhost_user;
    struct vhost_dev vhost;
    struct vhost_virtqueue vqs[VGPU_QUEUES_MAX];
    unsigned queues; /* of vqs: control, cursor and submit queues */
    bool rings_ready, rings_started;

    VgpuChannel channel;
    VgpuScanout scanouts[VGPU_CHANNEL_MAX_SCANOUTS];
    VgpuWindow window;
    uint32_t generation; /* of RESET */

    QEMUTimer *ping_timer;
    QEMUBH *lost_bh;
    bool losing;             /* lost_bh is on its way */
    bool reset_while_losing; /* the reset that asks for a new one was before lost_bh */
    enum vgpu_lost_cause lost_cause;
    char lost_why[VGPU_WHY_MAX];
    VgpuRevive revive;
    VgpuMigrate migrate;

    DeviceListener plug_listener;
    bool listening;
};

/* vgpu-device.c */
/*
 * The first half of realize, for a bus that has to know what vgpud granted
 * before it makes the device: gets a renderer and its HELLO.  Undone by
 * unrealize, or by vgpu_abandon() when it does not come to that.
 */
bool vgpu_prepare(VgpuDevice *d, DeviceState *proxy, Error **errp);
void vgpu_abandon(VgpuDevice *d);
const char *vgpu_state_name(const VgpuDevice *d);
void vgpu_set_state(VgpuDevice *d, VgpuState state);
/* Makes vdev->host_features say what HELLO says. */
void vgpu_update_features(VgpuDevice *d);
/* What of these, which a guest has taken, the renderer does not serve. */
uint64_t vgpu_features_missing(VgpuDevice *d, uint64_t features);
uint64_t vgpu_memory_limit(const VgpuDevice *d);
uint64_t vgpu_memory_used(const VgpuDevice *d);
/* Tells the guest when its profile is another one, if it wants to hear of it. */
void vgpu_check_profile(VgpuDevice *d);

/* attach.c */
void vgpu_attach_init(VgpuDevice *d);
void vgpu_attach_begin(VgpuDevice *d, bool rejoin);
/* 1: granted, attach.grant and attach.fds are set; 0: not yet; -1: *errp */
int vgpu_attach_step(VgpuDevice *d, Error **errp);
/* Maps the stats page, keeps the object table; the sockets stay in attach.fds. */
bool vgpu_attach_take(VgpuDevice *d, Error **errp);
void vgpu_attach_watch(VgpuDevice *d);
void vgpu_attach_send_lost(VgpuDevice *d, enum vgpu_lost_cause cause);
void vgpu_attach_fini(VgpuDevice *d);

/* link.c */
VgpuLink *vgpu_link_new(VgpuDevice *d, int fd); /* takes fd */
/* Every wait until the main loop next runs is taken from this budget. */
void vgpu_link_set_budget(VgpuLink *l, int64_t ms);
void vgpu_link_watch(VgpuLink *l);
void vgpu_link_kill(VgpuLink *l); /* from now on it answers by itself */

/* rings.c */
bool vgpu_rings_init(VgpuDevice *d, int fd, int64_t budget_ms, Error **errp);
void vgpu_rings_start(VgpuDevice *d);
void vgpu_rings_stop(VgpuDevice *d);
void vgpu_rings_fini(VgpuDevice *d);
void vgpu_rings_rewind(VgpuDevice *d); /* without a renderer: to the used index */

/* channel.c */
void vgpu_channel_init(VgpuDevice *d);
void vgpu_channel_open(VgpuDevice *d, int fd); /* takes fd */
void vgpu_channel_watch(VgpuDevice *d);
/* Only in the main loop's thread and from no handler of QEMU's core: it changes consoles. */
void vgpu_channel_read(VgpuDevice *d);
/* For vgpu_lost_why(). */
void vgpu_channel_last_words(VgpuDevice *d);
void vgpu_channel_send(VgpuDevice *d, uint32_t request, const void *payload, uint32_t size);
/* When the socket has room, or that renderer is lost.  fd is borrowed. */
void vgpu_channel_send_fd(VgpuDevice *d, uint32_t request, const void *payload, uint32_t size, int fd);
uint64_t vgpu_channel_ping(VgpuDevice *d);
void vgpu_channel_close(VgpuDevice *d);

/* console.c */
bool vgpu_console_init(VgpuDevice *d, Error **errp);
void vgpu_console_fini(VgpuDevice *d);
void vgpu_console_push_modes(VgpuDevice *d);
/* Pictures of a lost renderer stay for a while; or a message takes their place; or nothing does. */
void vgpu_console_leave(VgpuDevice *d);
void vgpu_console_lost(VgpuDevice *d);
void vgpu_console_clear(VgpuDevice *d);
/* All return false when the renderer broke the protocol. *fd is -1 if taken. */
bool vgpu_console_scanout(VgpuDevice *d, const void *payload, int *fd);
bool vgpu_console_shm_scanout(VgpuDevice *d, const void *payload, int *fd);
bool vgpu_console_shm_update(VgpuDevice *d, const void *payload, int *fd);
bool vgpu_console_dmabuf_scanout(VgpuDevice *d, const void *payload, int *fd);
bool vgpu_console_cursor_pos(VgpuDevice *d, const void *payload, int *fd);
bool vgpu_console_cursor_hide(VgpuDevice *d, const void *payload, int *fd);
bool vgpu_console_cursor_update(VgpuDevice *d, const void *payload, int *fd);

/* window.c */
/* Before the BAR is made, and after. */
bool vgpu_window_choose(VgpuDevice *d, Error **errp);
bool vgpu_window_init(VgpuDevice *d, Error **errp);
/* To a renderer that is new, before the rings start. */
void vgpu_window_announce(VgpuDevice *d);
/* Nothing stays mapped: before a RESET, or without a renderer. */
void vgpu_window_revoke(VgpuDevice *d);
void vgpu_window_fini(VgpuDevice *d); /* out of the BAR */
void vgpu_window_free(VgpuDevice *d); /* at the end of the object */
/* These two return false when the renderer broke the protocol. */
bool vgpu_window_map(VgpuDevice *d, const void *payload, int *fd);
bool vgpu_window_unmap(VgpuDevice *d, const void *payload, int *fd);

/* stats.c */
bool vgpu_stats_init(VgpuDevice *d, Error **errp); /* a page of zeroes */
/* Makes the BAR; where the host's pages are larger there is none. */
void vgpu_stats_register(VgpuDevice *d, PCIDevice *pci);
bool vgpu_stats_map(VgpuDevice *d, int fd, Error **errp);
void vgpu_stats_unmap(VgpuDevice *d); /* zeroes again */
void vgpu_stats_free(VgpuDevice *d);  /* at the end of the object */

/* memory.c */
bool vgpu_memory_check(VgpuDevice *d, Error **errp);
void vgpu_memory_watch(VgpuDevice *d);
void vgpu_memory_unwatch(VgpuDevice *d);

/* lost.c */
/* The renderer is no good any more; may be called from inside anything. */
void G_GNUC_PRINTF(3, 4) vgpu_lose(VgpuDevice *d, enum vgpu_lost_cause cause, const char *fmt, ...);
/* Why it is being lost, the renderer's own words if it left any. */
const char *vgpu_lost_why(VgpuDevice *d);
void vgpu_lost_init(VgpuDevice *d);
void vgpu_lost_fini(VgpuDevice *d);
/* Its driver took VGPU_F_LOSS: it wants to hear of a loss, and resets the device then. */
bool vgpu_guest_knows_loss(VgpuDevice *d);
/* Tells it, if it has to know: there is no renderer, and none on its way. */
void vgpu_lost_tell_guest(VgpuDevice *d);
void vgpu_lost_drop_renderer(VgpuDevice *d);
/* Copies text of a peer for people: printable, NUL-terminated. */
void vgpu_clean_text(char *dst, size_t dst_size, const char *src, size_t src_size);

/* revive.c */
void vgpu_revive_init(VgpuDevice *d);
void vgpu_revive_fini(VgpuDevice *d);
/* The guest was reset: nothing is taken over; and ask for a new renderer if there is none. */
void vgpu_rejoin(VgpuDevice *d);
/* While it is being lost, and when it was: keeps what the next one takes over; asks for that one. */
void vgpu_revive_keep(VgpuDevice *d);
void vgpu_revive_soon(VgpuDevice *d);
/* Whether it will be asked for without a reset. */
bool vgpu_revive_will(VgpuDevice *d);
bool vgpu_revive_adopted(VgpuDevice *d, const void *payload, int *fd);
/* Takes fd, a saved state, as what is to be taken over; gives it to the renderer that there is; lets go of
 * it. */
void vgpu_revive_take(VgpuDevice *d, int fd);
void vgpu_revive_load(VgpuDevice *d);
void vgpu_revive_drop(VgpuDevice *d);

/* migrate.c */
extern const VMStateDescription vgpu_vmstate, vgpu_vmstate_saved;
bool vgpu_migrate_check(VgpuDevice *d, Error **errp);
bool vgpu_migrate_init(VgpuDevice *d, Error **errp);
void vgpu_migrate_fini(VgpuDevice *d);
/* Whether there should be a blocker may have changed, or whether one can be added. */
void vgpu_migrate_look(VgpuDevice *d);
void vgpu_migrate_lost(VgpuDevice *d);
/* The guest goes on: it may have to be told what has changed. */
void vgpu_migrate_arrived(VgpuDevice *d);
/* These two return false when the renderer broke the protocol. */
bool vgpu_migrate_contexts(VgpuDevice *d, const void *payload, int *fd);
bool vgpu_migrate_judged(VgpuDevice *d, const void *payload, int *fd);

#endif
