/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation: what vgpud knows of this host's OpenGL.
 *
 * vgpud loads no driver, and reads nothing of what one says.  But a renderer that
 * is told what OpenGL is here starts in a tenth of the time (see late.h of the
 * renderer), and so does one that is forked from a process that has its libraries
 * loaded (zygote.h).  Both come from a probe: a renderer in its box, with no VM and
 * no guest, that starts OpenGL, writes a line for other renderers and the names of
 * the files it has mapped, and ends.  The line is passed on as it is.
 *
 * It holds as long as these files, the renderer's program and the folders where
 * drivers are registered are the ones that they were (device, inode, size, time of
 * change), and the renderers' environment: looked at before each start, which is a
 * hundred stat(2).  When it does not hold, or while a probe runs, renderers start as
 * ever, OpenGL first.  So nobody waits for a probe.
 *
 * It is kept in a file over restarts, so that the first VM of a vgpud that a QEMU has
 * started for itself has it as well.  The file is looked at as the state file is: it
 * may hold anything, and what it leads to is a renderer's start that fails.
 */
#ifndef VGPUD_GRAPHICS_H
#define VGPUD_GRAPHICS_H

#include "daemon.h"
#include "zygote.h"

typedef struct Graphics Graphics;

/*
 * Reads the file, probes what is not in it, starts a zygote unless the
 * configuration says off.  NULL where renderers have no OpenGL, or no box to try it
 * in.  user: vgpud is one that a QEMU started, and keeps the file in the user's
 * cache; else it is beside the state file.
 */
Graphics *graphics_new(Daemon *d, bool user);
void graphics_free(Graphics *g); /* takes NULL */

/*
 * For a renderer that is to start now.  facts: its --facts, borrowed until the
 * main loop runs again, NULL: not known.  zygote: the same, NULL: start it directly.
 */
void graphics_choose(Graphics *g, const Gpu *gpu, const char **facts, Zygote **zygote);

#endif
