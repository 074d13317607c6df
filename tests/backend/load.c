/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "load.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gpu_cmd.h"
#include "http.h"
#include "../unit/host-busy.h"

/* All of the host's CPUs, so that one VM at a time has the GPU. */
static const char profiles[] = "[even]\nmemory=64M\nshare=25%\ncpus=all\n"
                               "[tenth]\nmemory=64M\nshare=10%\ncpus=all\n"
                               "[rest]\nmemory=64M\nshare=90%\ncpus=all\n"
                               "[onecpu]\nmemory=64M\nshare=25%\ncpus=1\n"
                               "[strict]\nmemory=64M\nshare=25%\ncpus=1\nisolation=strict\n"
                               "[brittle]\nmemory=64M\nshare=25%\ncpus=all\nhang-timeout=1s\n";

static char *wrapper;

/*
 * Renderers whose submits cost what they say, for a vgpud of kind "auto" those
 * with 3D; liars, strays, which lose their lease, parents, which have a child
 * that burns CPU time whatever they do, those whose work a child does, and crowds
 * are named so.
 */
static void make_wrapper(const char *how)
{
    g_autofree char *text = NULL;

    text = g_strdup_printf("#!/bin/bash\n"
                           "how=%s\n"
                           "for a; do shift; set -- \"$@\" \"${a/--renderer=auto/--renderer=null}\"; done\n"
                           "case \"$*\" in\n"
                           "*--vm-name=child*) how=child ;;\n"
                           "*--vm-name=liar*) set -- \"$@\" --null-lies ;;\n"
                           "*--vm-name=stray*)\n"
                           "    for a; do shift; [[ $a = --lease-* ]] || set -- \"$@\" \"$a\"; done\n"
                           "    exec 9>&- 10>&- 11>&- ;;\n"
                           "*--vm-name=parent*)\n"
                           "    (exec 3>&- 4>&- 5>&- 6>&- 9>&- 10>&- 11>&-\n"
                           "     while ((SECONDS < 60)); do :; done) & ;;\n"
                           "*--vm-name=crowd*)\n"
                           "    (exec 3>&- 4>&- 5>&- 6>&- 9>&- 10>&- 11>&-\n"
                           "     for ((i = 0; i < 300; i++)); do sleep 90 & done; wait) & ;;\n"
                           "esac\n"
                           "[[ \"$*\" = *--renderer=2d* ]] ||\n"
                           "    set -- --null-submit-us=-1 --null-submit-how=$how \"$@\"\n"
                           "exec '%s' \"$@\"\n",
                           how, g_getenv("VGPU_TEST_REAL_RENDERER"));
    g_assert_true(g_file_set_contents_full(wrapper, text, -1, G_FILE_SET_CONTENTS_NONE, 0755, NULL));
}

Vgpud *new_vgpud_of(const char *kind, const char *how, const char *conf)
{
    Vgpud *d;
    g_autofree char *folder = NULL, *file = NULL;

    make_wrapper(how);
    d = vgpud_new(kind, conf);
    vgpud_end(d, SIGTERM);
    folder = g_build_filename(d->config, "profiles.d", NULL);
    file = g_build_filename(folder, "test.conf", NULL);
    g_mkdir(folder, 0700);
    g_assert_true(g_file_set_contents(file, profiles, -1, NULL));
    g_assert_true(vgpud_run(d));
    return d;
}

Vgpud *new_vgpud(const char *how, const char *conf)
{
    return new_vgpud_of("null", how, conf);
}

/* ---- guests ---- */

bool load_start(Load *l, Vgpud *d, const char *profile, const char *name, unsigned number, uint32_t us)
{
    *l = (Load){ .fd = -1, .us = us };
    l->f = attach_vm(d, profile, name, number, &l->fd);
    return l->f && gpu_context_create(l->f, 1, 0) == OK_NODATA;
}

static void load_pump(Load *l)
{
    if (!l->f) {
        return;
    }
    frontend_collect(l->f, NULL);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        if (l->p[i] && l->p[i]->done) {
            g_clear_pointer(&l->p[i], pending_free);
            l->done_us += l->us;
        }
        if (!l->p[i]) {
            l->p[i] = gpu_submit_fenced(l->f, 1, &l->us, 1, ++l->fence);
        }
    }
}

