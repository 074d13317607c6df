/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How tests are listed.  Each test-*.c has one table of behaviours; vgpu-test.c
 * runs every one on each target, in a process and a runtime folder of its own.
 */
#ifndef VGPU_CASES_H
#define VGPU_CASES_H

#include "vgpu-driver.h"

enum {
    CASE_OURS = 1 << 0,        /* makes sense for vgpu-pci only */
    CASE_RAW = 1 << 1,         /* boots by itself: run() gets NULL */
    CASE_VIRGL = 1 << 2,       /* needs a renderer with 3D: implies CASE_OURS */
    CASE_NO_EPILOGUE = 1 << 3, /* leaves no device behind that could answer */
    CASE_NULL = 1 << 4,        /* with the null renderer, and only there: implies CASE_OURS */
};

typedef struct GpuCase {
    const char *name; /* group/behaviour */
    void (*run)(Gpu *g);
    unsigned flags;
    const char *props; /* more device properties, "max_outputs=4" */
} GpuCase;

/* Each ends with a NULL name. */
extern const GpuCase cases_negotiation[], cases_config[], cases_2d[], cases_2d_invalid[], cases_cursor[],
    cases_3d[], cases_3d_invalid[], cases_blob[], cases_chains[], cases_sizes[], cases_fences[],
    cases_interrupts[], cases_console[], cases_lifecycle[], cases_hotplug[], cases_startup[], cases_memory[],
    cases_quota[], cases_control[], cases_trace[], cases_window[], cases_hostile[], cases_running[],
    cases_stats[], cases_loss[], cases_submit[], cases_revive[], cases_migrate[], cases_migrate_no[];

bool current_target_is_ours(void);
const char *current_driver(void); /* for -device */
/* A vgpud.conf of its own for the vgpud that the next VM starts. */
void target_configure(const char *text);

/*
 * What QEMU's virtio-gpu-pci is known to do otherwise; see
 * vgpu-differences.c.  difference_is_known() marks the entry as seen, and a
 * case whose entry was not seen fails: the table stays true.
 */
bool difference_is_known(uint32_t got, uint32_t want);
const char *difference_skip(const char *name); /* why not run there, or NULL */
void difference_begin(const char *name);
void difference_end(void);

#endif
