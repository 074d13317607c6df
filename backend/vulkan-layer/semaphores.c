/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "semaphores.h"

#include <stdlib.h>

#include "layer.h"

typedef struct Timeline {
    struct Timeline *next;
    VkSemaphore handle;
} Timeline;

void semaphores_init(Semaphores *s)
{
    pthread_mutex_init(&s->lock, NULL);
}

void semaphores_finish(Semaphores *s)
{
    for (unsigned i = 0; i < SEMAPHORES_BUCKETS; i++) {
        Timeline *t;

        while ((t = s->buckets[i])) {
            s->buckets[i] = t->next;
            free(t);
        }
    }
    pthread_mutex_destroy(&s->lock);
}

/* Lock held: the pointer to it, or to the end. */
static Timeline **find(Semaphores *s, VkSemaphore handle)
{
    Timeline **at = &s->buckets[((uint64_t)handle * 0x9e3779b97f4a7c15ull) >> 58];

    while (*at && (*at)->handle != handle) {
        at = &(*at)->next;
    }
    return at;
}

static bool any(const Semaphores *s)
{
    return __atomic_load_n(&s->count, __ATOMIC_ACQUIRE) > 0;
}

bool semaphores_is_timeline(Device *d, VkSemaphore semaphore)
{
    Semaphores *s = &d->semaphores;
    bool is;

    if (!any(s)) {
        return false;
    }
    pthread_mutex_lock(&s->lock);
    is = *find(s, semaphore) != NULL;
    pthread_mutex_unlock(&s->lock);
    return is;
}

bool semaphores_reached(Device *d, VkSemaphore semaphore, uint64_t value)
{
    Semaphores *s = &d->semaphores;
    bool reached = true;
    uint64_t counter;

    pthread_mutex_lock(&s->lock); /* a guest may destroy what it must not */
    if (*find(s, semaphore) &&
        d->next.GetSemaphoreCounterValue(d->handle, semaphore, &counter) == VK_SUCCESS) {
        reached = counter >= value;
    }
    pthread_mutex_unlock(&s->lock);
    return reached;
}

static bool is_timeline(const Device *d, const VkSemaphoreCreateInfo *info)
{
    const VkSemaphoreTypeCreateInfo *type =
        chain_find(info->pNext, VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);

    return type && type->semaphoreType == VK_SEMAPHORE_TYPE_TIMELINE && d->next.GetSemaphoreCounterValue;
}

VKAPI_ATTR VkResult VKAPI_CALL semaphores_create(VkDevice device, const VkSemaphoreCreateInfo *info,
                                                 const VkAllocationCallbacks *callbacks,
                                                 VkSemaphore *semaphore)
{
    Device *d = device_of(device);
    Semaphores *s = &d->semaphores;
    Timeline *t = NULL;
    VkResult result;

    if (is_timeline(d, info)) {
        t = malloc(sizeof(*t));
        if (!t) {
            return VK_ERROR_OUT_OF_HOST_MEMORY;
        }
    }
    result = d->next.CreateSemaphore(device, info, callbacks, semaphore);
    if (result != VK_SUCCESS || !t) {
        free(t);
        return result;
    }
    pthread_mutex_lock(&s->lock);
    *t = (Timeline){ .handle = *semaphore };
    *find(s, *semaphore) = t;
    __atomic_add_fetch(&s->count, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&s->lock);
    return result;
}

VKAPI_ATTR void VKAPI_CALL semaphores_destroy(VkDevice device, VkSemaphore semaphore,
                                              const VkAllocationCallbacks *callbacks)
{
    Device *d = device_of(device);
    Semaphores *s = &d->semaphores;

    if (semaphore && any(s)) {
        Timeline **at, *t;

        pthread_mutex_lock(&s->lock);
        at = find(s, semaphore);
        t = *at;
        if (t) {
            *at = t->next;
            __atomic_sub_fetch(&s->count, 1, __ATOMIC_RELEASE);
        }
        pthread_mutex_unlock(&s->lock);
        free(t);
    }
    d->next.DestroySemaphore(device, semaphore, callbacks);
}
