/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vgpuctl top shows: two looks at vgpud's VMs and what happened between
 * them.  No terminal and no network in here.
 */
#ifndef VGPUCTL_TOP_MODEL_H
#define VGPUCTL_TOP_MODEL_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "table.h"

typedef enum TopColumn {
    TOP_VM,
    TOP_PROFILE,
    TOP_GPU,
    TOP_STATE,
    TOP_TIME,  /* of the GPU since the last look */
    TOP_SHARE, /* granted */
    TOP_USED,
    TOP_LIMIT,
    TOP_FRAMES, /* per second */
    TOP_WAIT,   /* for the GPU, as a share of the time since the last look */
    TOP_HANGS,
    TOP_COLUMNS,
} TopColumn;

typedef struct TopVm {
    char *key;                 /* the same VM in another look has the same */
    char *text[TOP_COLUMNS];   /* clean; "-": not known */
    double value[TOP_COLUMNS]; /* of columns that are figures; NAN: not known */
    char *gpu;                 /* as vgpud says it */
    bool running;
    JsonObject *object; /* a reference: vgpud's */
} TopVm;

typedef struct TopGpu {
    char *name, *policy, *driver; /* clean; policy may be NULL */
    double busy;                  /* 0 to 1: the sum of the VMs that are shown; NAN: not known */
    bool own;                     /* those are the caller's: what others use vgpud does not tell */
    uint64_t memory, booked;      /* bytes */
    unsigned vms;                 /* of those that are shown */
    JsonObject *object;
} TopGpu;

typedef struct Top {
    GPtrArray *vms;  /* TopVm */
    GPtrArray *gpus; /* TopGpu */
    int64_t at_us;   /* monotonic */
    double seconds;  /* since the look before; 0: there was none */
    bool cpu_time;   /* some GPU's time is CPU time */
} Top;

/* Title and alignment of each column. */
extern const TableColumn top_columns[TOP_COLUMNS];

/* before: the last look, or NULL: then rates are as vgpud has them, if it has. */
Top *top_new(JsonArray *vms, JsonArray *gpus, int64_t at_us, const Top *before);
void top_free(Top *t); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Top, top_free)

/* Figures: the largest first, texts from a to z; reverse: the other way round.  Not known comes last. */
void top_sort(Top *t, TopColumn column, bool reverse);

/* By title, in any case, or by a name for the command line ("time", "memory"); TOP_COLUMNS: none. */
TopColumn top_column(const char *name);
const char *const *top_column_names(void); /* for the command line, ends with NULL */

/* {"seconds", "vms", "gpus"}: vgpud's objects, with what was measured. */
JsonNode *top_json(const Top *t);

#endif
