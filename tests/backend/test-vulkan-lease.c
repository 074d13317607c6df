/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vulkan takes turns: the layer submits while it holds the VM's lease and gives
 * it back when nothing is in flight, whatever the guest does with queues, fences
 * and semaphores; and it ends a process whose work does not end.  The test is
 * vgpud.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "card.h"
#include "sched/lease.h"
#include "vulkan_host.h"

/* words[] */
enum { DONE, RESULT };

/* ---- vgpud ---- */

typedef struct Vgpud {
    VulkanHost *h;
    GThread *thread;
    gint quit, generous; /* atomic; generous: grants what is asked for */
    gint calls;          /* atomic */
} Vgpud;

static gpointer serve(gpointer data)
{
    Vgpud *v = data;
    Host *l = &v->h->lease;

    while (!g_atomic_int_get(&v->quit)) {
        uint32_t old;
        unsigned n;

        readable(l->call, 2);
        n = calls(l);
        if (n) {
            acknowledge(l);
            g_atomic_int_add(&v->calls, (gint)n);
        }
        old = state(l);
        if (g_atomic_int_get(&v->generous) && (old & WANTED) && !(old & GRANTED) &&
            swap(l, old, (old & ~WANTED) | GRANTED)) {
            wake(l);
        }
    }
    return NULL;
}

static VulkanHost *start(Vgpud *v, bool generous)
{
    *v = (Vgpud){ .h = vulkan_host_new(64 * MIB, true), .generous = generous };
    v->thread = g_thread_new("vgpud", serve, v);
    return v->h;
}

static void stop(Vgpud *v)
{
    g_atomic_int_set(&v->quit, 1);
    g_thread_join(v->thread);
    vulkan_host_free(v->h);
}

/* Others wait: the lease comes back when what is in flight has ended. */
static void take_back(Vgpud *v)
{
    Host *l = &v->h->lease;
    uint32_t old;

    g_atomic_int_set(&v->generous, 0);
    __atomic_store_n(&l->page->end_ns, 0, __ATOMIC_RELAXED);
    do {
        old = state(l);
    } while ((old & GRANTED) && !swap(l, old, old & USERS ? old | YIELD : old & VGPU_LEASE_EPOCH_MASK));
    vulkan_host_wait_state(v->h, GRANTED | USERS, 0);
}

/* Nothing of the VM's is at work, and for a while nothing begins. */
static void expect_idle(VulkanHost *h, uint64_t ms)
{
    uint64_t done = vulkan_host_word(h, DONE);

    g_usleep((gulong)ms * 1000);
    g_assert_cmpuint(vulkan_host_word(h, DONE), ==, done);
    g_assert_cmphex(state(&h->lease) & (GRANTED | USERS), ==, 0);
}

static void done(VulkanHost *h)
{
    vulkan_host_set_word(h, DONE, vulkan_host_word(h, DONE) + 1);
}

/* ---- one submit ---- */

static void program_one(VulkanHost *h)
{
    VkFence fence;
    Card card;
    Spin spin;

    card_open(&card);
    spin_open(&spin, &card, 100);
    fence = card_fence(&card);
    spin_submit(&spin, fence);
    g_assert_true(card_wait(&card, fence, DEADLINE_MS));
    g_assert_cmpuint(spin.words[1], >, 100);
    done(h);
    vulkan_host_await_test(h);
    vkDestroyFence(card.device, fence, NULL);
    spin_close(&spin);
    card_close(&card);
}

static void test_withheld(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, false);
    pid_t pid = vulkan_host_start(h, program_one);

    g_assert_true(vulkan_host_wait_state(h, WANTED, WANTED));
    expect_idle(h, 200);
    g_atomic_int_set(&v.generous, 1);
    g_assert_true(vulkan_host_wait_word(h, DONE, 1));
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    g_assert_cmphex(state(&h->lease), ==, GRANTED); /* kept: nobody else waits */
    g_assert_cmpuint(h->lease.page->busy_ns, >, 0);
    g_assert_cmpuint(h->lease.page->batches, ==, 1);
    vulkan_host_tell_child(h);
    vulkan_host_ended(h, pid);
    stop(&v);
}

