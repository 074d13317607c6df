/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a virgl command may look like: the lengths that virglrenderer 1.1
 * accepts, and what an object costs.
 */
#ifndef VGPU_QUOTA_STREAM_TABLE_H
#define VGPU_QUOTA_STREAM_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/* In dwords after the header: min, min + step, min + 2 step, ... max. */
typedef struct StreamLength {
    uint16_t min, max, step;
    bool known;
} StreamLength;

typedef struct StreamObjectRule {
    StreamLength length;
    uint32_t bytes; /* charged for one; shaders add their text */
} StreamObjectRule;

/* NULL: unknown, or one that we refuse on purpose; *why says which. */
const StreamLength *stream_command_length(uint32_t opcode, const char **why);

/* NULL: no such type. */
const StreamObjectRule *stream_object_rule(uint32_t type);

bool stream_length_fits(const StreamLength *rule, uint32_t length);

#endif
