/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpuctl top: on a terminal, and without one. */
#include <glib.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "fake_vgpud.h"
#include "terminal.h"

#define DOWN "\033OB" /* as a VT100 says it once the program asked for it */

/* GPU time and frames grow by the clock, so that rates are what they should be on a slow machine too. */
typedef struct World {
    gint64 start;
    unsigned vms;
    double use[8]; /* of the GPU */
    unsigned hits;
} World;

static char *make_vms(gpointer opaque)
{
    World *w = opaque;
    double seconds = (double)(g_get_monotonic_time() - w->start) / 1e6;
    GString *s = g_string_new("[");

    w->hits++;
    for (unsigned i = 0; i < w->vms; i++) {
        g_string_append_printf(
            s,
            "%s{\"vm\":\"desk-%c\",\"uuid\":\"u%u\",\"device\":\"vgpu0\",\"profile\":\"quarter\","
            "\"gpu\":\"software0\",\"state\":\"%s\",\"share\":0.25,\"gpu_time_ns\":%" G_GINT64_FORMAT
            ",\"frames\":%u,\"memory_used_bytes\":%u,\"memory_limit_bytes\":268435456,\"hangs\":0,"
            "\"gpu_time_source\":\"cpu\"}",
            i ? "," : "", 'a' + i, i, i == 2 ? "lost" : "running", (gint64)(seconds * w->use[i] * 1e9),
            (unsigned)(seconds * 100 * i), i << 24);
    }
    g_string_append_c(s, ']');
    return g_string_free(s, FALSE);
}

static Fake *make_fake(World *w)
{
    Fake *f = fake_new();

    w->start = g_get_monotonic_time() - 5 * G_USEC_PER_SEC;
    fake_answer_by(f, "/v1/vms", make_vms, w);
    fake_answer(f, "GET", "/v1/gpus", 200,
                "[{\"name\":\"software0\",\"driver\":\"llvmpipe\",\"policy\":\"fixed-share\","
                "\"memory_bytes\":1073741824,\"memory_booked_bytes\":536870912}]");
    return f;
}

static Terminal *start(Fake *f, const char *term, unsigned rows, unsigned columns)
{
    g_autofree char *socket = g_strdup_printf("--socket=%s", fake_socket(f));
    const char *argv[] = { g_getenv("VGPUCTL"), socket, "top", "--interval=0.2", NULL };

    return terminal_new(argv, term, rows, columns);
}

static void quit(Terminal *t)
{
    terminal_type(t, "q");
    g_assert_cmpint(terminal_status(t), ==, 0);
    g_assert_true(terminal_is_sane(t));
}

/* a uses 10 %, b 30 %, c 20 % */
#define THREE { .vms = 3, .use = { 0.1, 0.3, 0.2 } }

static void test_shows(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);
    g_autoptr(Terminal) t = start(f, "vt100", 24, 120);

    terminal_shows(t, "3 VMs, every 0.2 s");
    terminal_shows(t, "fixed-share, 512 of 1024 MiB booked, 3 VMs");
    terminal_shows(t, "desk-a");
    terminal_shows(t, "lost");
    /* measured: b leads */
    terminal_orders(t, "software0 [|", "desk-b", "desk-c", "desk-a", NULL);
    /* what the figures are is said */
    terminal_shows(t, "CPU time of the renderers");
    quit(t);
}

static void test_sorts(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);
    g_autoptr(Terminal) t = start(f, "vt100", 24, 120);

    terminal_shows(t, "sort by time");
    terminal_orders(t, "desk-b", "desk-c", "desk-a", NULL);
    terminal_type(t, "ss"); /* over share to memory: c has most */
    terminal_orders(t, "desk-c", "desk-b", "desk-a", "sort by memory", NULL);
    terminal_type(t, "rSSSSSS"); /* backwards to the names; another column begins in its own order */
    terminal_orders(t, "desk-a", "desk-b", "desk-c", "sort by vm", NULL);
    terminal_type(t, "r");
    terminal_orders(t, "desk-c", "desk-b", "desk-a", "sort by vm", NULL);
    quit(t);
}

