/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest's OpenGL hears about video memory: its slice, never the host's.
 */
#ifndef VGPU_RENDERER_MEMORY_INFO_H
#define VGPU_RENDERER_MEMORY_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "../quota/ledger.h"

#define MEMORY_INFO_CAPSET_VIRGL2 2

/*
 * Writes the limit, and that no buffer of the host's can be mapped, into a VIRGL2 capset that virglrenderer
 * filled.  host_renderer: the GL_RENDERER it was filled from.  False, and nothing changed, when the layout is
 * not the one we know.
 */
bool memory_info_patch_caps(void *caps, size_t size, const char *host_renderer, uint64_t limit);

/* The answer to VIRGL_CCMD_GET_MEMORY_INFO; false when the backing is too small for it. */
bool memory_info_write(const Ledger *ledger, const struct iovec *iov, uint32_t count);

#endif
