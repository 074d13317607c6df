/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtgpu interface of the kernel without Mesa, for the guest's test programs.
 * What has int as its result is 0 or -errno; the rest ends the program.
 */
#ifndef VGPU_TEST_RAW_H
#define VGPU_TEST_RAW_H

#include "args.h"

#include <stdbool.h>
#include <stdint.h>

#include <drm/virtgpu_drm.h>

/* The render node, opened once more: a context of its own. */
int raw_open(void);

/* Ends the program with what errno says. */
void raw_failed(const char *what) __attribute__((noreturn));

int raw_call(int fd, unsigned long request, void *argument);

struct raw_buffer {
    uint32_t handle;   /* of the file */
    uint32_t resource; /* of the host */
    uint32_t size;
    uint32_t *words; /* raw_map() */
};

/* A buffer (PIPE_BUFFER) of the host, with memory of the guest behind it. */
int raw_buffer(int fd, uint32_t size, struct raw_buffer *b);
void raw_map(int fd, struct raw_buffer *b);
void raw_close(int fd, uint32_t handle);

/* What a submit says beside its commands; all zero: nothing. */
struct raw_submit {
    const uint32_t *commands; /* NULL: one that does nothing */
    uint32_t count;           /* words */
    uint32_t handle;          /* a buffer that it uses */
    uint32_t timeline;        /* a syncobj, and its point that is signalled */
    uint64_t point;
    bool fence; /* wanted */
};

/* The fence's descriptor where it was wanted, else 0; or -errno. */
int raw_submit(int fd, const struct raw_submit *s);

/* Commands that write count words into the buffer, from its begin; their number. */
#define RAW_WRITE_HEAD 12
uint32_t raw_write(uint32_t *commands, const struct raw_buffer *b, const uint32_t *words, uint32_t count);

/* Transfers of the whole buffer; WAIT for what is done with it. */
int raw_transfer(int fd, const struct raw_buffer *b, bool to_host);
int raw_wait(int fd, uint32_t handle);

/* Whether the fence signals within ms; *status: 1 well, or -errno of its work. */
bool raw_fence(int fence, int ms, int *status);

#endif
