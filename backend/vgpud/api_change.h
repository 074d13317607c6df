/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests that change something.  Each is whole or not at all, and leaves
 * one line in the audit log, whatever comes of it.
 */
#ifndef VGPUD_API_CHANGE_H
#define VGPUD_API_CHANGE_H

#include "api.h"
#include "control.h"

typedef struct ApiChange {
    Daemon *daemon;
    const ApiRequest *request;
    ApiAnswer *answer; /* set to an error, or left alone */
    const char *id;    /* of the path: what is to be changed */
    char *text;        /* what it asks for, for the audit log; NULL: nothing intelligible */
    Vm *vm;            /* what was changed, one of them */
    Gpu *gpu;
} ApiChange;

typedef void ApiChangeRun(ApiChange *c);

ApiChangeRun api_change_vm, api_change_stop, api_change_restart, api_change_allow, api_change_policy;

/* The VM of that name among those that the caller sees; NULL with an error answered. */
Vm *api_find_vm(const Daemon *d, const Caller *caller, const char *id, ApiAnswer *a);
Gpu *api_find_gpu(const Daemon *d, const char *id, ApiAnswer *a);

/* "share=30% memory=2147483648"; to free. */
char *api_change_text(const ControlChange *change);

#endif
