/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of guest drivers only: the null renderer answers as no device may.
 *
 * What a driver has to survive when its host is hostile or broken.  It begins
 * with the renderer (--null-hostile, or the environment variable
 * VGPU_NULL_HOSTILE, for vgpud.conf's environment=) or when a guest asks for it,
 * by a submit of five words: NULL_HOSTILE, kind, queues, after, count.  It is
 * over when so many answers were spoilt, or, where the guest asked, with its
 * reset.  Only what the null renderer answers is ever touched.
 */
#ifndef VGPU_RENDERER_HOSTILE_H
#define VGPU_RENDERER_HOSTILE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define HOSTILE_ENV "VGPU_NULL_HOSTILE"

/* "HOST" */
#define NULL_HOSTILE 0x54534f48u

typedef enum HostileKind {
    HOSTILE_NONE = 0,
    HOSTILE_SHORT = 1,  /* eight bytes of the answer, the rest of the buffer as it was */
    HOSTILE_EMPTY = 2,  /* used with a length of 0 */
    HOSTILE_TYPE = 3,   /* types of other commands' answers, of commands, and of nothing */
    HOSTILE_FENCE = 4,  /* the fence, context and ring of somebody else */
    HOSTILE_BODY = 5,   /* a good header, then ones: sizes, counts and offsets beyond all bounds */
    HOSTILE_ID = 6,     /* a used id that was never asked for; the one that was is lost */
    HOSTILE_TWICE = 7,  /* the same id used twice */
    HOSTILE_LENGTH = 8, /* a used length that is larger than the buffer */
    HOSTILE_STOP = 9,   /* no answer */
    HOSTILE_JUMP = 10,  /* the used index runs ahead over elements that are old or nothing */
    HOSTILE_KINDS,
} HostileKind;

typedef struct Hostile {
    HostileKind kind;
    uint32_t queues; /* bit q: answers of queue q */
    uint32_t after;  /* so many of these that are good first */
    uint32_t count;  /* then so many that are not */
    bool asked;      /* by the guest: until its reset */
    uint32_t turn;   /* of the ways that a kind has several of */
} Hostile;

struct Vhost;
struct Element;

/* KIND[:AFTER[:COUNT[:QUEUES]]], KIND one of short, empty, type, ..., jump; default 0, 1 and all. */
bool hostile_parse(const char *text, Hostile *h, GError **error);

/* From now on. */
void hostile_begin(struct Vhost *v, const Hostile *h);
/* words: of the submit; false: they make no sense. */
bool hostile_asked(struct Vhost *v, const uint32_t words[5]);

/* vhost.c and queue.c, lock held. */
void hostile_reset(struct Vhost *v);
/* True: e, which has its answer, was taken and its ring is as it should not be. */
bool hostile_push(struct Vhost *v, struct Element *e);

#endif