static void test_selects(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);
    g_autoptr(Terminal) t = start(f, "vt100", 40, 120);

    terminal_orders(t, "desk-b", "desk-c", "desk-a", NULL);
    terminal_type(t, DOWN "\r");
    terminal_shows(t, "Enter back");
    terminal_shows(t, "UUID                  u2");
    g_assert_cmpint(terminal_row(t, "desk-a"), ==, -1);
    /* it stays that VM, whatever place it has */
    terminal_type(t, "s");
    terminal_shows(t, "sort by share");
    terminal_shows(t, "UUID                  u2");
    terminal_type(t, "\r");
    terminal_shows(t, "desk-a");
    quit(t);
}

static void test_pauses(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);
    g_autoptr(Terminal) t = start(f, "vt100", 24, 120);
    unsigned hits;

    terminal_shows(t, "desk-b");
    terminal_type(t, "p");
    terminal_shows(t, "paused");
    /* what was under way may still have been asked */
    hits = w.hits;
    w.vms = 4;
    for (gint64 end = g_get_monotonic_time() + 1000000; g_get_monotonic_time() < end;) {
        g_main_context_iteration(NULL, FALSE);
        g_usleep(1000);
    }
    g_assert_cmpuint(w.hits, <=, hits + 1);
    g_assert_cmpint(terminal_row(t, "desk-d"), ==, -1);
    terminal_type(t, "p");
    terminal_hides(t, "paused");
    terminal_shows(t, "desk-d");
    quit(t);
}

static void test_resizes(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);
    g_autoptr(Terminal) t = start(f, "vt100", 24, 120);

    terminal_shows(t, "HANGS");
    /* no room: the least important columns go, the names stay */
    terminal_resize(t, 12, 50);
    terminal_shows(t, "TIME%");
    terminal_shows(t, "desk-b");
    g_assert_cmpint(terminal_row(t, "HANGS"), ==, -1);
    terminal_shows(t, "q quit");
    g_assert_cmpint(terminal_row(t, "q quit"), ==, 11);
    terminal_resize(t, 2, 5);
    terminal_resize(t, 1, 1);
    terminal_resize(t, 30, 160);
    terminal_shows(t, "HANGS");
    terminal_shows(t, "desk-b");
    quit(t);
}

/* More VMs than rows: the selected one is always in sight. */
static void test_scrolls(void)
{
    World w = { .vms = 8 };
    g_autoptr(Fake) f = make_fake(&w);
    g_autoptr(Terminal) t = start(f, "vt100", 8, 120); /* room for three */

    terminal_shows(t, "desk-a");
    g_assert_cmpint(terminal_row(t, "desk-h"), ==, -1);
    terminal_type(t, DOWN DOWN DOWN DOWN DOWN DOWN DOWN);
    terminal_shows(t, "desk-h");
    g_assert_cmpint(terminal_row(t, "desk-a"), ==, -1);
    quit(t);
}

static void test_vgpud_goes_and_comes(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);
    g_autoptr(Terminal) t = start(f, "vt100", 24, 120);

    terminal_shows(t, "desk-b");
    fake_answer(f, "GET", "/v1/vms", 503, "{\"error\":\"vgpud is being restarted\"}");
    terminal_shows(t, "vgpud is being restarted");
    g_assert_cmpint(terminal_row(t, "desk-b"), >, 0); /* what was known stays in sight */
    fake_answer_by(f, "/v1/vms", make_vms, &w);
    terminal_hides(t, "vgpud is being restarted");
    quit(t);
}

static void test_signals(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);

    for (const int *sig = (const int[]){ SIGINT, SIGTERM, SIGHUP, 0 }; *sig; sig++) {
        g_autoptr(Terminal) t = start(f, "vt100", 24, 120);

        terminal_shows(t, "desk-a");
        terminal_signal(t, *sig);
        g_assert_cmpint(terminal_status(t), ==, 0);
        g_assert_true(terminal_is_sane(t));
    }
}

static void test_colour(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);
    g_autoptr(Terminal) t = start(f, "xterm-256color", 24, 120);

    terminal_shows(t, "desk-a");
    quit(t);
    g_assert_nonnull(strstr(terminal_written(t), "\033[31m")); /* lost */
    g_setenv("NO_COLOR", "1", TRUE);
    {
        g_autoptr(Terminal) plain = start(f, "xterm-256color", 24, 120);

        terminal_shows(plain, "desk-a");
        quit(plain);
        g_assert_null(strstr(terminal_written(plain), "\033[31m"));
    }
    g_unsetenv("NO_COLOR");
}

