/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Vulkan programs that take turns, and the test as their vgpud. */
#ifndef TEST_VULKAN_TURNS_H
#define TEST_VULKAN_TURNS_H

#include "vulkan_host.h"

/* VulkanHost.words */
enum {
    DONE,   /* pieces of work that a program has seen end */
    RESULT, /* not 0: it is to end */
};

typedef struct Turns {
    VulkanHost *h;
    GThread *vgpud;
    gint quit, generous; /* atomic; generous: grants what is asked for */
    gint calls;          /* atomic; acknowledged so far */
} Turns;

VulkanHost *turns_start(Turns *t, bool generous);
void turns_stop(Turns *t);

/* Others wait: returns when the lease has come back, which is when what is in flight has ended. */
void turns_take_back(Turns *t);
void turns_grant(Turns *t); /* from now on */

/* Nothing of the VM's is at work, and for ms nothing begins. */
void turns_expect_idle(Turns *t, unsigned ms);

/* The lease of a program that works all the time, taken and given several times over. */
void turns_to_and_fro(VulkanProgram program);

/* For programs: one piece of work more has ended. */
static inline void turns_done(VulkanHost *h)
{
    vulkan_host_set_word(h, DONE, vulkan_host_word(h, DONE) + 1);
}

/* Work of a millisecond or so all the time, one piece after the other, or several ahead. */
void program_works(VulkanHost *h);
void program_works_ahead(VulkanHost *h);

#endif