/* There is none to be had (no vgpud that leases): all works at once. */
static void test_no_lease(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);
    pid_t pid = vulkan_host_start(h, program_one);

    g_assert_true(vulkan_host_wait_word(h, DONE, 1));
    vulkan_host_tell_child(h);
    vulkan_host_ended(h, pid);
}

/* ---- work all the time, one piece after the other ---- */

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
            done(h);
        }
        spin.words[1] = 0;
        spin_submit(&spin, fences[i]);
    }
    vkDeviceWaitIdle(card.device);
    spin_close(&spin);
    card_close(&card); /* fences are the driver's to free */
}

static void program_works(VulkanHost *h)
{
    work_on(h, 1);
}

static void program_works_ahead(VulkanHost *h)
{
    work_on(h, 8);
}

/* No message to vgpud while nobody else waits. */
static void test_silent(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    pid_t pid = vulkan_host_start(h, program_works);
    gint asked;

    g_assert_true(vulkan_host_wait_word(h, DONE, 10));
    asked = g_atomic_int_get(&v.calls);
    g_assert_cmpint(asked, ==, 1);
    g_assert_true(vulkan_host_wait_word(h, DONE, 200));
    g_assert_cmpint(g_atomic_int_get(&v.calls), ==, asked);
    vulkan_host_set_word(h, RESULT, 1);
    vulkan_host_ended(h, pid);
    g_assert_cmphex(state(&h->lease), ==, GRANTED);
    g_assert_cmpuint(h->lease.page->batches, >=, vulkan_host_word(h, DONE));
    stop(&v);
}

/* Asked back it goes back within a slice, and nothing begins until it is granted again. */
static void turns(VulkanProgram program)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    pid_t pid = vulkan_host_start(h, program);
    uint64_t asked;

    for (unsigned round = 0; round < 10; round++) {
        g_assert_true(vulkan_host_wait_word(h, DONE, vulkan_host_word(h, DONE) + 10));
        asked = now_ns();
        take_back(&v);
        g_test_message("given back after %u us", (unsigned)((now_ns() - asked) / 1000));
        g_assert_true(vulkan_host_wait_state(h, WANTED, WANTED));
        g_usleep(2000); /* what ended is told */
        expect_idle(h, 30);
        g_atomic_int_set(&v.generous, 1);
    }
    vulkan_host_set_word(h, RESULT, 1);
    vulkan_host_ended(h, pid);
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    stop(&v);
}

static void test_turns(void)
{
    turns(program_works);
}

static void test_turns_ahead(void)
{
    turns(program_works_ahead);
}

/* A slice that has not ended may be used, and then no longer. */
static void test_slice(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    pid_t pid = vulkan_host_start(h, program_works_ahead);
    uint64_t end, before, over;

    g_assert_true(vulkan_host_wait_word(h, DONE, 20));
    g_atomic_int_set(&v.generous, 0);
    before = vulkan_host_word(h, DONE);
    end = now_ns() + 100 * MS;
    ask_back(&h->lease, end);
    g_assert_true(vulkan_host_wait_state(h, GRANTED, 0));
    over = now_ns();
    g_test_message("given back %d us after the end", (int)(((int64_t)over - (int64_t)end) / 1000));
    g_assert_cmpuint(vulkan_host_word(h, DONE), >, before);
    g_atomic_int_set(&v.generous, 1);
    vulkan_host_set_word(h, RESULT, 1);
    vulkan_host_ended(h, pid);
    stop(&v);
}

/* vgpud took it away while work went on: that changes no count, and it goes on with the next grant. */
static void test_revoked(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    pid_t pid = vulkan_host_start(h, program_works_ahead);

    for (unsigned round = 0; round < 10; round++) {
        g_assert_true(vulkan_host_wait_word(h, DONE, vulkan_host_word(h, DONE) + 10));
        g_atomic_int_set(&v.generous, 0);
        take_away(&h->lease);
        g_assert_true(vulkan_host_wait_state(h, GRANTED | USERS | WANTED, WANTED));
        g_atomic_int_set(&v.generous, 1);
    }
    vulkan_host_set_word(h, RESULT, 1);
    vulkan_host_ended(h, pid);
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    stop(&v);
}

/* ---- several processes, devices and threads ---- */

