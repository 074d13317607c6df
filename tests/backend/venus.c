/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "venus.h"

#include <stdio.h>
#include <string.h>

char *venus_option(void)
{
    return g_strdup_printf("--vulkan-layer=%s", g_getenv("VGPU_VULKAN_LAYER"));
}

Frontend *venus_start(const char *more)
{
    g_autofree char *layer = venus_option();
    const char *args[] = { layer, more, NULL };
    FrontendOptions o = { .renderer = "virgl", .ram = 64 * MIB, .memory = 64 * MIB, .args = args };

    return frontend_new(&o);
}

void venus_check(Frontend *f, const char *what, uint32_t got, uint32_t want)
{
    if (!f->dead && got != want) {
        g_test_fail_printf("%s: response 0x%x, not 0x%x", what, got, want);
    }
}

void venus_expect_log(Frontend *f, const char *text)
{
    g_autofree char *log = frontend_log(f);

    if (!strstr(log, text)) {
        g_test_fail_printf("the log does not say '%s'", text);
    }
}

/* ---- their processes ---- */

pid_t venus_child_of(pid_t pid)
{
    g_autoptr(GArray) c = proc_children(pid);

    g_assert_cmpuint(c->len, ==, 1);
    return g_array_index(c, pid_t, 0);
}

pid_t venus_server(Frontend *f)
{
    return venus_child_of(f->pid);
}

unsigned venus_contexts(pid_t server)
{
    g_autoptr(GArray) c = proc_children(server);
    unsigned n = 0;

    for (unsigned i = 0; i < c->len; i++) {
        n += proc_alive(g_array_index(c, pid_t, i));
    }
    return n;
}

pid_t venus_context(pid_t server)
{
    g_autoptr(GArray) c = proc_children(server);

    for (unsigned i = 0; i < c->len; i++) {
        if (proc_alive(g_array_index(c, pid_t, i))) {
            return g_array_index(c, pid_t, i);
        }
    }
    g_assert_not_reached();
}

void venus_wait_contexts(Frontend *f, pid_t server, unsigned want)
{
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;

    while (venus_contexts(server) != want && g_get_monotonic_time() < deadline) {
        g_usleep(1000);
        frontend_collect(f, NULL);
    }
    g_assert_cmpuint(venus_contexts(server), ==, want);
}

void venus_wait_used(Frontend *f, uint64_t want)
{
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;

    while (frontend_used(f) != want && g_get_monotonic_time() < deadline) {
        g_usleep(1000);
        frontend_collect(f, NULL);
    }
    USED(want);
}

Pending *venus_fenced(Frontend *f, uint32_t ctx, unsigned ring, uint64_t fence)
{
    return gpu_submit_ring(f, ctx, (uint8_t)ring, NULL, 0, fence);
}

/* Why there is nothing to test here, to free; NULL: there is Vulkan. */
static char *missing(void)
{
    FrontendOptions o = { .renderer = "auto" };
    g_autofree char *layer = NULL;
    const char *args[] = { NULL, NULL };
    struct virtio_gpu_resp_capset_info info;
    g_autoptr(Frontend) f = NULL;

    if (!g_getenv("VGPU_VULKAN_LAYER")) {
        return g_strdup("there is no Vulkan layer (VGPU_VULKAN_LAYER)");
    }
    layer = venus_option();
    args[0] = layer;
    o.args = args;
    f = frontend_new(&o);
    return gpu_find_capset(f, VENUS, &info) ? NULL : g_strdup_printf("no Vulkan here: %s", f->hello.warning);
}

bool venus_skipped(void)
{
    g_autofree char *why = missing();

    if (why) {
        printf("1..0 # SKIP %s\n", why); /* g_print() would make a comment of it */
    }
    return why != NULL;
}
