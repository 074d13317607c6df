/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests that always have work, on null renderers that play a busy GPU, under a
 * real vgpud: for tests of how GPU time is divided.
 */
#ifndef TEST_LOAD_H
#define TEST_LOAD_H

#include "attach.h"

#define SOON      20000 /* ms */
#define MOST_VMS  4
#define IN_FLIGHT 16 /* so that this test may be late */

/* A guest that always has IN_FLIGHT submits queued, each of so many microseconds. */
typedef struct Load {
    Frontend *f;
    int fd;
    uint32_t us;
    Pending *p[IN_FLIGHT];
    uint64_t fence;
    uint64_t done_us; /* ever */
} Load;

/* g_test_run, with renderers behind a script that adds arguments, which is no program of the sandbox's. */
int load_run_tests(void);

/*
 * A vgpud with profiles even, tenth, rest, onecpu, strict and brittle (25, 10,
 * 90, 25, 25 and 25 %).  how: what a submit costs, see renderer_null.c; kind: of vgpud.conf.
 */
Vgpud *new_vgpud_of(const char *kind, const char *how, const char *conf);
Vgpud *new_vgpud(const char *how, const char *conf); /* of kind null */

bool load_start(Load *l, Vgpud *d, const char *profile, const char *name, unsigned number, uint32_t us);
void load_end(Load *l);
/* All of them have work, for so long. */
void pump(Load *l, unsigned count, unsigned ms);

/*
 * Each should do its share of the work from now on, give or take, and does in
 * the end if time is divided as it should be.
 */
void expect_shares(Load *l, unsigned count, const double *want, double tolerance);

/* What vgpud says of a VM, to unref; one figure of it; a change by its API that must be done. */
JsonNode *vm_figures(Vgpud *d, const char *name);
int64_t vm_number(Vgpud *d, const char *name, const char *figure);
bool vm_flag(Vgpud *d, const char *name, const char *figure);
void change(Vgpud *d, const char *method, const char *path, const char *body);

/* CPU time that a process has used, ever. */
uint64_t cpu_ns(pid_t pid);

#endif
