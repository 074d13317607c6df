/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The zygote: a renderer's program that is forked when all is loaded.  See
 * ../vgpud/zygote.h for the theory.
 */
#ifndef VGPU_RENDERER_ZYGOTE_H
#define VGPU_RENDERER_ZYGOTE_H

#include <stdbool.h>

/* The command line is a zygote's. */
bool zygote_is(int argc, char *const *argv);

/*
 * Serves vgpud until it goes; the exit status.  run: a renderer's main(), in a
 * child, which has no way back.
 */
int zygote_serve(int argc, char **argv, int (*run)(int argc, char **argv));

#endif
