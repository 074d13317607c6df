/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The books: which VMs hold a slice of which GPU.  Data only; what happens to
 * a VM's renderer is vm.c's, what is kept over a restart is state.c's.
 */
#ifndef VGPUD_BOOKS_H
#define VGPUD_BOOKS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "admission.h"
#include "vgpu/stats.h"

typedef enum VmState {
    VM_STARTING, /* its renderer was forked and has not run yet */
    VM_RUNNING,
    VM_LOST,    /* its renderer is gone, its QEMU is not: the slice stays booked */
    VM_LEAVING, /* its QEMU is gone, its renderer not yet */
} VmState;

/* By what a VM lost a renderer while its QEMU was there. */
typedef enum VmReset {
    VM_RESET_CRASH,     /* it ended by itself */
    VM_RESET_HANG,      /* it kept the GPU longer than its hang timeout */
    VM_RESET_DEADLINE,  /* it did not answer its QEMU in time */
    VM_RESET_PROTOCOL,  /* it sent its QEMU what it must not */
    VM_RESET_MEMORY,    /* it used more of the host's memory than it may */
    VM_RESET_PROCESSES, /* it has more processes than it may */
    VM_RESET_OPERATOR,  /* vgpuctl stop */
    VM_RESET_QEMU,      /* its QEMU gave it up */
    VM_RESET_RESTART,   /* vgpuctl restart */
    VM_RESET_COUNT,
} VmReset;

#define VM_UUID_TEXT 37

typedef struct Vm {
    /* what was asked for; never changes */
    char *name;              /* clean text */
    char uuid[VM_UUID_TEXT]; /* with the device's name: the key */
    bool uuid_given;         /* else it is another one each time that the VM is started */
    char *device;
    char *gpu;
    uint32_t max_outputs;
    uint32_t slot;     /* smallest number no other VM has */
    uint64_t since_ns; /* in these books; CLOCK_MONOTONIC */
    uid_t owner;       /* who its QEMU runs as: nobody else may take it over */
    pid_t qemu_pid;    /* and no other process; 0: not known */
    uint64_t qemu_start;

    /* what it is granted: control.c may change it while the VM runs */
    char *profile;
    uint64_t memory; /* bytes */
    uint64_t held;   /* bytes still taken from before memory was lowered, or 0: booked instead */
    uint32_t share;  /* ppm */
    ProfilePriority priority;
    uint64_t quantum_us;                          /* 0: the GPU's default */
    uint32_t frame_rate_limit;                    /* per second, 0: no bound */
    uint64_t hang_timeout_us;                     /* 0: none */
    uint32_t cpus;                                /* 0: no bound */
    uint32_t max_width, max_height, max_contexts; /* of its next renderer */
    uint32_t apis;                                /* PROFILE_API_*, the same */
    bool exclusive, strict;                       /* see profile.h */
    bool no_3d;                                   /* its next renderer is the 2D one, until control_allow */

    /* its renderer */
    VmState state;
    char *cause;        /* why it is lost, or NULL */
    VmReset reset;      /* with cause */
    pid_t pid;          /* 0: none */
    uint64_t pid_start; /* clock ticks since boot, field 22 of /proc/PID/stat */
    int pidfd;
    struct ProcessTree *tree; /* with all below it; NULL: none */
    uint64_t watched_clock;   /* CPU time of the tree when vm_watch.c came to it last, ns */
    unsigned unwatched;       /* times it was passed over since, as nothing had run */
    struct vgpu_stats *page;  /* vgpud writes its limit; NULL: its figures are unknown */
    uint64_t clock_base;      /* what its renderer's times in the page are less, ns */
    uint64_t page_serial;     /* of its profile, as the pages so far were told: vm_page.c */
    struct {
        uint64_t resets, gpu_time_ns, throttled_ns;
        uint32_t cause;              /* enum vgpu_reset_cause of the last reset */
    } page_before;                   /* what it had before these books: its page's claim */
    struct Lease *lease;             /* NULL: it has none */
    struct DrmUsage *drm;            /* what its driver tells; NULL: software, or not looked at yet */
    bool leased;                     /* it was given one, which it must still have */
    uint64_t resident;               /* bytes of memory of their own or that they share, last seen */
    unsigned restarts;               /* renderers started but for the first */
    uint64_t resets[VM_RESET_COUNT]; /* renderers lost */

    /* vm.c's and attach.c's */
    guint pid_source, timer;
    guint qemu_source;  /* tells that the QEMU of an adopted renderer has ended; 0: nothing does */
    int qemu_pidfd;     /* with qemu_source */
    bool again;         /* another renderer is to start as soon as this one is dead */
    bool making_room;   /* it was asked to finish and end */
    guint again_timer;  /* it is not, or not for long enough */
    int64_t starts_due; /* monotonic, us: renderers started so far, at the rate allowed, last until then */
    struct VmLog *log;  /* what its renderer says */
    struct Figures *figures;   /* figures.c's; plain memory, or NULL */
    struct Launched *starting; /* what QEMU gets once the renderer runs */
    guint status_source;
    gpointer client; /* its QEMU's connection; NULL: gone */
    gpointer daemon;
} Vm;

/* Whose VM it is: a process, for that long, and one of its devices. */
typedef struct VmProcess {
    pid_t pid; /* 0: not known, nobody's */
    uint64_t start;
    const char *device, *name;
} VmProcess;

#define BOOKS_DEPARTED_MAX 1024 /* a 16th of it for one user */

/* What state.c wrote last, and which file that became. */
typedef struct BooksSaved {
    GString *text; /* NULL: nothing, or it is not known */
    dev_t device;
    ino_t inode;
    struct timespec mtime;
} BooksSaved;

typedef struct Books {
    GPtrArray *vms; /* Vm, in the order they came */
    /*
     * Those whose QEMU lives though they left, as it happens when vgpud is
     * restarted: it may come back, and finds what an operator set.  They hold
     * nothing, and are no VMs for anybody but books.c, state.c and attach.c.
     */
    GPtrArray *departed;
    struct Hangs *hangs; /* of VMs that are here or not */
    BooksSaved saved;
} Books;

Books *books_new(void);
void books_free(Books *books);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Books, books_free)

/* A new VM in the books, with no renderer yet. */
Vm *books_add(Books *books, const char *name, const char *uuid, const char *device);
void books_remove(Books *books, Vm *vm); /* frees it */

/* The same, but keeps what was set while its QEMU lives; it has no renderer any more. */
void books_depart(Books *books, Vm *vm);
/* What was kept for it, or NULL; to give to books_forget. */
Vm *books_return(Books *books, const VmProcess *q);
void books_forget(Vm *departed); /* takes NULL */

/* By the process of its QEMU: a VM without -uuid has another one each time. */
Vm *books_find_process(const Books *books, const VmProcess *q);
Vm *books_find(const Books *books, const char *uuid, const char *device);

/* What they hold, for admission; to free, the names in it are borrowed. */
AdmissionBooking *books_bookings(const Books *books, size_t *count);

const char *vm_state_name(VmState state);
const char *vm_reset_name(VmReset reset);
/* Renderers it has lost, in these books. */
uint64_t vm_resets(const Vm *vm);

bool books_uuid_is_nil(const uint8_t bytes[16]);
/* 16 bytes to text of VM_UUID_TEXT; nil is made a random one. */
void books_uuid(const uint8_t bytes[16], char text[VM_UUID_TEXT]);

#endif