void pump(Load *l, unsigned count, unsigned ms)
{
    int64_t end = g_get_monotonic_time() + ms * 1000ll;

    while (g_get_monotonic_time() < end) {
        for (unsigned i = 0; i < count; i++) {
            load_pump(&l[i]);
        }
        g_usleep(200);
    }
}

void load_end(Load *l)
{
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        if (l->p[i]) {
            frontend_wait(l->f, l->p[i], FRONTEND_COMMAND_DEADLINE);
            g_clear_pointer(&l->p[i], pending_free);
        }
    }
    g_clear_pointer(&l->f, frontend_free);
    if (l->fd >= 0) {
        close(l->fd);
    }
}

/*
 * Each should do its share of the work from now on, give or take, and does in
 * the end if time is divided as it should be.
 */
void expect_shares(Load *l, unsigned count, const double *want, double tolerance)
{
    HostTime since = host_time();
    uint64_t before[MOST_VMS], sum;
    double share[MOST_VMS], worst;
    unsigned tries = 0;

    for (unsigned i = 0; i < count; i++) {
        before[i] = l[i].done_us;
    }
    pump(l, count, 300);
    do {
        pump(l, count, 300);
        sum = 0;
        worst = 0;
        for (unsigned i = 0; i < count; i++) {
            sum += l[i].done_us - before[i];
        }
        for (unsigned i = 0; i < count; i++) {
            share[i] = (double)(l[i].done_us - before[i]) / (double)MAX(sum, 1);
            worst = MAX(worst, ABS(share[i] / want[i] - 1));
        }
    } while (worst > tolerance && ++tries < 40);
    for (unsigned i = 0; i < count; i++) {
        g_test_message("%u: %.3f of %.3f s, to be %.3f", i, share[i], (double)sum / 1e6, want[i]);
    }
    if (worst > tolerance && host_was_busy(since)) {
        return;
    }
    g_assert_cmpfloat(worst, <=, tolerance);
}

/* ---- what vgpud says ---- */

JsonNode *vm_figures(Vgpud *d, const char *name)
{
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", name);
    g_autoptr(HttpReply) r = http_ask(d, "GET", path, NULL, NULL);
    JsonObject *o = http_expect_object(r);

    return o ? json_node_ref(r->json) : NULL;
}

int64_t vm_number(Vgpud *d, const char *name, const char *figure)
{
    g_autoptr(JsonNode) node = vm_figures(d, name);

    return node ? json_object_get_int_member(json_node_get_object(node), figure) : -1;
}

bool vm_flag(Vgpud *d, const char *name, const char *figure)
{
    g_autoptr(JsonNode) node = vm_figures(d, name);

    return node && json_object_get_boolean_member(json_node_get_object(node), figure);
}

void change(Vgpud *d, const char *method, const char *path, const char *body)
{
    g_autoptr(HttpReply) r = http_ask(d, method, path, body ? JSON_TYPE : NULL, body);

    g_assert_cmpuint(r->status, ==, 200);
}

uint64_t cpu_ns(pid_t pid)
{
    struct timespec ts;
    clockid_t clock;

    g_assert_cmpint(clock_getcpuclockid(pid, &clock), ==, 0);
    g_assert_cmpint(clock_gettime(clock, &ts), ==, 0);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int load_run_tests(void)
{
    g_autofree char *folder = g_dir_make_tmp("vgpud-leases-XXXXXX", NULL);
    int status;

    wrapper = g_build_filename(folder, "renderer", NULL);
    g_setenv("VGPU_TEST_REAL_RENDERER", g_getenv("VGPU_RENDERER"), TRUE);
    g_setenv("VGPU_RENDERER", wrapper, TRUE);
    g_setenv("VGPU_TEST_RENDERER_ARGS", "--no-sandbox", TRUE);
    status = g_test_run();
    g_unlink(wrapper);
    g_rmdir(folder);
    g_free(wrapper);
    return status;
}
