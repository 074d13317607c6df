/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One good example of every virtio-gpu command, for the tests that cut, split
 * and bend them all alike.
 */
#ifndef TEST_SAMPLE_H
#define TEST_SAMPLE_H

#include "gpu_cmd.h"

typedef struct Sample {
    const char *name;
    uint32_t size;      /* of cmd, bytes */
    uint32_t data_size; /* of what follows it, bytes */
    uint32_t resp_size;
    uint32_t ok; /* response of a renderer that can 3D; 0: an error, its feature is off */
    bool needs_3d;
    union {
        struct virtio_gpu_ctrl_hdr hdr;
        uint8_t bytes[128];
    } cmd;
    uint8_t data[64];
} Sample;

/* What the samples refer to, made anew by sample_prepare(). */
#define SAMPLE_RESOURCE  0x11 /* 2D, 16x16, backed */
#define SAMPLE_BARE      0x12 /* 2D, 16x16, without backing */
#define SAMPLE_FREE      0x13 /* an id nobody has */
#define SAMPLE_BLOB      0x14 /* of guest memory, the same 16x16 pixels */
#define SAMPLE_RESOURCES 3    /* so many of them */
#define SAMPLE_CONTEXT   0x21
#define SAMPLE_FREE_CTX  0x22

extern const unsigned sample_count;
Sample sample_get(Frontend *f, unsigned index);
/* Destroys what an earlier sample made and makes what samples need. */
void sample_prepare(Frontend *f);

#endif
