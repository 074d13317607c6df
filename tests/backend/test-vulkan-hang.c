/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work that waits for the guest itself holds no lease and is no hang; work that
 * does not end ends its process, before vgpud would have ended the renderer.
 */
#include <signal.h>
#include <sys/wait.h>

#include "card.h"
#include "sched/lease.h"
#include "vulkan_turns.h"

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
    turns_done(h);
    g_assert_cmpint(vkQueueWaitIdle(card.queue), ==, VK_SUCCESS);
    vkDestroyFence(card.device, fence, NULL);
    vkDestroySemaphore(card.device, timeline, NULL);
    spin_close(&spin);
    card_close(&card);
}

/* It uses no GPU, so it holds no lease, and it is not hung. */
static void test_stalled(void)
{
    Turns t;
    VulkanHost *h = turns_start(&t, true);
    pid_t pid;

    h->lease.page->hang_timeout_ns = 400 * MS;
    pid = vulkan_host_start(h, program_stalled);
    g_assert_true(vulkan_host_await_child(h));
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    turns_take_back(&t);
    g_usleep(800 * 1000);
    vulkan_host_tell_child(h);
    g_assert_true(vulkan_host_wait_state(h, WANTED, WANTED));
    turns_expect_idle(&t, 100);
    turns_grant(&t);
    g_assert_true(vulkan_host_wait_word(h, DONE, 1));
    vulkan_host_ended(h, pid);
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    turns_stop(&t);
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
        turns_done(h);
    }
    g_assert_cmpint(vkQueueWaitIdle(card.queue), ==, VK_SUCCESS);
    vkDestroySemaphore(card.device, timeline, NULL);
    spin_close(&spin);
    spin_close(&more);
    card_close(&card);
}

static void test_stalled_turns(void)
{
    turns_to_and_fro(program_waits_for_submit);
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
    Turns t;
    VulkanHost *h = turns_start(&t, true);
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
    turns_stop(&t);
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
    Turns t;
    VulkanHost *h = turns_start(&t, true);
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
    turns_stop(&t);
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
    Turns t;
    VulkanHost *h = turns_start(&t, true);

    h->lease.page->hang_timeout_ns = 1500 * MS;
    vulkan_host_run(h, program_long);
    g_assert_cmphex(state(&h->lease), ==, GRANTED);
    turns_stop(&t);
}

/* A process that was stopped for longer than that is not hung either. */
static void test_stopped(void)
{
    Turns t;
    VulkanHost *h = turns_start(&t, true);
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
    turns_stop(&t);
}

/* Killed with work in flight: the books know what it held. */
static void test_killed(void)
{
    Turns t;
    VulkanHost *h = turns_start(&t, true);
    pid_t pid = vulkan_host_start(h, program_hangs);
    VulkanRemains remains;

    g_assert_true(vulkan_host_await_child(h));
    g_assert_cmphex(state(&h->lease), ==, GRANTED | 1);
    vulkan_host_kill(pid);
    remains = vulkan_host_bury(h, 0);
    g_assert_false(remains.hung);
    g_assert_cmpuint(remains.lease_users, ==, 1);
    g_assert_cmphex(remains.lease_ticket, ==, state(&h->lease) & VGPU_LEASE_EPOCH_MASK);
    turns_stop(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vulkan/hang/stalled", test_stalled);
    g_test_add_func("/vulkan/hang/stalled-turns", test_stalled_turns);
    g_test_add_func("/vulkan/hang/behind", test_behind);
    g_test_add_func("/vulkan/hang/alone", test_hang);
    g_test_add_func("/vulkan/hang/contended", test_hang_contended);
    g_test_add_func("/vulkan/hang/long", test_long);
    g_test_add_func("/vulkan/hang/stopped", test_stopped);
    g_test_add_func("/vulkan/hang/killed", test_killed);
    return g_test_run();
}
