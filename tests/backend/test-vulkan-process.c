/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes with the Vulkan layer: what one leaves that dies, that there is no
 * Vulkan without books, and a render server with its contexts.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "card.h"
#include "vulkan_host.h"

static void assert_used(VulkanHost *h, uint64_t bytes)
{
    g_assert_cmpuint(vulkan_host_used(h), ==, bytes);
}

/* ---- processes that die ---- */

static void program_holds(VulkanHost *h)
{
    VkDeviceMemory memory;
    Card card;
    int fd;

    card_open(&card);
    g_assert_cmpint(card_allocate(&card, 10 * MIB, &memory), ==, VK_SUCCESS);
    memory = card_exportable(&card, 4 * MIB);
    fd = card_export(&card, memory);
    vulkan_host_adopt(h, fd);
    memory = card_exportable(&card, 2 * MIB);
    card_export(&card, memory);
    vulkan_host_tell_test(h);
    vulkan_host_await_test(h);
}

static void test_killed(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);
    pid_t pid = vulkan_host_start(h, program_holds);
    VulkanRemains remains;
    int hang_up, slot;

    g_assert_true(vulkan_host_await_child(h));
    slot = vulkan_host_hello(h, &hang_up);
    assert_used(h, 16 * MIB);
    g_assert_false(readable(hang_up, 0));
    vulkan_host_kill(pid);
    g_assert_true(readable(hang_up, DEADLINE_MS));
    close(hang_up);
    remains = vulkan_host_bury(h, slot);
    g_assert_cmpuint(remains.bytes, ==, 12 * MIB);
    g_assert_cmpint(remains.pid, ==, pid);
    assert_used(h, 4 * MIB);
    g_assert_cmpuint(vulkan_books_correct(&h->books), ==, 0);
    vulkan_books_blob_gone(&h->books, 0);
    assert_used(h, 0);
}

static void program_busy(VulkanHost *h)
{
    Card card;

    card_open(&card);
    vulkan_host_tell_test(h);
    for (;;) {
        VkDeviceMemory a, b;
        int fd;

        if (card_allocate(&card, 1 * MIB, &a) == VK_SUCCESS) {
            b = card_exportable(&card, MIB / 16);
            fd = card_export(&card, b);
            vkFreeMemory(card.device, b, NULL);
            vkFreeMemory(card.device, a, NULL);
            vulkan_host_adopt(h, fd);
            vulkan_books_blob_gone(&h->books, 0);
            close(fd);
        }
    }
}

/* At whatever point: too high by an allocation at most until nobody is left, then right. */
static void test_killed_anywhere(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);

    for (unsigned i = 0; i < 20; i++) {
        pid_t pid = vulkan_host_start(h, program_busy);
        int hang_up, slot;

        g_assert_true(vulkan_host_await_child(h));
        slot = vulkan_host_hello(h, &hang_up);
        close(hang_up);
        g_usleep((gulong)g_test_rand_int_range(0, 5000));
        vulkan_host_kill(pid);
        vulkan_host_bury(h, slot);
        g_assert_cmpuint(vulkan_host_used(h), <=, 2 * MIB);
        vulkan_books_correct(&h->books);
        /* A blob that our stand-in for the renderer was killed with is not the layer's affair. */
        if (h->page->memories[0].word & VGPU_VULKAN_BLOBS) {
            vulkan_books_blob_gone(&h->books, 0);
        }
        assert_used(h, 0);
    }
}

static void program_takes_slot(VulkanHost *h)
{
    VkInstance instance;

    h->words[1] = (uint64_t)(uint32_t)card_instance(&instance);
}

static void test_too_many_processes(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);

    for (unsigned i = 0; i < VGPU_VULKAN_PROCESSES; i++) {
        vulkan_books_enter(&h->books, 1);
    }
    vulkan_host_run(h, program_takes_slot);
    g_assert_cmpint((int)h->words[1], ==, VK_ERROR_INITIALIZATION_FAILED);
}

/* ---- no books, no Vulkan ---- */

