// SPDX-License-Identifier: GPL-2.0-or-later
#version 450
// A corner of a cell: where it is in the cell (0 to 1), the cell in the push constants.
layout(location = 0) in vec2 corner;

layout(push_constant) uniform Draw {
    vec2 origin;    // of the cell, in pixels
    float side;     // of the cell, in pixels
    float picture;  // side of the picture
    float depth;
    uint tint;
    uint rounds;
} draw;

layout(location = 0) out vec2 texel;

void main()
{
    vec2 pixel = draw.origin + corner * draw.side;

    texel = pixel / 2.0 / 64.0;     // two pixels for each texel of 64 x 64, repeated
    gl_Position = vec4(pixel / draw.picture * 2.0 - 1.0, draw.depth, 1.0);
}
