/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The audit log: one line for each change and for each refusal, with the same
 * as fields for a journal (`journalctl VGPU_AUDIT=refused`).
 *
 *   audit: who="user alice (uid 1000, pid 42)" what=set target=win10 from="the
 *   API's socket" change="share=30%" result=done
 *
 * What is refused is written 20 times in a row and then once in a few seconds
 * for each user or address, with the number of what was left out: somebody who is refused
 * without end fills no disk.  What is done is always written.
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

/* The text of a line; to free. */
char *audit_text(const AuditLine *line);

/* How many refusals one may have written down: a bucket that refills. */
typedef struct AuditBucket {
    int64_t since_us; /* when it was full, as far as it was used; 0: never used */
    uint64_t left_out;
} AuditBucket;

/* True: write it (and left_out, which is to be made 0, with it). */
bool audit_bucket_take(AuditBucket *b, int64_t now_us);

#endif
