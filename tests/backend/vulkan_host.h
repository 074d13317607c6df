/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The renderer's and vgpud's side of the Vulkan layer: the pages, the socket on
 * which a process says hello, and a lease.  Programs of the guest's are children
 * of the test, forked before they load Vulkan.
 */
#ifndef TEST_VULKAN_HOST_H
#define TEST_VULKAN_HOST_H

#include "../unit/lease-host.h"
#include "quota/vulkan_books.h"

#define MIB (1024 * 1024ull)

typedef struct VulkanHost {
    struct vgpu_stats *stats;
    struct vgpu_vulkan *page;
    Ledger ledger;
    VulkanBooks books;
    int stats_fd, page_fd;
    int hello[2]; /* ours, the processes' */
    bool leased;
    Host lease;

    int to_child[2], to_test[2]; /* a byte each: go on */
    uint64_t *words;             /* a page for whatever the two want to tell each other */
} VulkanHost;

/* limit: bytes.  leased: there is a lease, and nobody but the test to grant it. */
VulkanHost *vulkan_host_new(uint64_t limit, bool leased);
void vulkan_host_free(VulkanHost *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VulkanHost, vulkan_host_free)

/* The variable's value; free it. */
char *vulkan_host_variable(const VulkanHost *h);
/* In a child: what makes the loader put our layer under lavapipe. */
void vulkan_host_environment(const char *variable);

typedef void (*VulkanProgram)(VulkanHost *h);
/* A process of the guest's. */
pid_t vulkan_host_start(VulkanHost *h, VulkanProgram program);
/* False (and the test failed) when it did not end well. */
bool vulkan_host_ended(VulkanHost *h, pid_t pid);
/* It is killed, and waited for. */
void vulkan_host_kill(pid_t pid);
/* The same, start to end. */
void vulkan_host_run(VulkanHost *h, VulkanProgram program);

/* What a process said, and where its end will be heard.  -1: none did. */
int vulkan_host_hello(VulkanHost *h, int *hang_up);
/* The renderer has made a blob of what this descriptor leads to. */
VulkanBlob vulkan_host_adopt(VulkanHost *h, int fd);
/* It has ended: its slot is free again. */
VulkanRemains vulkan_host_bury(VulkanHost *h, int slot);

/* Each waits for the other. */
void vulkan_host_tell_child(VulkanHost *h);
bool vulkan_host_await_child(VulkanHost *h);
void vulkan_host_tell_test(VulkanHost *h);
void vulkan_host_await_test(VulkanHost *h);

/* Bits of the lease's state come; or the test has failed. */
bool vulkan_host_wait_state(VulkanHost *h, uint32_t mask, uint32_t value);
/* A word of words[] becomes at least that. */
bool vulkan_host_wait_word(VulkanHost *h, unsigned i, uint64_t least);

static inline uint64_t vulkan_host_word(const VulkanHost *h, unsigned i)
{
    return __atomic_load_n(&h->words[i], __ATOMIC_SEQ_CST);
}

static inline void vulkan_host_set_word(VulkanHost *h, unsigned i, uint64_t value)
{
    __atomic_store_n(&h->words[i], value, __ATOMIC_SEQ_CST);
}

/* In all, of whoever has the pages. */
static inline uint64_t vulkan_host_used(const VulkanHost *h)
{
    return ledger_used(&h->ledger);
}

#endif