static gpointer submit_many(gpointer data)
{
    Spin spin;
    VkFence fence = card_fence(data);

    spin_open(&spin, data, 200);
    for (unsigned i = 0; i < 200; i++) {
        spin_submit(&spin, i % 3 ? fence : VK_NULL_HANDLE);
        if (i % 3) {
            card_wait(data, fence, DEADLINE_MS);
            vkResetFences(((Card *)data)->device, 1, &fence);
        }
    }
    vkDeviceWaitIdle(((Card *)data)->device);
    vkDestroyFence(((Card *)data)->device, fence, NULL);
    spin_close(&spin);
    return NULL;
}

static void program_devices(VulkanHost *h)
{
    GThread *threads[3];
    Card cards[3];

    card_open(&cards[0]);
    for (unsigned i = 0; i < 3; i++) {
        if (i) {
            cards[i] = cards[0];
            cards[i].device = card_device(&cards[0]);
            vkGetDeviceQueue(cards[i].device, 0, 0, &cards[i].queue);
        }
        threads[i] = g_thread_new("submits", submit_many, &cards[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        g_thread_join(threads[i]);
    }
    vkDestroyDevice(cards[1].device, NULL);
    vkDestroyDevice(cards[2].device, NULL);
    card_close(&cards[0]);
}

static void test_devices(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    pid_t pids[2];

    for (unsigned i = 0; i < 2; i++) {
        pids[i] = vulkan_host_start(h, program_devices);
    }
    for (unsigned i = 0; i < 50; i++) {
        g_usleep(5000);
        take_back(&v);
        g_atomic_int_set(&v.generous, 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        vulkan_host_ended(h, pids[i]);
    }
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    g_assert_cmpuint(h->lease.page->batches, ==, 2 * 3 * 200);
    for (int slot = 0; slot < 2; slot++) {
        g_assert_cmpuint(vulkan_host_bury(h, slot).lease_users, ==, 0);
    }
    stop(&v);
}

/* ---- every way to submit ---- */

static void program_ways(VulkanHost *h)
{
    const VkSemaphoreCreateInfo binary = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO };
    const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    VkFence fence;
    VkSemaphore semaphore;
    Card card;
    Spin spin;

    card_open(&card);
    spin_open(&spin, &card, 10);
    fence = card_fence(&card);
    g_assert_cmpint(vkCreateSemaphore(card.device, &binary, NULL, &semaphore), ==, VK_SUCCESS);
    {
        const VkCommandBufferSubmitInfo command = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
            .commandBuffer = spin.command,
        };
        const VkSemaphoreSubmitInfo wait = {
            .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
            .semaphore = semaphore,
            .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
        };
        const VkSubmitInfo2 two = {
            .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
            .waitSemaphoreInfoCount = 1,
            .pWaitSemaphoreInfos = &wait,
            .commandBufferInfoCount = 1,
            .pCommandBufferInfos = &command,
        };
        const VkSubmitInfo one[] = {
            {
                .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                .commandBufferCount = 1,
                .pCommandBuffers = &spin.command,
                .signalSemaphoreCount = 1,
                .pSignalSemaphores = &semaphore,
            },
            {
                .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                .waitSemaphoreCount = 1,
                .pWaitSemaphores = &semaphore,
                .pWaitDstStageMask = &stage,
                .commandBufferCount = 1,
                .pCommandBuffers = &spin.command,
                .signalSemaphoreCount = 1,
                .pSignalSemaphores = &semaphore,
            },
        };

        for (unsigned i = 0; i < 10; i++) {
            g_assert_cmpint(vkQueueSubmit(card.queue, 2, one, VK_NULL_HANDLE), ==, VK_SUCCESS);
            g_assert_cmpint(vkQueueSubmit2(card.queue, 1, &two, fence), ==, VK_SUCCESS);
            g_assert_true(card_wait(&card, fence, DEADLINE_MS));
            vkResetFences(card.device, 1, &fence);
            /* no work: for a fence only, and nothing at all */
            g_assert_cmpint(vkQueueSubmit(card.queue, 0, NULL, fence), ==, VK_SUCCESS);
            g_assert_true(card_wait(&card, fence, DEADLINE_MS));
            vkResetFences(card.device, 1, &fence);
            g_assert_cmpint(vkQueueSubmit2(card.queue, 0, NULL, VK_NULL_HANDLE), ==, VK_SUCCESS);
        }
    }
    g_assert_cmpint(vkQueueWaitIdle(card.queue), ==, VK_SUCCESS);
    vkDestroyFence(card.device, fence, NULL);
    vkDestroySemaphore(card.device, semaphore, NULL);
    spin_close(&spin);
    card_close(&card);
}

static void test_ways(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);

    vulkan_host_run(h, program_ways);
    g_assert_cmphex(state(&h->lease), ==, GRANTED);
    g_assert_cmpuint(h->lease.page->batches, ==, 20);
    stop(&v);
}

