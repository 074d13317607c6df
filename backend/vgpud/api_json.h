/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the API shows of a VM, a profile and a GPU: one JSON object each, in
 * the shape that openapi.json describes.
 */
#ifndef VGPUD_API_JSON_H
#define VGPUD_API_JSON_H

#include <json-glib/json-glib.h>

#include "daemon.h"
#include "roles.h"

/* A tenant gets figures of its own VMs and of nobody else's. */
typedef struct ApiView {
    Daemon *daemon;
    const Caller *caller;
    AdmissionBooking *bookings; /* of all VMs, whoever asks: what is free is free for nobody twice */
    size_t count;
    uint64_t now_ns; /* CLOCK_MONOTONIC */
} ApiView;

ApiView *api_view_new(Daemon *d, const Caller *caller);
void api_view_free(ApiView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ApiView, api_view_free)

void api_json_vm(JsonBuilder *b, const ApiView *view, Vm *vm);
void api_json_profile(JsonBuilder *b, const ApiView *view, const Profile *p);
void api_json_gpu(JsonBuilder *b, const ApiView *view, Gpu *g);

/* {"error": "SENTENCE"} and a line's end; to free. */
char *api_json_error(const char *sentence);

/* The builder's root as text, with a line's end; to free. */
char *api_json_text(JsonBuilder *b);

#endif
