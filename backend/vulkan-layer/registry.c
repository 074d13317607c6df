/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "registry.h"

#include <stddef.h>

static const void *key_of(const void *handle)
{
    return *(const void *const *)handle;
}

bool registry_add(Registry *r, const void *handle, void *value)
{
    bool added = false;

    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < REGISTRY_MAX && !added; i++) {
        if (!r->entries[i].key) {
            r->entries[i].value = value;
            __atomic_store_n(&r->entries[i].key, key_of(handle), __ATOMIC_RELEASE);
            if (i >= r->used) {
                __atomic_store_n(&r->used, i + 1, __ATOMIC_RELEASE);
            }
            added = true;
        }
    }
    pthread_mutex_unlock(&r->lock);
    return added;
}

void registry_remove(Registry *r, const void *handle)
{
    const void *key = key_of(handle);

    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->used; i++) {
        if (r->entries[i].key == key) {
            __atomic_store_n(&r->entries[i].key, NULL, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&r->lock);
}

void *registry_find(const Registry *r, const void *handle)
{
    const void *key = key_of(handle);
    uint32_t used = __atomic_load_n(&r->used, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; i < used; i++) {
        if (__atomic_load_n(&r->entries[i].key, __ATOMIC_ACQUIRE) == key) {
            return r->entries[i].value;
        }
    }
    return NULL;
}
