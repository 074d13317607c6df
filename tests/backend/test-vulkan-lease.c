/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vulkan takes turns: the layer submits while it holds the VM's lease and gives
 * it back when nothing is in flight, whatever the guest does with devices, queues
 * and fences.  The test is vgpud.
 */
#include "card.h"
#include "vulkan_turns.h"

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
    turns_done(h);
    vulkan_host_await_test(h);
    vkDestroyFence(card.device, fence, NULL);
    spin_close(&spin);
    card_close(&card);
}

static void test_withheld(void)
{
    Turns t;
    VulkanHost *h = turns_start(&t, false);
    pid_t pid = vulkan_host_start(h, program_one);

    g_assert_true(vulkan_host_wait_state(h, WANTED, WANTED));
    turns_expect_idle(&t, 200);
    turns_grant(&t);
    g_assert_true(vulkan_host_wait_word(h, DONE, 1));
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    g_assert_cmphex(state(&h->lease), ==, GRANTED); /* kept: nobody else waits */
    g_assert_cmpuint(h->lease.page->busy_ns, >, 0);
    g_assert_cmpuint(h->lease.page->batches, ==, 1);
    vulkan_host_tell_child(h);
    vulkan_host_ended(h, pid);
    turns_stop(&t);
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

/* ---- work all the time ---- */

/* No message to vgpud while nobody else waits. */
static void test_silent(void)
{
    Turns t;
    VulkanHost *h = turns_start(&t, true);
    pid_t pid = vulkan_host_start(h, program_works);
    gint asked;

    g_assert_true(vulkan_host_wait_word(h, DONE, 10));
    asked = g_atomic_int_get(&t.calls);
    g_assert_cmpint(asked, ==, 1);
    g_assert_true(vulkan_host_wait_word(h, DONE, 200));
    g_assert_cmpint(g_atomic_int_get(&t.calls), ==, asked);
    vulkan_host_set_word(h, RESULT, 1);
    vulkan_host_ended(h, pid);
    g_assert_cmphex(state(&h->lease), ==, GRANTED);
    g_assert_cmpuint(h->lease.page->batches, >=, vulkan_host_word(h, DONE));
    turns_stop(&t);
}

/* Asked back it goes back within a slice, and nothing begins until it is granted again. */
static void test_turns(void)
{
    turns_to_and_fro(program_works);
}

static void test_turns_ahead(void)
{
    turns_to_and_fro(program_works_ahead);
}

/* A slice that has not ended may be used, and then no longer. */
static void test_slice(void)
{
    Turns t;
    VulkanHost *h = turns_start(&t, true);
    pid_t pid = vulkan_host_start(h, program_works_ahead);
    uint64_t end, before, over;

    g_assert_true(vulkan_host_wait_word(h, DONE, 20));
    g_atomic_int_set(&t.generous, 0);
    before = vulkan_host_word(h, DONE);
    end = now_ns() + 100 * MS;
    ask_back(&h->lease, end);
    g_assert_true(vulkan_host_wait_state(h, GRANTED, 0));
    over = now_ns();
    g_test_message("given back %d us after the end", (int)(((int64_t)over - (int64_t)end) / 1000));
    g_assert_cmpuint(vulkan_host_word(h, DONE), >, before);
    turns_grant(&t);
    vulkan_host_set_word(h, RESULT, 1);
    vulkan_host_ended(h, pid);
    turns_stop(&t);
}

/* vgpud took it away while work went on: that changes no count, and it goes on with the next grant. */
static void test_revoked(void)
{
    Turns t;
    VulkanHost *h = turns_start(&t, true);
    pid_t pid = vulkan_host_start(h, program_works_ahead);

    for (unsigned round = 0; round < 10; round++) {
        g_assert_true(vulkan_host_wait_word(h, DONE, vulkan_host_word(h, DONE) + 10));
        g_atomic_int_set(&t.generous, 0);
        take_away(&h->lease);
        g_assert_true(vulkan_host_wait_state(h, GRANTED | USERS | WANTED, WANTED));
        turns_grant(&t);
    }
    vulkan_host_set_word(h, RESULT, 1);
    vulkan_host_ended(h, pid);
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    turns_stop(&t);
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
    Turns t;
    VulkanHost *h = turns_start(&t, true);
    pid_t pids[2];

    for (unsigned i = 0; i < 2; i++) {
        pids[i] = vulkan_host_start(h, program_devices);
    }
    for (unsigned i = 0; i < 50; i++) {
        g_usleep(5000);
        turns_take_back(&t);
        turns_grant(&t);
    }
    for (unsigned i = 0; i < 2; i++) {
        vulkan_host_ended(h, pids[i]);
    }
    g_assert_true(vulkan_host_wait_state(h, USERS, 0));
    /* Leaving counts one, unless a busy host kept our vgpud away; a stale one now and then. */
    g_assert_cmpuint(h->lease.page->batches, >=, 1100);
    g_assert_cmpuint(h->lease.page->batches, <=, 1300);
    for (int slot = 0; slot < 2; slot++) {
        g_assert_cmpuint(vulkan_host_bury(h, slot).lease_users, ==, 0);
    }
    turns_stop(&t);
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
    Turns t;
    VulkanHost *h = turns_start(&t, true);

    vulkan_host_run(h, program_ways);
    g_assert_cmphex(state(&h->lease), ==, GRANTED);
    g_assert_cmpuint(h->lease.page->batches, ==, 20);
    turns_stop(&t);
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
    return g_test_run();
}