/* ---- work that waits for the guest itself ---- */

/* A submit that begins when the timeline is at wait, and moves it to signal. */
static void submit_at(Spin *spin, VkSemaphore timeline, uint64_t wait, uint64_t signal, VkFence fence)
{
    const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    const VkTimelineSemaphoreSubmitInfo values = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = wait != 0,
        .pWaitSemaphoreValues = &wait,
        .signalSemaphoreValueCount = signal != 0,
        .pSignalSemaphoreValues = &signal,
    };
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = &values,
        .waitSemaphoreCount = wait != 0,
        .pWaitSemaphores = &timeline,
        .pWaitDstStageMask = &stage,
        .commandBufferCount = 1,
        .pCommandBuffers = &spin->command,
        .signalSemaphoreCount = signal != 0,
        .pSignalSemaphores = &timeline,
    };

    g_assert_cmpint(vkQueueSubmit(spin->card->queue, 1, &info, fence), ==, VK_SUCCESS);
}

static void program_stalled(VulkanHost *h)
{
    VkSemaphore timeline;
    VkFence fence;
    Card card;
    Spin spin;

    card_open(&card);
    spin_open(&spin, &card, 100);
    fence = card_fence(&card);
    timeline = card_timeline(&card);
    submit_at(&spin, timeline, 1, 0, fence);
    vulkan_host_tell_test(h);
    vulkan_host_await_test(h);
    card_signal(&card, timeline, 1); /* waits for the grant */
    g_assert_true(card_wait(&card, fence, DEADLINE_MS));
    done(h);
    g_assert_cmpint(vkQueueWaitIdle(card.queue), ==, VK_SUCCESS);
    vkDestroyFence(card.device, fence, NULL);
    vkDestroySemaphore(card.device, timeline, NULL);
    spin_close(&spin);
    card_close(&card);
}

/* It uses no GPU, so it holds no lease, and it is not hung. */
static void test_stalled(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    pid_t pid;

    h->lease.page->hang_timeout_ns = 400 * MS;
    pid = vulkan_host_start(h, program_stalled);
    g_assert_true(vulkan_host_await_child(h));
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    take_back(&v);
    g_usleep(800 * 1000);
    vulkan_host_tell_child(h);
    g_assert_true(vulkan_host_wait_state(h, WANTED, WANTED));
    expect_idle(h, 100);
    g_atomic_int_set(&v.generous, 1);
    g_assert_true(vulkan_host_wait_word(h, DONE, 1));
    vulkan_host_ended(h, pid);
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    stop(&v);
}

/* What would let it go on is held up by the end of the slice: no deadlock. */
static void program_waits_for_submit(VulkanHost *h)
{
    VkSemaphore timeline;
    Card card;
    Spin spin, more;

    card_open(&card);
    spin_open(&spin, &card, 1000);
    timeline = card_timeline(&card);
    spin_open(&more, &card, 10);
    for (uint64_t i = 1; vulkan_host_word(h, RESULT) == 0; i += 2) {
        spin.words[1] = more.words[1] = 0;
        submit_at(&spin, timeline, i, i + 1, VK_NULL_HANDLE); /* waits for what comes next, by the host */
        submit_at(&more, timeline, i + 1, 0, VK_NULL_HANDLE);
        card_signal(&card, timeline, i);
        card_wait_timeline(&card, timeline, i + 1);
        done(h);
    }
    g_assert_cmpint(vkQueueWaitIdle(card.queue), ==, VK_SUCCESS);
    vkDestroySemaphore(card.device, timeline, NULL);
    spin_close(&spin);
    spin_close(&more);
    card_close(&card);
}