/* A terminal on which nothing can be placed gets tables. */
static void test_dumb(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);

    for (const char *const *term = (const char *const[]){ "dumb", "no-such-terminal", NULL }; *term; term++) {
        g_autoptr(Terminal) t = start(f, *term, 24, 120);

        g_assert_cmpint(terminal_status(t), ==, 0);
        terminal_shows(t, "desk-b");
        g_assert_null(strchr(terminal_written(t), '\033'));
    }
}

static void test_tables(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);
    g_autoptr(Run) one = fake_run(f, "top", "--interval=0.2", NULL);
    g_autoptr(Run) two = fake_run(f, "top", "--interval=0.2", "--count=2", "--sort=VM", NULL);
    g_autoptr(Run) json = fake_run(f, "top", "--interval=0.2", "--count=2", "--json", NULL);
    g_auto(GStrv) lines = NULL;

    g_assert_cmpint(one->status, ==, 0);
    g_assert_nonnull(strstr(one->out, "\nVM "));
    g_assert_null(strchr(one->out, '\033'));
    g_assert_true(strstr(one->out, "desk-b") < strstr(one->out, "desk-c"));
    g_assert_cmpint(two->status, ==, 0);
    g_assert_true(strstr(two->out, "desk-a") < strstr(two->out, "desk-b"));
    g_assert_nonnull(strstr(strstr(two->out, "\nVM ") + 1, "\nVM "));
    g_assert_cmpint(json->status, ==, 0);
    lines = g_strsplit(json->out, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 3); /* an object a line, and nothing after the last */
    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(JsonNode) root = json_from_string(lines[i], NULL);
        JsonObject *o = json_node_get_object(root);
        JsonArray *vms = json_object_get_array_member(o, "vms");
        JsonObject *vm = json_array_get_object_element(vms, 0), *next = json_array_get_object_element(vms, 1);

        g_assert_cmpfloat(json_object_get_double_member(o, "seconds"), >, 0);
        g_assert_cmpstr(json_object_get_string_member(vm, "vm"), ==, "desk-b");
        /* 30 % against 20 %, however unevenly the looks came */
        g_assert_cmpfloat(fabs(json_object_get_double_member(vm, "gpu_share") /
                                   json_object_get_double_member(next, "gpu_share") -
                               1.5),
                          <, 0.01);
        g_assert_true(json_object_has_member(vm, "frames_per_second"));
    }
}

static void test_refusals(void)
{
    World w = THREE;
    g_autoptr(Fake) f = make_fake(&w);
    static const char *const wrong[] = { "--interval=-1",  "--interval=0.01",
                                         "--interval=1e9", "--interval=nan",
                                         "--interval=x",   "--count=-1",
                                         "--sort=nothing", "desk" };

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(Run) r = fake_run(f, "top", wrong[i], NULL);

        if (r->status != 2) {
            g_test_fail_printf("top %s: status %d", wrong[i], r->status);
        }
    }
    g_assert_cmpuint(w.hits, ==, 0);
    fake_answer(f, "GET", "/v1/vms", 403, "{\"error\":\"not yours\"}");
    {
        g_autoptr(Run) r = fake_run(f, "top", NULL);

        g_assert_cmpint(r->status, ==, 1);
        g_assert_cmpstr(r->err, ==, "vgpuctl: not yours\n");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/top/shows", test_shows);
    g_test_add_func("/top/sorts", test_sorts);
    g_test_add_func("/top/selects", test_selects);
    g_test_add_func("/top/pauses", test_pauses);
    g_test_add_func("/top/resizes", test_resizes);
    g_test_add_func("/top/scrolls", test_scrolls);
    g_test_add_func("/top/vgpud-goes-and-comes", test_vgpud_goes_and_comes);
    g_test_add_func("/top/signals", test_signals);
    g_test_add_func("/top/colour", test_colour);
    g_test_add_func("/top/dumb", test_dumb);
    g_test_add_func("/top/tables", test_tables);
    g_test_add_func("/top/refusals", test_refusals);
    return g_test_run();
}
