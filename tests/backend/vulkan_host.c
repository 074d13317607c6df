/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vulkan_host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void *shared_page(const char *name, size_t size, int *fd)
{
    void *map;

    *fd = memfd_create(name, 0);
    g_assert_cmpint(ftruncate(*fd, (off_t)size), ==, 0);
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    g_assert_true(map != MAP_FAILED);
    return map;
}

VulkanHost *vulkan_host_new(uint64_t limit, bool leased)
{
    VulkanHost *h = g_new0(VulkanHost, 1);
    int words_fd;

    h->stats = shared_page("stats", VGPU_STATS_SIZE, &h->stats_fd);
    h->stats->magic = VGPU_STATS_MAGIC;
    h->stats->version = VGPU_STATS_VERSION;
    ledger_init(&h->ledger, limit, h->stats);
    h->page = shared_page("vulkan", sizeof(*h->page), &h->page_fd);
    vulkan_books_init(&h->books, h->page, &h->ledger);
    h->words = shared_page("words", 4096, &words_fd);
    close(words_fd);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, h->hello), ==, 0);
    g_assert_cmpint(pipe2(h->to_child, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(h->to_test, O_CLOEXEC), ==, 0);
    h->leased = leased;
    if (leased) {
        host_open_page(&h->lease);
    }
    return h;
}

void vulkan_host_free(VulkanHost *h)
{
    g_assert_cmpuint(h->ledger.faults, ==, 0);
    if (h->leased) {
        host_close_page(&h->lease);
    }
    for (unsigned i = 0; i < 2; i++) {
        close(h->hello[i]);
        close(h->to_child[i]);
        close(h->to_test[i]);
    }
    close(h->stats_fd);
    close(h->page_fd);
    munmap(h->stats, VGPU_STATS_SIZE);
    munmap(h->page, sizeof(*h->page));
    munmap(h->words, 4096);
    g_free(h);
}

char *vulkan_host_variable(const VulkanHost *h)
{
    return g_strdup_printf("%d,%d,%d,%d,%d,%d", h->page_fd, h->stats_fd, h->hello[1],
                           h->leased ? h->lease.page_fd : -1, h->leased ? h->lease.call : -1,
                           h->leased ? h->lease.wake : -1);
}

void vulkan_host_environment(const char *variable)
{
    if (variable) {
        setenv(VGPU_VULKAN_ENV, variable, 1);
    } else {
        unsetenv(VGPU_VULKAN_ENV);
    }
    setenv("VK_INSTANCE_LAYERS", "VK_LAYER_VGPU_quota", 1);
    setenv("VK_LAYER_PATH", g_getenv("VGPU_VULKAN_LAYER_DIR"), 1);
    setenv("VK_LOADER_LAYERS_DISABLE", "~implicit~", 1);
    setenv("VK_DRIVER_FILES", "/usr/share/vulkan/icd.d/lvp_icd.json", 0);
    setenv("MESA_SHADER_CACHE_DISABLE", "true", 1);
    setenv("LP_NUM_THREADS", "1", 0);
}

pid_t vulkan_host_start(VulkanHost *h, VulkanProgram program)
{
    g_autofree char *variable = vulkan_host_variable(h);
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        vulkan_host_environment(variable);
        program(h);
        _exit(0);
    }
    return pid;
}

static bool wait_status(pid_t pid, int *status)
{
    for (unsigned i = 0; i < 4 * DEADLINE_MS; i++) {
        if (waitpid(pid, status, WNOHANG) == pid) {
            return true;
        }
        g_usleep(1000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, status, 0);
    return false;
}

bool vulkan_host_ended(VulkanHost *h, pid_t pid)
{
    int status;

    if (!wait_status(pid, &status)) {
        g_test_fail_printf("a Vulkan program does not end");
        return false;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        g_test_fail_printf("a Vulkan program ended with status 0x%x", (unsigned)status);
        return false;
    }
    return true;
}

void vulkan_host_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void vulkan_host_run(VulkanHost *h, VulkanProgram program)
{
    vulkan_host_ended(h, vulkan_host_start(h, program));
}

int vulkan_host_hello(VulkanHost *h, int *hang_up)
{
    char control[CMSG_SPACE(sizeof(int))];
    uint32_t slot = UINT32_MAX;
    struct iovec iov = { .iov_base = &slot, .iov_len = sizeof(slot) };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *cmsg;

    if (!readable(h->hello[0], DEADLINE_MS)) {
        return -1;
    }
    g_assert_cmpint(recvmsg(h->hello[0], &msg, MSG_CMSG_CLOEXEC), ==, sizeof(slot));
    cmsg = CMSG_FIRSTHDR(&msg);
    g_assert_nonnull(cmsg);
    memcpy(hang_up, CMSG_DATA(cmsg), sizeof(int));
    return (int)slot;
}

VulkanRemains vulkan_host_bury(VulkanHost *h, int slot)
{
    VulkanRemains remains;

    g_assert_true(vulkan_books_taken(&h->books, slot));
    vulkan_books_bury(&h->books, slot, &remains);
    return remains;
}

VulkanBlob vulkan_host_adopt(VulkanHost *h, int fd)
{
    VulkanFile f;
    VulkanBlob blob;
    struct stat st;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    f = (VulkanFile){ .dev = st.st_dev, .ino = st.st_ino };
    g_assert_true(vulkan_books_adopt(&h->books, &f, &blob));
    return blob;
}

static void tell(int fd)
{
    g_assert_cmpint(write(fd, "", 1), ==, 1);
}

static bool await(int fd)
{
    char c;

    return readable(fd, DEADLINE_MS) && read(fd, &c, 1) == 1;
}

void vulkan_host_tell_child(VulkanHost *h)
{
    tell(h->to_child[1]);
}

bool vulkan_host_await_child(VulkanHost *h)
{
    if (!await(h->to_test[0])) {
        g_test_fail_printf("a Vulkan program says nothing");
        return false;
    }
    return true;
}

void vulkan_host_tell_test(VulkanHost *h)
{
    tell(h->to_test[1]);
}

void vulkan_host_await_test(VulkanHost *h)
{
    g_assert_true(await(h->to_child[0]));
}

bool vulkan_host_wait_state(VulkanHost *h, uint32_t mask, uint32_t value)
{
    uint64_t deadline = now_ns() + DEADLINE_MS * MS;

    while ((state(&h->lease) & mask) != value) {
        if (now_ns() > deadline) {
            g_test_fail_printf("the lease's state is 0x%x, not 0x%x in 0x%x", state(&h->lease), value, mask);
            return false;
        }
        g_usleep(200);
    }
    return true;
}

bool vulkan_host_wait_word(VulkanHost *h, unsigned i, uint64_t least)
{
    uint64_t deadline = now_ns() + DEADLINE_MS * MS;

    while (vulkan_host_word(h, i) < least) {
        if (now_ns() > deadline) {
            g_test_fail_printf("word %u is %u, not %u", i, (unsigned)vulkan_host_word(h, i), (unsigned)least);
            return false;
        }
        g_usleep(200);
    }
    return true;
}