static void refused(const char *variable, const char *sentence)
{
    if (g_test_subprocess()) {
        VkInstance instance;

        vulkan_host_environment(variable);
        g_assert_cmpint(card_instance(&instance), ==, VK_ERROR_INITIALIZATION_FAILED);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr(sentence);
}

static void test_no_variable(void)
{
    refused(NULL, "*Vulkan layer: the variable VGPU_VULKAN is not set*");
}

static void test_broken_variable(gconstpointer variable)
{
    refused(variable, "*Vulkan layer: the variable VGPU_VULKAN *\n");
}

static void test_wrong_pages(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, true);
    g_autofree char *swapped = g_strdup_printf("%d,%d,-1,-1,-1,-1", h->stats_fd, h->page_fd);
    g_autofree char *no_lease = g_strdup_printf("%d,%d,-1,%d,-1,-1", h->page_fd, h->stats_fd, h->stats_fd);
    g_autofree char *no_page = g_strdup_printf("-1,%d,-1,-1,-1,-1", h->stats_fd);
    g_autofree char *versions = vulkan_host_variable(h);
    const char *const variables[] = { swapped, no_lease, no_page };

    for (unsigned i = 0; i < G_N_ELEMENTS(variables) + 2; i++) {
        pid_t pid;
        int status;

        h->page->version = VGPU_VULKAN_VERSION + (i == 3);
        h->stats->version = VGPU_STATS_VERSION + (i == 4);
        pid = fork();
        if (pid == 0) {
            VkInstance instance;

            vulkan_host_environment(i < 3 ? variables[i] : versions);
            _exit(card_instance(&instance) == VK_ERROR_INITIALIZATION_FAILED ? 0 : 1);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
    }
}

/* ---- the render server: preloaded, and a process for each context ---- */

#define CONTEXTS 3

/* Started with the layer preloaded; says by its exit status how it went. */
static int be_server(void)
{
    pid_t pids[CONTEXTS];
    int status, bad = 0;

    for (unsigned i = 0; i < CONTEXTS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            VkDeviceMemory memory;
            Card card;

            g_usleep(50000); /* it has said hello before it does anything */
            card_open(&card);
            g_assert_cmpint(card_allocate(&card, 4 * MIB, &memory), ==, VK_SUCCESS);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < CONTEXTS; i++) {
        bad |= waitpid(pids[i], &status, 0) != pids[i] || status;
    }
    return bad ? 1 : 0;
}

static void test_server(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);
    g_autofree char *variable = vulkan_host_variable(h);
    bool seen[CONTEXTS] = { false };
    int hang_up[CONTEXTS], status;
    pid_t pid = fork();

    if (pid == 0) {
        g_autofree char *layer =
            g_build_filename(g_getenv("VGPU_VULKAN_LAYER_DIR"), "libVkLayer_vgpu.so", NULL);

        vulkan_host_environment(variable);
        g_setenv("LD_PRELOAD", layer, TRUE);
        g_setenv("ASAN_OPTIONS", "detect_leaks=0:verify_asan_link_order=0", TRUE);
        execl("/proc/self/exe", "test-vulkan-process", "--server", NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < CONTEXTS; i++) {
        int slot = vulkan_host_hello(h, &hang_up[i]);

        g_assert_cmpint(slot, >=, 0);
        g_assert_cmpint(slot, <, CONTEXTS); /* the server itself takes none */
        g_assert_false(seen[slot]);
        seen[slot] = true;
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    assert_used(h, CONTEXTS * 4 * MIB);
    for (int i = 0; i < CONTEXTS; i++) {
        g_assert_true(readable(hang_up[i], DEADLINE_MS));
        close(hang_up[i]);
        g_assert_cmpuint(vulkan_host_bury(h, i).bytes, ==, 4 * MIB);
    }
    assert_used(h, 0);
}

int main(int argc, char **argv)
{
    static const char *const broken[] = { "",
                                          "x",
                                          "1,2,3,4,5",
                                          "1,2,3,4,5,6,",
                                          "1,2,,4,5,6",
                                          "99,98,97,-1,-1,-1",
                                          "1,2,3,4,5,99999999999",
                                          "-2,3,4,5,6,7" };

    if (argc == 2 && !strcmp(argv[1], "--server")) {
        return be_server();
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vulkan/process/killed", test_killed);
    g_test_add_func("/vulkan/process/killed-anywhere", test_killed_anywhere);
    g_test_add_func("/vulkan/process/too-many-processes", test_too_many_processes);
    g_test_add_func("/vulkan/process/no-variable", test_no_variable);
    for (unsigned i = 0; i < G_N_ELEMENTS(broken); i++) {
        g_autofree char *path = g_strdup_printf("/vulkan/process/broken-variable/%u", i);

        g_test_add_data_func(path, broken[i], test_broken_variable);
    }
    g_test_add_func("/vulkan/process/wrong-pages", test_wrong_pages);
    g_test_add_func("/vulkan/process/server", test_server);
    return g_test_run();
}