static void test_stalled_turns(void)
{
    turns(program_waits_for_submit);
}

/* A batch that waits, behind one that works: it is not taken for idle. */
static void program_behind(VulkanHost *h)
{
    const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    const uint64_t one = 1;
    VkSemaphore timeline;
    VkFence fence;
    Card card;
    Spin spin;

    card_open(&card);
    spin_open(&spin, &card, SPIN_FOREVER);
    fence = card_fence(&card);
    timeline = card_timeline(&card);
    {
        const VkTimelineSemaphoreSubmitInfo values = {
            .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
            .waitSemaphoreValueCount = 1,
            .pWaitSemaphoreValues = &one,
        };
        const VkSubmitInfo batches[] = {
            {
                .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                .commandBufferCount = 1,
                .pCommandBuffers = &spin.command,
            },
            {
                .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                .pNext = &values,
                .waitSemaphoreCount = 1,
                .pWaitSemaphores = &timeline,
                .pWaitDstStageMask = &stage,
            },
        };

        g_assert_cmpint(vkQueueSubmit(card.queue, 2, batches, fence), ==, VK_SUCCESS);
    }
    while (!spin.words[1]) {
        g_usleep(100);
    }
    vulkan_host_tell_test(h);
    vulkan_host_await_test(h);
    spin.words[0] = 1; /* the first has ended, the second waits */
    vulkan_host_await_test(h);
    card_signal(&card, timeline, 1);
    g_assert_true(card_wait(&card, fence, DEADLINE_MS));
    g_assert_cmpint(vkQueueWaitIdle(card.queue), ==, VK_SUCCESS);
    vkDestroyFence(card.device, fence, NULL);
    vkDestroySemaphore(card.device, timeline, NULL);
    spin_close(&spin);
    card_close(&card);
}

static void test_behind(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    pid_t pid = vulkan_host_start(h, program_behind);

    g_assert_true(vulkan_host_await_child(h));
    ask_back(&h->lease, 0);
    g_usleep(200 * 1000);
    g_assert_cmphex(state(&h->lease) & USERS, ==, 1);
    vulkan_host_tell_child(h);
    g_assert_true(vulkan_host_wait_state(h, GRANTED | USERS, 0));
    vulkan_host_tell_child(h);
    vulkan_host_ended(h, pid);
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    stop(&v);
}

/* ---- work that does not end ---- */

static void program_hangs(VulkanHost *h)
{
    VkFence fence;
    Card card;
    Spin spin;

    card_open(&card);
    spin_open(&spin, &card, SPIN_FOREVER);
    fence = card_fence(&card);
    vulkan_host_set_word(h, RESULT, now_ns());
    spin_submit(&spin, fence);
    while (!spin.words[1]) {
        g_usleep(100);
    }
    vulkan_host_tell_test(h);
    g_assert_true(card_wait(&card, fence, 10 * DEADLINE_MS));
}

/* Ends by itself, says why, and before vgpud would have ended the renderer. */
static void hangs(bool contended)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    VulkanRemains remains;
    uint64_t began, took;
    int hang_up, status;
    pid_t pid;

    h->lease.page->hang_timeout_ns = 4000 * MS;
    pid = vulkan_host_start(h, program_hangs);
    g_assert_true(vulkan_host_await_child(h));
    g_assert_cmpint(vulkan_host_hello(h, &hang_up), ==, 0);
    began = now_ns();
    if (contended) {
        ask_back(&h->lease, 0);
    }
    g_assert_true(readable(hang_up, DEADLINE_MS));
    took = now_ns() - began;
    close(hang_up);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_test_message("ended after %u ms of 4000", (unsigned)(took / MS));
    g_assert_cmpuint(took, >, 2000 * MS);
    g_assert_cmpuint(took, <, 4000 * MS);
    g_assert_cmphex(state(&h->lease) & USERS, ==, 1);

    remains = vulkan_host_bury(h, 0);
    g_assert_true(remains.hung);
    g_assert_cmpuint(remains.lease_users, ==, 1);
    {
        /* The renderer gives back what it held. */
        LeaseClient *renderer = lease_new(h->lease.page_fd, h->lease.call, h->lease.wake);

        lease_leave(renderer, remains.lease_ticket, 0);
        lease_free(renderer);
    }
    g_assert_cmphex(state(&h->lease) & USERS, ==, 0);
    g_assert_cmpuint(vulkan_host_used(h), ==, 0);
    stop(&v);
}

