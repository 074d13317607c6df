/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a recording; see vgpu/recording.h for the format. */
#ifndef VGPU_REPLAY_READER_H
#define VGPU_REPLAY_READER_H

#include <glib.h>
#include <stdbool.h>

#include "vgpu/recording.h"

typedef struct Recording {
    struct vgpu_recording_head head; /* its strings end in NUL */
    GByteArray *bytes;               /* unpacked, the head included */
    bool whole;                      /* false: the recorder was killed, or the file cut */
} Recording;

typedef struct RecordingEntry {
    enum vgpu_recording_kind kind;
    uint64_t time_ns;
    struct vgpu_recording_command command; /* of COMMAND */
    struct vgpu_recording_memory memory;   /* of MEMORY */
    const uint8_t *data;                   /* what follows that; aligned to 8, the recording's */
    uint32_t size;
} RecordingEntry;

/* The whole file, unpacked.  NULL with *error set when it is no recording of ours. */
Recording *recording_read(const char *path, GError **error);
void recording_free(Recording *r); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Recording, recording_free)

/* The next entry of a kind we know; *at: 0 at first.  False at the end. */
bool recording_next(const Recording *r, size_t *at, RecordingEntry *entry);

#endif
