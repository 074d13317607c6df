/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this process shares with the renderer: its pages and its slot in the
 * books.  In the render server only read and mapped; a process that the server
 * forks enters the books before it does anything else.
 */
#ifndef VGPU_LAYER_PROCESS_H
#define VGPU_LAYER_PROCESS_H

#include <stdbool.h>

#include "quota/vulkan_books.h"
#include "sched/lease.h"

typedef struct Process {
    VulkanBooks books;
    Ledger ledger;
    LeaseClient *lease;
    int slot; /* -1: has not entered */
} Process;

extern Process process;

/* Enters if it has not.  False: there are no books to keep, which has been said on stderr. */
bool process_enter(void);

/* For the host's log, a few times a minute at most: memory was refused for lack of quota. */
void process_say_refused(uint64_t bytes);

/* Work of this process did not end: what can be told is, and it is over. */
void process_end_hung(uint64_t waited_ns) __attribute__((noreturn));

#endif
