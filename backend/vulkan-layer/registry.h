/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What we know of an instance or a device, found by a handle of it or of one of
 * its queues or physical devices: their first word, the loader's, is the same.
 * Finding takes no lock and looks at as many entries as there are at a time,
 * which is one or two.
 */
#ifndef VGPU_LAYER_REGISTRY_H
#define VGPU_LAYER_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A guest that makes more has gone mad. */
#define REGISTRY_MAX 256

typedef struct Registry {
    pthread_mutex_t lock; /* for who changes it */
    uint32_t used;        /* atomic: entries ever used */
    struct {
        const void *key; /* atomic; NULL: free.  Written last, cleared first */
        void *value;
    } entries[REGISTRY_MAX];
} Registry;

/* False: it is full. */
bool registry_add(Registry *r, const void *handle, void *value);
void registry_remove(Registry *r, const void *handle);
/* NULL: nobody has told us of it. */
void *registry_find(const Registry *r, const void *handle);

#endif
