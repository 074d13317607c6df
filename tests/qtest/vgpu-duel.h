/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM whose renderer is the test: QEMU and its adversary (vgpu-fake.h). */
#ifndef VGPU_DUEL_H
#define VGPU_DUEL_H

#include "vgpu-fake.h"
#include "vgpu-driver.h"

#define DUEL_FEATURES (1ull << VIRTIO_GPU_F_EDID | 1ull << VIRTIO_GPU_F_RESOURCE_BLOB)
#define DUEL_WINDOW   (64ull << 20) /* bytes */
#define DUEL_MARK     0x600df00du   /* first in each page of duel_memory() */
#define DUEL_QMP_MS   1000          /* QEMU answers within, whatever happens */
#define DUEL_QUERY    "{ 'execute': 'query-status' }"

typedef struct Duel {
    Fake *fake;
    GpuVm *vm;
    Gpu *gpu;
    uint64_t base; /* of the window, for the guest */
    char *log;     /* QEMU's */
    unsigned renderers, losses;
    uint64_t serial;
} Duel;

/* A VM with its driver at work; features are the renderer's, args more of QEMU's or NULL. */
Duel *duel_new(uint64_t features, const char *args);
void duel_free(Duel *d);
/* The VM is reset, and another renderer has its try. */
void duel_next_renderer(Duel *d);

/* What the guest reads in the window, and what QEMU has logged. */
uint32_t duel_word(Duel *d, uint64_t offset);
void duel_expect_empty(Duel *d);
unsigned duel_count_in_log(Duel *d, const char *what);
/* QEMU has had enough of it: one line in the log, nothing in the BAR, and it goes on. */
void duel_expect_refused(Duel *d, const char *what);

int duel_memory(uint64_t size, int seals);
/* A good one, to be sent, or spoilt first. */
struct vgpu_channel_blob_map duel_map_of(Duel *d, uint64_t offset, uint64_t size);
bool duel_send_map(Duel *d, const struct vgpu_channel_blob_map *m, int fd);
bool duel_send_unmap(Duel *d, uint64_t offset, uint64_t size);
/* The answer to what was sent last. */
void duel_expect_done(Duel *d, uint32_t status);
/* All that is to be done for a map, and seen by the guest. */
void duel_map_well(Duel *d, uint64_t offset, uint64_t size);

#endif
