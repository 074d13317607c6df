/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of gpu-fuzz share: chance, what calls gave for those that come
 * after them (racy, as user space may be), and the calls themselves.
 */
#ifndef VGPU_TEST_FUZZ_H
#define VGPU_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUZZ_SLOTS 24
#define FUZZ_BYTES 4096

struct fuzz_thread {
    uint64_t random;
    int pipe[2]; /* by which memory is touched */
};
extern __thread struct fuzz_thread fuzz_me;

extern volatile uint32_t fuzz_handles[FUZZ_SLOTS], fuzz_resources[FUZZ_SLOTS], fuzz_framebuffers[FUZZ_SLOTS];
extern volatile int fuzz_descriptors[FUZZ_SLOTS];
extern volatile int fuzz_render, fuzz_card; /* the process' files */
extern int fuzz_common;                     /* of all processes */
extern bool fuzz_wild;                      /* commands of the renderer may be anything */

uint32_t fuzz_any(void);
uint32_t fuzz_below(uint32_t n);
bool fuzz_once_in(uint32_t n);
/* A number at which something may change. */
uint32_t fuzz_odd(void);
uint32_t fuzz_slot(volatile uint32_t *slots);
/* One to render with, mostly; one for displays, mostly. */
int fuzz_file(void);
int fuzz_display(void);
void fuzz_keep_descriptor(int fd);
void fuzz_keep_handle(int fd, uint32_t handle, uint32_t resource);

/* An ioctl, whose argument may be changed at random; 0 or -errno. */
int fuzz_call(int fd, unsigned long request, void *argument);

/* Reads what is there and writes to it; 0 or -errno. */
int fuzz_touch(uint8_t *at, size_t length);

/* Asks for the displays of fuzz_card. */
void fuzz_find_displays(void);

/* Each does something once; a table ends with one without a name. */
struct fuzz_kind {
    const char *name;
    int (*run)(void);
    unsigned weight;
};
extern const struct fuzz_kind fuzz_of_rendering[], fuzz_of_displays[], fuzz_of_files[];

#endif
