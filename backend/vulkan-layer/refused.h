/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arguments that no filter of ours lets pass, the renderer's (renderer/isolation.c)
 * nor the render server's: by them a process would take what others on the host
 * have, or talk with them, and no driver needs any once it runs.  The kernel looks
 * at 32 bits of most, and so does this.
 */
#ifndef VGPU_LAYER_REFUSED_H
#define VGPU_LAYER_REFUSED_H

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define REFUSED_WORD 0xffffffffu

static const struct Refused {
    const char *call;
    unsigned argument;
    uint64_t mask, value; /* 0: whatever it is */
} refused[] = {
    /* typing into, and pasting from, a terminal */
    { "ioctl", 1, REFUSED_WORD, TIOCSTI },
    { "ioctl", 1, REFUSED_WORD, TIOCLINUX },
    /* signals by a socket to whom kill() does not reach */
    { "ioctl", 1, REFUSED_WORD, FIOSETOWN },
    { "ioctl", 1, REFUSED_WORD, SIOCSPGRP },
    /* locks on, and news of, the files that all tenants see */
    { "flock", 0, 0, 0 },
    { "fcntl", 1, REFUSED_WORD, F_SETLK },
    { "fcntl", 1, REFUSED_WORD, F_SETLKW },
    { "fcntl", 1, REFUSED_WORD, F_OFD_SETLK },
    { "fcntl", 1, REFUSED_WORD, F_OFD_SETLKW },
    { "fcntl", 1, REFUSED_WORD, F_SETLEASE },
    { "fcntl", 1, REFUSED_WORD, F_NOTIFY },
    /* the huge pages that the host has put by for its VMs' memory */
    { "mmap", 3, MAP_HUGETLB, MAP_HUGETLB },
    { "memfd_create", 1, MFD_HUGETLB, MFD_HUGETLB },
    /* pages in common with whoever has the same: how long a write takes would tell that somebody has */
    { "madvise", 2, REFUSED_WORD, MADV_MERGEABLE },
};

/* In a filter that allows all but what it says. */
static inline bool refused_add(scmp_filter_ctx ctx)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const struct Refused *r = &refused[i];
        const struct scmp_arg_cmp is = {
            .arg = r->argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = r->mask, .datum_b = r->value
        };
        int nr = seccomp_syscall_resolve_name(r->call);

        if (seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), nr, r->mask ? 1 : 0, &is) < 0) {
            return false;
        }
    }
    return true;
}

#endif
