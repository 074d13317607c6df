// SPDX-License-Identifier: GPL-2.0-or-later
#version 450
// Step 0 turns every word of the input round by round, into a buffer and a
// picture; step 1 reads the picture and adds each group's words up.
layout(local_size_x = 64) in;

layout(set = 0, binding = 0) readonly buffer In { uint words[]; } source;
layout(set = 0, binding = 1) writeonly buffer Out { uint words[]; } target;
layout(set = 0, binding = 2, r32ui) uniform uimage2D picture;
layout(set = 0, binding = 3) writeonly buffer Sums { uint words[]; } sums;

layout(push_constant) uniform Step {
    uint step;
    uint seed;
    uint rounds;
    uint width;     // of the picture
} push;

shared uint part[64];

void main()
{
    uint i = gl_GlobalInvocationID.x;
    ivec2 at = ivec2(i % push.width, i / push.width);

    if (push.step == 0) {
        uint h = source.words[i] ^ push.seed;

        for (uint n = 0; n < push.rounds; n++) {
            h = h * 1664525u + 1013904223u;
            h = h << 13 | h >> 19;
        }
        target.words[i] = h;
        imageStore(picture, at, uvec4(h ^ i, 0, 0, 0));
    } else {
        part[gl_LocalInvocationID.x] = imageLoad(picture, at).r;
        barrier();
        for (uint n = 32; n > 0; n >>= 1) {
            if (gl_LocalInvocationID.x < n) {
                part[gl_LocalInvocationID.x] += part[gl_LocalInvocationID.x + n];
            }
            barrier();
        }
        if (gl_LocalInvocationID.x == 0) {
            sums.words[gl_WorkGroupID.x] = part[0];
        }
    }
}
