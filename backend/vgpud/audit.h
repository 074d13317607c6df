/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The audit log: one line for each change and for each refusal, with the same
 * as fields for a journal (`journalctl VGPU_AUDIT=refused`).
 *
 *   audit: who="user alice (uid 1000, pid 42)" what=set target=win10 from="the
 *   API's socket" change="share=30%" result=done
 *
 * What is refused is written 20 times in a row and then once in five seconds
 * for each user or address: somebody who is refused without end fills no disk.
 * The rest is counted, and a line of its own tells how many of what were left
 * out (VGPU_LEFT_OUT), so that the sum over all lines is exact.  What is done
 * is always written.
 */
#ifndef VGPUD_AUDIT_H
#define VGPUD_AUDIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "roles.h"

typedef struct AuditLine {
    const Caller *caller; /* NULL: nobody knows */
    const char *from;     /* "the API's socket", "10.0.0.1" */
    const char *what;     /* "set", "stop", "attach": one word */
    const char *target;   /* a VM, a GPU; anything, cleaned here.  NULL: none */
    const char *change;   /* "share=30% memory=2G"; NULL: none */
    const char *refused;  /* why, a sentence; NULL: it was done */
} AuditLine;

void audit(const AuditLine *line);

/* vgpud ends: what was left out and not told yet. */
void audit_end(void);

/* The text of a line; to free. */
char *audit_text(const AuditLine *line);

/* How many refusals one may have written down: a bucket that refills. */
#define AUDIT_KINDS 8 /* counted apart; all others as one */
typedef struct AuditBucket {
    int64_t since_us;  /* when it was full, as far as it was used; 0: never used */
    uint64_t left_out; /* not told yet, of all kinds */
    struct {
        const char *what; /* a constant; NULL: none */
        uint64_t left_out;
    } kinds[AUDIT_KINDS];
} AuditBucket;

/* True: write it (and what was left out before it).  Else it was counted. */
bool audit_bucket_take(AuditBucket *b, const char *what, int64_t now_us);

/* "12 more refusals were not written down: 10 of attach, 2 of set", and forgets them; to free. */
char *audit_bucket_tell(AuditBucket *b);

#endif
