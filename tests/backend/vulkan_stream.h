/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vulkan commands as a guest's Mesa sends them to a Vulkan context, in the
 * encoding of the venus protocol: enough to have memory.  Every object has an id
 * of the guest's choice, 1 to 3 being taken.  Nothing is answered; what failed is seen by what comes
 * after it.
 */
#ifndef TEST_VULKAN_STREAM_H
#define TEST_VULKAN_STREAM_H

#include "venus.h"

/* An instance, the first physical device and a device with one queue. */
void vulkan_device(Frontend *f, uint32_t ctx);
/* Memory of that context's device, of the first memory type, whose descriptor may be given out. */
void vulkan_memory(Frontend *f, uint32_t ctx, uint64_t id, uint64_t size);
/* Memory made of a resource that is attached to the context. */
void vulkan_import(Frontend *f, uint32_t ctx, uint64_t id, uint32_t resource_id, uint64_t size);
/*
 * A ring at the beginning of a blob that the context has: its status is the word
 * at VULKAN_RING_STATUS, and gets VULKAN_RING_ALIVE every so often.
 */
#define VULKAN_RING_STATUS 128
#define VULKAN_RING_ALIVE  4u
void vulkan_ring(Frontend *f, uint32_t ctx, uint32_t blob, uint32_t period_us);
void vulkan_ring_end(Frontend *f, uint32_t ctx);
void vulkan_free(Frontend *f, uint32_t ctx, uint64_t id);

#endif
