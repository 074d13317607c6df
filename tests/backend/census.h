/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a vgpud holds, counted from outside: to be the same again when all that
 * came has gone.
 */
#ifndef TEST_CENSUS_H
#define TEST_CENSUS_H

#include "attach.h"

typedef struct Census {
    unsigned fds;
    unsigned children; /* processes below it */
    unsigned maps;     /* of shared pages: statistics and leases */
    uint64_t rss_kib;  /* anonymous memory of vgpud alone */
    uint64_t cpu_ns;   /* used by all its threads, ever */
    uint64_t wakeups;  /* of all its threads, ever: how often one has slept */
} Census;

/* A vgpud whose software GPU has room for that many VMs of profile "cell", CENSUS_CELL bytes each. */
#define CENSUS_CELL (16ull << 20)
Vgpud *census_vgpud(const char *kind, unsigned cells);

/* Processes that vgpud started and does not outlive become this test's children: called once, first. */
void census_adopt_orphans(void);
/* Reaps those that have ended; how many are there still, but for vgpud. */
unsigned census_orphans(Vgpud *d);

Census census_take(Vgpud *d);
/* The same, once what was closed at our end is closed at its end too. */
Census census_at_rest(Vgpud *d);
/* Waits until it holds no more descriptors, children and maps than that, and no VM; a sentence for each that
 * stays. */
bool census_settle(Vgpud *d, const Census *before);
/* Its state file has a VM in it, even if only what was set for one that may come back. */
bool census_remembers(Vgpud *d);
/* As settled, and all figures of the API and the state file say that there is no VM. */
bool census_expect_nothing(Vgpud *d, const Census *before);

/* One VM in the books. */
typedef struct CensusVm {
    pid_t pid;
    bool running;
    int64_t memory; /* bytes booked */
} CensusVm;
/* UUID -> CensusVm; a test failure where the GPU's sums are of anything else. */
GHashTable *census_books(Vgpud *d);

/* GET of a path that answers with an array; NULL after a test failure. */
JsonArray *census_ask(Vgpud *d, const char *path, JsonNode **root);

#endif
