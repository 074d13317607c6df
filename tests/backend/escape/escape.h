/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest that has taken its renderer over would do next.  The ways out
 * (ways.c) are linked into a renderer and into a Vulkan layer that are otherwise
 * the real ones, and are tried where guests are served: in the render thread, when
 * a command that only these two know is run, and in the process of a Vulkan context
 * once it has given up all that it gives up.
 *
 * Order and result lie behind the figures in the statistics page, which both
 * processes write and the test reads: what a process was killed for is known.
 */
#ifndef TEST_ESCAPE_H
#define TEST_ESCAPE_H

#include <linux/virtio_gpu.h>
#include <stdint.h>

#include "vgpu/stats.h"

#define ESCAPE_COMMAND 0x0e5c     /* on the control queue, with a struct EscapeCommand */
#define ESCAPE_OFFSET  2048       /* in the page */
#define ESCAPE_SEGMENT 0x76677075 /* a System V segment that the test has made */

/* In a renderer's environment: no system call is filtered, there is only the box. */
#define ESCAPE_NO_FILTER "VGPU_ESCAPE_NO_FILTER"

enum EscapePlace { ESCAPE_RENDERER, ESCAPE_CONTEXT };
enum EscapeState { ESCAPE_NONE, ESCAPE_ORDERED, ESCAPE_TRYING, ESCAPE_DONE, ESCAPE_CRASHED };

typedef struct EscapePage {
    uint32_t way; /* index in escape_ways */
    uint32_t place;
    uint32_t state;             /* atomic */
    int32_t result;             /* 0 or more: it is out; else -errno */
    int32_t vgpud, qemu, other; /* process ids outside; other: another VM's renderer */
    char folder[88];            /* vgpud's: its sockets, state and configuration */
    char abstract[32];          /* the abstract socket that the test listens on */
    char said[512];             /* more about the result */
} EscapePage;

struct EscapeCommand {
    struct virtio_gpu_ctrl_hdr hdr;
    EscapePage page;
};

_Static_assert(ESCAPE_OFFSET >= sizeof(struct vgpu_stats), "behind the figures");
_Static_assert(ESCAPE_OFFSET + sizeof(EscapePage) <= VGPU_STATS_SIZE, "in the page");

/* What is to come of a way. */
#define DIES_RENDERER 1u /* the renderer's filter kills the process; without this: an error */
#define DIES_CONTEXT  2u /* the same of a context process */
#define DIES          (DIES_RENDERER | DIES_CONTEXT)
#define BOX           4u   /* the box alone stops it, whatever is filtered */
#define OPEN          8u   /* it works and does no harm where there is neither */
#define ROOT          16u  /* that is so for root only */
#define NOT_CONTEXT   32u  /* it is nothing to a context process */
#define NOT_RENDERER  64u  /* it is nothing to the renderer */
#define LAST          128u /* hard on the process that tries it */

typedef struct EscapeWay {
    const char *name;
    long (*attempt)(EscapePage *page); /* returns as page->result; NULL: a system call */
    long number, argument[6];
    unsigned flags;
} EscapeWay;

extern const EscapeWay escape_ways[];
extern const unsigned escape_way_count;

/* Tries the way that is ordered; what comes of it is in the page. */
void escape_run(EscapePage *page);

/* A system call that returns -errno. */
long escape_call_of(long number, const long argument[6]);
#define escape_call(number, ...) escape_call_of(number, (const long[6]){ __VA_ARGS__ })
/* Says more about the result. */
__attribute__((format(printf, 2, 3))) void escape_say(EscapePage *page, const char *format, ...);

/* attempts_*.c: those that need more than one system call, or an argument of the page's. */
#define ATTEMPT(name) long attempt_##name(EscapePage *page)
ATTEMPT(configuration);
ATTEMPT(vgpud_memory);
ATTEMPT(vgpud_descriptors);
ATTEMPT(qemu_memory);
ATTEMPT(other_environment);
ATTEMPT(other_root);
ATTEMPT(list_processes);
ATTEMPT(devices);
ATTEMPT(openat2);
ATTEMPT(lock_library);
ATTEMPT(lock_range);
ATTEMPT(watch_library);
ATTEMPT(shorten_pages);
ATTEMPT(seal_pages);
ATTEMPT(descriptors);
ATTEMPT(peer);
ATTEMPT(parent_namespace);
ATTEMPT(setns);
ATTEMPT(pivot_root);
ATTEMPT(ptrace);
ATTEMPT(read_vgpud);
ATTEMPT(write_vgpud);
ATTEMPT(kill_vgpud);
ATTEMPT(kill_qemu);
ATTEMPT(kill_other);
ATTEMPT(tgkill);
ATTEMPT(tkill);
ATTEMPT(sigqueue);
ATTEMPT(pidfd);
ATTEMPT(own_signal);
ATTEMPT(own_signal_ioctl);
ATTEMPT(vgpud_affinity);
ATTEMPT(vgpud_priority);
ATTEMPT(kcmp);
ATTEMPT(fork);
ATTEMPT(clone);
ATTEMPT(clone_namespace);
ATTEMPT(clone3);
ATTEMPT(threads);
ATTEMPT(execve);
ATTEMPT(memfd_exec);
ATTEMPT(setuid);
ATTEMPT(setgroups);
ATTEMPT(capset);
ATTEMPT(listener);
ATTEMPT(personality);
ATTEMPT(limit_files);
ATTEMPT(limit_processes);
ATTEMPT(limit_size);
ATTEMPT(limit_core);
ATTEMPT(affinity);
ATTEMPT(realtime);
ATTEMPT(deadline);
ATTEMPT(connect_vgpud);
ATTEMPT(connect_api);
ATTEMPT(connect_abstract);
ATTEMPT(datagram);
ATTEMPT(loopback);
ATTEMPT(segment);
ATTEMPT(set_clock);
ATTEMPT(adjust_clock);
ATTEMPT(alarm);
ATTEMPT(tiocsti_wide);
ATTEMPT(merge);
ATTEMPT(int80);
ATTEMPT(x32);

#endif
