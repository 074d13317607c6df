// SPDX-License-Identifier: GPL-2.0-or-later
#version 450
// Ends when somebody makes the word anything but 0, and nobody does.  Three
// loops: llvmpipe ends a single one after some rounds of its own accord.
layout(local_size_x = 64) in;

layout(set = 0, binding = 0) buffer Words { uint words[]; } data;

void main()
{
    uint i = gl_GlobalInvocationID.x;

    while (atomicOr(data.words[i], 0u) == 0u) {
        while (atomicOr(data.words[i], 0u) == 0u) {
            while (atomicOr(data.words[i], 0u) == 0u) {
            }
        }
    }
}
