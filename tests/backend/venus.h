/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A renderer with Vulkan, and the processes of its render server. */
#ifndef TEST_VENUS_H
#define TEST_VENUS_H

#include "gpu_blob.h"

#define MIB    (1ull << 20)
#define PAGE   4096u
#define WINDOW (64 * MIB)
#define VENUS  VIRTIO_GPU_CAPSET_VENUS
#define SOON   10000 /* ms */
/* What a context is charged at: a process. */
#define CONTEXT (4 * MIB)

/* --vulkan-layer=..., to free. */
char *venus_option(void);
/* A virgl renderer with 64 MiB; more: one more argument, NULL: none. */
Frontend *venus_start(const char *more);
/* There is no Vulkan to test here: the plan that says why is printed. */
bool venus_skipped(void);

void venus_check(Frontend *f, const char *what, uint32_t got, uint32_t want);
#define CHECK(call, want) venus_check(f, #call, call, want)
#define OKAY(call)        CHECK(call, OK_NODATA)
#define USED(want)        g_assert_cmpuint(frontend_used(f), ==, want)
void venus_expect_log(Frontend *f, const char *text);

pid_t venus_child_of(pid_t pid);
pid_t venus_server(Frontend *f);
/* Context processes that live. */
unsigned venus_contexts(pid_t server);
/* The first of them. */
pid_t venus_context(pid_t server);
void venus_wait_contexts(Frontend *f, pid_t server, unsigned want);
/* The renderer hears of a death a moment after it. */
void venus_wait_used(Frontend *f, uint64_t want);

/* An empty submit with a fence of that ring. */
Pending *venus_fenced(Frontend *f, uint32_t ctx, unsigned ring, uint64_t fence);

#endif
