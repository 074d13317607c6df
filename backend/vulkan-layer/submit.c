/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  The three ways to submit differ in the structure of a
 * batch and in nothing else: each is a Way here.  A call is made as one, unless a
 * batch after its first waits for a timeline semaphore: then another call begins
 * with that batch (see gate.c).  The guest's fence goes with the last of them,
 * and where there is one, ours follows in an empty call.
 */
#include "submit.h"

#include "layer.h"

typedef struct Way {
    VkResult (*call)(Device *d, VkQueue queue, uint32_t first, uint32_t count, const void *batches,
                     VkFence fence);
    /* What batch i waits for, noted on w, which may be NULL.  True: for a timeline semaphore. */
    bool (*waits)(Device *d, const void *batches, uint32_t i, Work *w);
} Way;

static bool note_wait(Device *d, Work *w, VkSemaphore semaphore, uint64_t value)
{
    bool timeline = semaphores_is_timeline(d, semaphore);

    if (w && timeline && w->waits_count < WORK_WAITS) {
        w->waits[w->waits_count].semaphore = semaphore;
        w->waits[w->waits_count++].value = value;
    }
    if (w && !timeline) {
        w->waits_binary = true;
    }
    return timeline;
}

static bool note_waits(Device *d, Work *w, uint32_t count, const VkSemaphore *semaphores, const void *next)
{
    const VkTimelineSemaphoreSubmitInfo *values =
        count ? chain_find(next, VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO) : NULL;
    bool timeline = false;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = values && i < values->waitSemaphoreValueCount ? values->pWaitSemaphoreValues[i] : 0;

        timeline |= note_wait(d, w, semaphores[i], value);
    }
    return timeline;
}

/* Calls first to first + count - 1, which are one call of the driver's. */
static VkResult submit_some(Device *d, VkQueue queue, const Way *way, const void *batches, uint32_t first,
                            uint32_t count, VkFence fence)
{
    Work *w = gate_begin(d);
    bool submitted;
    VkResult result;

    if (!w) {
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    way->waits(d, batches, first, w);
    result = way->call(d, queue, first, count, batches, fence ? fence : w->fence);
    submitted = result == VK_SUCCESS;
    if (submitted && fence && way->call(d, queue, 0, 0, NULL, w->fence) != VK_SUCCESS) {
        d->next.QueueWaitIdle(queue); /* then nothing of it is in flight */
        submitted = false;
    }
    gate_end(d, queue, w, submitted);
    return result;
}

static VkResult submit(VkQueue queue, const Way *way, const void *batches, uint32_t count, VkFence fence)
{
    Device *d = device_of(queue);
    uint32_t first = 0, end;
    VkResult result;

    if (!count) {
        return way->call(d, queue, 0, 0, NULL, fence); /* no work */
    }
    do {
        for (end = first + 1; end < count && !way->waits(d, batches, end, NULL); end++) {
        }
        result =
            submit_some(d, queue, way, batches, first, end - first, end == count ? fence : VK_NULL_HANDLE);
        first = end;
    } while (result == VK_SUCCESS && first < count);
    return result;
}

static VkResult call_submit(Device *d, VkQueue queue, uint32_t first, uint32_t count, const void *batches,
                            VkFence fence)
{
    return d->next.QueueSubmit(queue, count, count ? (const VkSubmitInfo *)batches + first : NULL, fence);
}

static bool waits_submit(Device *d, const void *batches, uint32_t i, Work *w)
{
    const VkSubmitInfo *s = (const VkSubmitInfo *)batches + i;

    return note_waits(d, w, s->waitSemaphoreCount, s->pWaitSemaphores, s->pNext);
}

static VkResult call_submit2(Device *d, VkQueue queue, uint32_t first, uint32_t count, const void *batches,
                             VkFence fence)
{
    return d->next.QueueSubmit2(queue, count, count ? (const VkSubmitInfo2 *)batches + first : NULL, fence);
}

static bool waits_submit2(Device *d, const void *batches, uint32_t i, Work *w)
{
    const VkSubmitInfo2 *s = (const VkSubmitInfo2 *)batches + i;
    bool timeline = false;

    for (uint32_t k = 0; k < s->waitSemaphoreInfoCount; k++) {
        timeline |= note_wait(d, w, s->pWaitSemaphoreInfos[k].semaphore, s->pWaitSemaphoreInfos[k].value);
    }
    return timeline;
}

static VkResult call_sparse(Device *d, VkQueue queue, uint32_t first, uint32_t count, const void *batches,
                            VkFence fence)
{
    return d->next.QueueBindSparse(queue, count, count ? (const VkBindSparseInfo *)batches + first : NULL,
                                   fence);
}

static bool waits_sparse(Device *d, const void *batches, uint32_t i, Work *w)
{
    const VkBindSparseInfo *s = (const VkBindSparseInfo *)batches + i;

    return note_waits(d, w, s->waitSemaphoreCount, s->pWaitSemaphores, s->pNext);
}

VKAPI_ATTR VkResult VKAPI_CALL submit_queue(VkQueue queue, uint32_t count, const VkSubmitInfo *submits,
                                            VkFence fence)
{
    static const Way way = { call_submit, waits_submit };

    return submit(queue, &way, submits, count, fence);
}

VKAPI_ATTR VkResult VKAPI_CALL submit_queue2(VkQueue queue, uint32_t count, const VkSubmitInfo2 *submits,
                                             VkFence fence)
{
    static const Way way = { call_submit2, waits_submit2 };

    return submit(queue, &way, submits, count, fence);
}

VKAPI_ATTR VkResult VKAPI_CALL submit_sparse(VkQueue queue, uint32_t count, const VkBindSparseInfo *binds,
                                             VkFence fence)
{
    static const Way way = { call_sparse, waits_sparse };

    return submit(queue, &way, binds, count, fence);
}

/* What showing a picture takes is in flight as well, and only an empty submit can tell of its end. */
VKAPI_ATTR VkResult VKAPI_CALL submit_present(VkQueue queue, const VkPresentInfoKHR *info)
{
    Device *d = device_of(queue);
    Work *w = gate_begin(d);
    bool submitted;
    VkResult result;

    if (!w) {
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    w->waits_binary = info->waitSemaphoreCount > 0;
    result = d->next.QueuePresentKHR(queue, info);
    submitted = d->next.QueueSubmit(queue, 0, NULL, w->fence) == VK_SUCCESS;
    gate_end(d, queue, w, submitted);
    return result;
}

VKAPI_ATTR VkResult VKAPI_CALL submit_signal(VkDevice device, const VkSemaphoreSignalInfo *info)
{
    Device *d = device_of(device);
    bool entered = gate_signal(d);
    VkResult result = d->next.SignalSemaphore(device, info);

    if (entered) {
        gate_signalled(d);
    }
    return result;
}
