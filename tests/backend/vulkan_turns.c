/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vulkan_turns.h"

#include "card.h"

static gpointer serve(gpointer data)
{
    Turns *t = data;
    Host *l = &t->h->lease;

    while (!g_atomic_int_get(&t->quit)) {
        uint32_t old;
        unsigned n;

        readable(l->call, 2);
        n = calls(l);
        if (n) {
            acknowledge(l);
            g_atomic_int_add(&t->calls, (gint)n);
        }
        old = state(l);
        if (g_atomic_int_get(&t->generous) && (old & WANTED) && !(old & GRANTED) &&
            swap(l, old, (old & ~WANTED) | GRANTED)) {
            wake(l);
        }
    }
    return NULL;
}

VulkanHost *turns_start(Turns *t, bool generous)
{
    *t = (Turns){ .h = vulkan_host_new(64 * MIB, true), .generous = generous };
    t->vgpud = g_thread_new("vgpud", serve, t);
    return t->h;
}

void turns_stop(Turns *t)
{
    g_atomic_int_set(&t->quit, 1);
    g_thread_join(t->vgpud);
    vulkan_host_free(t->h);
}

void turns_take_back(Turns *t)
{
    Host *l = &t->h->lease;
    uint32_t old;

    g_atomic_int_set(&t->generous, 0);
    __atomic_store_n(&l->page->end_ns, 0, __ATOMIC_RELAXED);
    do {
        old = state(l);
    } while ((old & GRANTED) && !swap(l, old, old & USERS ? old | YIELD : old & VGPU_LEASE_EPOCH_MASK));
    vulkan_host_wait_state(t->h, GRANTED | USERS, 0);
}

void turns_grant(Turns *t)
{
    g_atomic_int_set(&t->generous, 1);
}

void turns_expect_idle(Turns *t, unsigned ms)
{
    VulkanHost *h = t->h;
    uint64_t done;
    unsigned looks = 0;

    /* A program may hear late of what has ended, of as many as it has in flight. */
    do {
        g_assert_cmpuint(looks++, <, 20);
        done = vulkan_host_word(h, DONE);
        g_usleep(ms * 1000ul);
        g_assert_cmphex(state(&h->lease) & (GRANTED | USERS), ==, 0);
    } while (vulkan_host_word(h, DONE) != done);
}

void turns_to_and_fro(VulkanProgram program)
{
    Turns t;
    VulkanHost *h = turns_start(&t, true);
    pid_t pid = vulkan_host_start(h, program);
    uint64_t asked;

    for (unsigned round = 0; round < 10; round++) {
        g_assert_true(vulkan_host_wait_word(h, DONE, vulkan_host_word(h, DONE) + 10));
        asked = now_ns();
        turns_take_back(&t);
        g_test_message("given back after %u us", (unsigned)((now_ns() - asked) / 1000));
        g_assert_true(vulkan_host_wait_state(h, WANTED, WANTED));
        turns_expect_idle(&t, 30);
        turns_grant(&t);
    }
    vulkan_host_set_word(h, RESULT, 1);
    vulkan_host_ended(h, pid);
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    turns_stop(&t);
}

static void work_on(VulkanHost *h, unsigned in_flight)
{
    VkFence fences[8];
    Card card;
    Spin spin;
    unsigned n = 0;

    card_open(&card);
    spin_open(&spin, &card, 20000); /* a millisecond or so */
    for (unsigned i = 0; i < in_flight; i++) {
        fences[i] = card_fence(&card);
    }
    while (vulkan_host_word(h, RESULT) == 0) {
        unsigned i = n++ % in_flight;

        if (n > in_flight) {
            g_assert_true(card_wait(&card, fences[i], DEADLINE_MS));
            vkResetFences(card.device, 1, &fences[i]);
            turns_done(h);
        }
        spin.words[1] = 0;
        spin_submit(&spin, fences[i]);
    }
    vkDeviceWaitIdle(card.device);
    spin_close(&spin);
    card_close(&card); /* fences are the driver's to free */
}

void program_works(VulkanHost *h)
{
    work_on(h, 1);
}

void program_works_ahead(VulkanHost *h)
{
    work_on(h, 8);
}