static void test_hang(void)
{
    hangs(false);
}

static void test_hang_contended(void)
{
    hangs(true);
}

/* Long work, and a long queue of it, is no hang. */
static void program_long(VulkanHost *h)
{
    VkFence fence;
    Card card;
    Spin spin[8];

    card_open(&card);
    for (unsigned i = 0; i < G_N_ELEMENTS(spin); i++) {
        spin_open(&spin[i], &card, SPIN_FOREVER);
    }
    fence = card_fence(&card);
    for (unsigned i = 0; i < G_N_ELEMENTS(spin); i++) {
        spin_submit(&spin[i], i + 1 < G_N_ELEMENTS(spin) ? VK_NULL_HANDLE : fence);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(spin); i++) {
        g_usleep(300 * 1000);
        spin[i].words[0] = 1;
    }
    g_assert_true(card_wait(&card, fence, DEADLINE_MS));
    g_assert_cmpint(vkQueueWaitIdle(card.queue), ==, VK_SUCCESS);
    for (unsigned i = 0; i < G_N_ELEMENTS(spin); i++) {
        spin_close(&spin[i]);
    }
    vkDestroyFence(card.device, fence, NULL);
    card_close(&card);
}

static void test_long(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);

    h->lease.page->hang_timeout_ns = 1500 * MS;
    vulkan_host_run(h, program_long);
    g_assert_cmphex(state(&h->lease), ==, GRANTED);
    stop(&v);
}

/* A process that was stopped for longer than that is not hung either. */
static void test_stopped(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    pid_t pid;

    h->lease.page->hang_timeout_ns = 1000 * MS;
    pid = vulkan_host_start(h, program_works_ahead);
    g_assert_true(vulkan_host_wait_word(h, DONE, 10));
    kill(pid, SIGSTOP);
    g_usleep(1500 * 1000);
    kill(pid, SIGCONT);
    g_assert_true(vulkan_host_wait_word(h, DONE, vulkan_host_word(h, DONE) + 50));
    vulkan_host_set_word(h, RESULT, 1);
    vulkan_host_ended(h, pid);
    stop(&v);
}

/* Killed with work in flight: the books know what it held. */
static void test_killed(void)
{
    Vgpud v;
    VulkanHost *h = start(&v, true);
    pid_t pid = vulkan_host_start(h, program_hangs);
    VulkanRemains remains;

    g_assert_true(vulkan_host_await_child(h));
    g_assert_cmphex(state(&h->lease), ==, GRANTED | 1);
    vulkan_host_kill(pid);
    remains = vulkan_host_bury(h, 0);
    g_assert_false(remains.hung);
    g_assert_cmpuint(remains.lease_users, ==, 1);
    g_assert_cmphex(remains.lease_ticket, ==, state(&h->lease) & VGPU_LEASE_EPOCH_MASK);
    stop(&v);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vulkan/lease/withheld", test_withheld);
    g_test_add_func("/vulkan/lease/none", test_no_lease);
    g_test_add_func("/vulkan/lease/silent", test_silent);
    g_test_add_func("/vulkan/lease/turns", test_turns);
    g_test_add_func("/vulkan/lease/turns-ahead", test_turns_ahead);
    g_test_add_func("/vulkan/lease/slice", test_slice);
    g_test_add_func("/vulkan/lease/revoked", test_revoked);
    g_test_add_func("/vulkan/lease/devices", test_devices);
    g_test_add_func("/vulkan/lease/ways", test_ways);
    g_test_add_func("/vulkan/lease/stalled", test_stalled);
    g_test_add_func("/vulkan/lease/stalled-turns", test_stalled_turns);
    g_test_add_func("/vulkan/lease/behind", test_behind);
    g_test_add_func("/vulkan/lease/hang", test_hang);
    g_test_add_func("/vulkan/lease/hang-contended", test_hang_contended);
    g_test_add_func("/vulkan/lease/long", test_long);
    g_test_add_func("/vulkan/lease/stopped", test_stopped);
    g_test_add_func("/vulkan/lease/killed", test_killed);
    return g_test_run();
}
