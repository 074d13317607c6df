// SPDX-License-Identifier: GPL-2.0-or-later
#version 450
// Whole numbers only, so that the CPU's picture is the same to the last bit.
layout(set = 0, binding = 0) uniform sampler2D colours;

layout(push_constant) uniform Draw {
    vec2 origin;
    float side;
    float picture;
    float depth;
    uint tint;
    uint rounds;
} draw;

layout(location = 0) in vec2 texel;
layout(location = 0) out vec4 colour;

void main()
{
    uvec4 t = uvec4(texture(colours, texel) * 255.0 + 0.5);
    uint h = (t.r | t.g << 8 | t.b << 16 | t.a << 24) ^ draw.tint;

    for (uint i = 0; i < draw.rounds; i++) {
        h = h * 1664525u + 1013904223u;
        h ^= h >> 15;
    }
    colour = vec4(h & 255u, h >> 8 & 255u, h >> 16 & 255u, h >> 24) / 255.0;
}
