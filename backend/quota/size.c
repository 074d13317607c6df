/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  Every format stores its texels in blocks: 1x1 for
 * plain ones, 4x4 and the like for compressed ones, 2x2 for planar YUV with
 * halved chroma.  A level is as many blocks as cover it, a resource is the sum
 * of its levels, times layers, times samples, rounded up to a page.
 *
 * The figures are what the storage takes, measured against llvmpipe, so that
 * the books and the renderer's resident memory agree:
 *  - a row of blocks takes a multiple of 64 bytes, and rows of uncompressed
 *    pictures come in fours.  No driver has smaller tiles; without this a
 *    column of 16384 bytes would take 64 times what it is charged;
 *  - odd sample counts take the room of the next power of two;
 *  - staging buffers take a page: virglrenderer keeps them in the guest's own
 *    memory and allocates nothing.
 * What a driver adds on top (alignment, tiling, metadata, a fourth component for
 * three) is left out, and so is a driver that unpacks a compressed format it has
 * no hardware for: vgpud's look at the resident memory is what bounds those.
 */
#include "size.h"

#include "virgl.h"

/* Caps.  What real GPUs of today offer; guests learn them from virgl's caps. */
#define MAX_DIMENSION    16384u      /* 1D, 2D, rectangle and cube: GL_MAX_TEXTURE_SIZE */
#define MAX_DIMENSION_3D 2048u       /* GL_MAX_3D_TEXTURE_SIZE */
#define MAX_LAYERS       2048u       /* GL_MAX_ARRAY_TEXTURE_LAYERS; faces of a cube count */
#define MAX_SAMPLES      32u         /* Gallium's own bound */
#define MAX_BUFFER       0x80000000u /* 2 GiB: virglrenderer and Gallium keep offsets in int */
#define MAX_BLOCK_BYTES  32u
#define ROW_BYTES        64u /* pitch of a row of blocks */
#define ROWS             4u  /* of uncompressed pictures */
#define PAGE             4096u

/*
 * The largest picture that passes the caps, with all of its levels, is below
 * 2^62 bytes: nothing in this file can overflow a uint64_t.
 */
_Static_assert((uint64_t)MAX_DIMENSION *MAX_DIMENSION *MAX_LAYERS *MAX_SAMPLES <=
                   (1ull << 61) / MAX_BLOCK_BYTES,
               "2D sizes fit");
_Static_assert((uint64_t)MAX_DIMENSION_3D *MAX_DIMENSION_3D *MAX_DIMENSION_3D <=
                   (1ull << 61) / MAX_BLOCK_BYTES,
               "3D sizes fit");

typedef struct Block {
    uint8_t width, height, depth, bytes; /* bytes 0: no such format */
} Block;

#define TEXEL(n)             { 1, 1, 1, n }
#define BLOCK(w, h, n)       { w, h, 1, n }
#define BLOCK_3D(w, h, d, n) { w, h, d, n }

/* By VIRGL_FORMAT_*; the comments name what a range begins and ends with. */
static const Block formats[VIRGL_FORMAT_MAX] = {
    [1 ... 4] = TEXEL(4),         /* B8G8R8A8 .. X8R8G8B8 */
    [5 ... 7] = TEXEL(2),         /* B5G5R5A1, B4G4R4A4, B5G6R5 */
    [8] = TEXEL(4),               /* R10G10B10A2 */
    [9 ... 11] = TEXEL(1),        /* L8, A8, I8 */
    [12 ... 13] = TEXEL(2),       /* L8A8, L16 */
    [14 ... 15] = BLOCK(2, 1, 4), /* UYVY, YUYV */
    [16] = TEXEL(2),              /* Z16 */
    [17 ... 22] = TEXEL(4),       /* Z32 .. X8Z24 */
    [23] = TEXEL(1),              /* S8 */
    [24] = TEXEL(8),              /* R64 */
    [25] = TEXEL(16),
    [26] = TEXEL(24),
    [27] = TEXEL(32),
    [28] = TEXEL(4), /* R32 float */
    [29] = TEXEL(8),
    [30] = TEXEL(12),
    [31] = TEXEL(16),
    [32] = TEXEL(4), /* R32 unorm */
    [33] = TEXEL(8),
    [34] = TEXEL(12),
    [35] = TEXEL(16),
    [36] = TEXEL(4), /* R32 uscaled */
    [37] = TEXEL(8),
    [38] = TEXEL(12),
    [39] = TEXEL(16),
    [40] = TEXEL(4), /* R32 snorm */
    [41] = TEXEL(8),
    [42] = TEXEL(12),
    [43] = TEXEL(16),
    [44] = TEXEL(4), /* R32 sscaled */
    [45] = TEXEL(8),
    [46] = TEXEL(12),
    [47] = TEXEL(16),
    [48] = TEXEL(2), /* R16 unorm */
    [49] = TEXEL(4),
    [50] = TEXEL(6),
    [51] = TEXEL(8),
    [52] = TEXEL(2), /* R16 uscaled */
    [53] = TEXEL(4),
    [54] = TEXEL(6),
    [55] = TEXEL(8),
    [56] = TEXEL(2), /* R16 snorm */
    [57] = TEXEL(4),
    [58] = TEXEL(6),
    [59] = TEXEL(8),
    [60] = TEXEL(2), /* R16 sscaled */
    [61] = TEXEL(4),
    [62] = TEXEL(6),
    [63] = TEXEL(8),
    [64] = TEXEL(1), /* R8 unorm */
    [65] = TEXEL(2),
    [66] = TEXEL(3),
    [67 ... 68] = TEXEL(4), /* R8G8B8A8, X8B8G8R8 */
    [69] = TEXEL(1),        /* R8 uscaled */
    [70] = TEXEL(2),
    [71] = TEXEL(3),
    [72] = TEXEL(4),
    [74] = TEXEL(1), /* R8 snorm */
    [75] = TEXEL(2),
    [76] = TEXEL(3),
    [77] = TEXEL(4),
    [82] = TEXEL(1), /* R8 sscaled */
    [83] = TEXEL(2),
    [84] = TEXEL(3),
    [85] = TEXEL(4),
    [87] = TEXEL(4), /* R32 fixed */
    [88] = TEXEL(8),
    [89] = TEXEL(12),
    [90] = TEXEL(16),
    [91] = TEXEL(2), /* R16 float */
    [92] = TEXEL(4),
    [93] = TEXEL(6),
    [94] = TEXEL(8),
    [95] = TEXEL(1),                 /* L8 srgb */
    [96] = TEXEL(2),                 /* L8A8 srgb */
    [97] = TEXEL(3),                 /* R8G8B8 srgb */
    [98 ... 104] = TEXEL(4),         /* A8B8G8R8 srgb .. R8G8B8A8 srgb */
    [105 ... 106] = BLOCK(4, 4, 8),  /* DXT1 */
    [107 ... 108] = BLOCK(4, 4, 16), /* DXT3, DXT5 */
    [109 ... 110] = BLOCK(4, 4, 8),  /* DXT1 srgb */
    [111 ... 112] = BLOCK(4, 4, 16),
    [113 ... 114] = BLOCK(4, 4, 8),  /* RGTC1 */
    [115 ... 116] = BLOCK(4, 4, 16), /* RGTC2 */
    [117 ... 118] = BLOCK(2, 1, 4),  /* R8G8_B8G8, G8R8_G8B8 */
    [119] = TEXEL(4),                /* R8SG8SB8UX8U */
    [120] = TEXEL(2),                /* R5SG5SB6U */
    [121] = TEXEL(4),                /* A8B8G8R8 */
    [122] = TEXEL(2),                /* B5G5R5X1 */
    [123 ... 125] = TEXEL(4),        /* R10G10B10A2 uscaled, R11G11B10, R9G9B9E5 */
    [126] = TEXEL(8),                /* Z32_S8X24 */
    [127] = BLOCK(8, 1, 1),          /* R1 */
    [128 ... 129] = TEXEL(4),        /* R10G10B10X2 */
    [130] = TEXEL(1),                /* L4A4 */
    [131 ... 132] = TEXEL(4),        /* B10G10R10A2, R10SG10SB10SA2U */
    [133] = TEXEL(2),                /* R8G8Bx: the third is worked out */
    [134] = TEXEL(4),                /* R8G8B8X8 */
    [135] = TEXEL(2),                /* B4G4R4X4 */
    [136 ... 137] = TEXEL(4),        /* X24S8, S8X24 */
    [138] = TEXEL(8),                /* X32_S8X24 */
    [139] = TEXEL(1),                /* B2G3R3 */
    [140] = TEXEL(4),                /* L16A16 */
    [141 ... 142] = TEXEL(2),        /* A16, I16 */
    [143 ... 144] = BLOCK(4, 4, 8),  /* LATC1 */
    [145 ... 146] = BLOCK(4, 4, 16), /* LATC2 */
    [147 ... 148] = TEXEL(1),        /* A8, L8 snorm */
    [149] = TEXEL(2),                /* L8A8 snorm */
    [150] = TEXEL(1),                /* I8 snorm */
    [151 ... 152] = TEXEL(2),        /* A16, L16 snorm */
    [153] = TEXEL(4),                /* L16A16 snorm */
    [154 ... 156] = TEXEL(2),        /* I16 snorm, A16 and L16 float */
    [157] = TEXEL(4),                /* L16A16 float */
    [158] = TEXEL(2),                /* I16 float */
    [159 ... 160] = TEXEL(4),        /* A32, L32 float */
    [161] = TEXEL(8),                /* L32A32 float */
    [162] = TEXEL(4),                /* I32 float */
    [163] = BLOCK(2, 2, 6),          /* YV12: 4 luma, 1 + 1 chroma */
    [164] = BLOCK(2, 1, 4),          /* YV16 */
    [165 ... 167] = BLOCK(2, 2, 6),  /* IYUV, NV12, NV21 */
    [168 ... 169] = TEXEL(1),        /* A4R4, R4A4 */
    [170 ... 171] = TEXEL(2),        /* R8A8, A8R8 */
    [172 ... 176] = TEXEL(4),        /* R10G10B10A2 .. B10G10R10A2 scaled, snorm */
    [177] = TEXEL(1),                /* R8 uint */
    [178] = TEXEL(2),
    [179] = TEXEL(3),
    [180] = TEXEL(4),
    [181] = TEXEL(1), /* R8 sint */
    [182] = TEXEL(2),
    [183] = TEXEL(3),
    [184] = TEXEL(4),
    [185] = TEXEL(2), /* R16 uint */
    [186] = TEXEL(4),
    [187] = TEXEL(6),
    [188] = TEXEL(8),
    [189] = TEXEL(2), /* R16 sint */
    [190] = TEXEL(4),
    [191] = TEXEL(6),
    [192] = TEXEL(8),
    [193] = TEXEL(4), /* R32 uint */
    [194] = TEXEL(8),
    [195] = TEXEL(12),
    [196] = TEXEL(16),
    [197] = TEXEL(4), /* R32 sint */
    [198] = TEXEL(8),
    [199] = TEXEL(12),
    [200] = TEXEL(16),
    [201 ... 203] = TEXEL(1), /* A8, I8, L8 uint */
    [204] = TEXEL(2),         /* L8A8 uint */
    [205 ... 207] = TEXEL(1), /* the same, sint */
    [208] = TEXEL(2),
    [209 ... 211] = TEXEL(2), /* A16, I16, L16 uint */
    [212] = TEXEL(4),
    [213 ... 215] = TEXEL(2), /* sint */
    [216] = TEXEL(4),
    [217 ... 219] = TEXEL(4), /* A32, I32, L32 uint */
    [220] = TEXEL(8),
    [221 ... 223] = TEXEL(4), /* sint */
    [224] = TEXEL(8),
    [225] = TEXEL(4),                /* B10G10R10A2 uint */
    [226] = BLOCK(4, 4, 8),          /* ETC1 */
    [227 ... 228] = BLOCK(2, 1, 4),  /* R8G8_R8B8, G8R8_B8R8 */
    [229 ... 233] = TEXEL(4),        /* R8G8B8X8 .. B10G10R10X2 */
    [234 ... 238] = TEXEL(8),        /* R16G16B16X16 */
    [239 ... 241] = TEXEL(16),       /* R32G32B32X32 */
    [242] = TEXEL(2),                /* R8A8 snorm */
    [243 ... 245] = TEXEL(4),        /* R16A16 */
    [246] = TEXEL(8),                /* R32A32 float */
    [247 ... 248] = TEXEL(2),        /* R8A8 uint, sint */
    [249 ... 250] = TEXEL(4),        /* R16A16 */
    [251 ... 252] = TEXEL(8),        /* R32A32 */
    [253] = TEXEL(4),                /* R10G10B10A2 uint */
    [254] = TEXEL(2),                /* B5G6R5 srgb */
    [255 ... 258] = BLOCK(4, 4, 16), /* BPTC */
    [263 ... 264] = TEXEL(2),        /* G8R8 */
    [265 ... 268] = TEXEL(4),        /* G16R16, A8B8G8R8 snorm, X8B8G8R8 snorm */
    [269 ... 272] = BLOCK(4, 4, 8),  /* ETC2 RGB8, RGB8A1 */
    [273 ... 274] = BLOCK(4, 4, 16), /* ETC2 RGBA8 */
    [275 ... 276] = BLOCK(4, 4, 8),  /* ETC2 R11 */
    [277 ... 278] = BLOCK(4, 4, 16), /* ETC2 RG11 */
    [279] = BLOCK(4, 4, 16),         /* ASTC */
    [280] = BLOCK(5, 4, 16),
    [281] = BLOCK(5, 5, 16),
    [282] = BLOCK(6, 5, 16),
    [283] = BLOCK(6, 6, 16),
    [284] = BLOCK(8, 5, 16),
    [285] = BLOCK(8, 6, 16),
    [286] = BLOCK(8, 8, 16),
    [287] = BLOCK(10, 5, 16),
    [288] = BLOCK(10, 6, 16),
    [289] = BLOCK(10, 8, 16),
    [290] = BLOCK(10, 10, 16),
    [291] = BLOCK(12, 10, 16),
    [292] = BLOCK(12, 12, 16),
    [293] = BLOCK(4, 4, 16), /* ASTC srgb */
    [294] = BLOCK(5, 4, 16),
    [295] = BLOCK(5, 5, 16),
    [296] = BLOCK(6, 5, 16),
    [297] = BLOCK(6, 6, 16),
    [298] = BLOCK(8, 5, 16),
    [299] = BLOCK(8, 6, 16),
    [300] = BLOCK(8, 8, 16),
    [301] = BLOCK(10, 5, 16),
    [302] = BLOCK(10, 6, 16),
    [303] = BLOCK(10, 8, 16),
    [304] = BLOCK(10, 10, 16),
    [305] = BLOCK(12, 10, 16),
    [306] = BLOCK(12, 12, 16),
    [308] = TEXEL(4),                      /* R10G10B10X2 unorm */
    [311] = TEXEL(2),                      /* A4B4G4R4 */
    [312] = TEXEL(1),                      /* R8 srgb */
    [313] = TEXEL(2),                      /* R8G8 srgb */
    [314 ... 316] = BLOCK(2, 2, 12),       /* P010, P012, P016 */
    [317] = TEXEL(3),                      /* B8G8R8 */
    [318] = TEXEL(1),                      /* R3G3B2 */
    [319 ... 321] = TEXEL(2),              /* R4G4B4A4, R5G5B5A1, R5G6B5 */
    [322] = TEXEL(1),                      /* Y8 400 */
    [323] = TEXEL(3),                      /* three planes of Y8_U8_V8 444 */
    [324 ... 325] = BLOCK(2, 1, 4),        /* Y8_U8_V8 422, Y8_U8V8 422 */
    [326] = TEXEL(1),                      /* Y8 */
    [327] = BLOCK(2, 1, 4),                /* YVYU */
    [328 ... 329] = TEXEL(4),              /* Z16_S8, Z24_S8 as R8G8B8A8 */
    [330 ... 333] = TEXEL(2),              /* A1B5G5R5, A1R5G5B5 */
    [334 ... 337] = TEXEL(4),              /* A2B10G10R10, A2R10G10B10 */
    [338 ... 340] = TEXEL(2),              /* A4B4G4R4, A4R4G4B4 */
    [341 ... 347] = TEXEL(4),              /* A8B8G8R8, A8R8G8B8 */
    [348 ... 349] = BLOCK_3D(3, 3, 3, 16), /* ASTC 3D */
    [350 ... 351] = BLOCK_3D(4, 3, 3, 16),
    [352 ... 353] = BLOCK_3D(4, 4, 3, 16),
    [354 ... 355] = BLOCK_3D(4, 4, 4, 16),
    [356 ... 357] = BLOCK_3D(5, 4, 4, 16),
    [358 ... 359] = BLOCK_3D(5, 5, 4, 16),
    [360 ... 361] = BLOCK_3D(5, 5, 5, 16),
    [362 ... 363] = BLOCK_3D(6, 5, 5, 16),
    [364 ... 365] = BLOCK_3D(6, 6, 5, 16),
    [366 ... 367] = BLOCK_3D(6, 6, 6, 16),
    [368] = BLOCK(4, 4, 8),          /* ATC RGB */
    [369 ... 370] = BLOCK(4, 4, 16), /* ATC RGBA */
    [371 ... 374] = TEXEL(4),        /* AYUV, B10G10R10A2, B10G10R10X2 */
    [375] = TEXEL(1),                /* B2G3R3 uint */
    [376 ... 378] = TEXEL(2),        /* B4G4R4A4, B5G5R5A1, B5G6R5 uint */
    [379 ... 383] = TEXEL(4),        /* B8G8R8A8 */
    [384] = BLOCK(2, 1, 4),          /* B8G8_R8G8 */
    [385 ... 390] = TEXEL(3),        /* B8G8R8 */
    [391 ... 393] = TEXEL(4),        /* B8G8R8X8 */
    [394] = BLOCK(2, 1, 4),          /* B8R8_G8R8 */
    [395 ... 396] = BLOCK(8, 4, 16), /* FXT1 */
    [397] = TEXEL(4),                /* G16R16 sint */
    [398] = BLOCK(2, 1, 4),          /* G8B8_G8R8 */
    [399 ... 400] = BLOCK(2, 2, 6),  /* G8_B8_R8, G8_B8R8 420 */
    [401] = TEXEL(2),                /* G8R8 sint */
    [402] = BLOCK(6, 2, 24),         /* P030: 3 samples in 4 bytes */
    [403 ... 404] = TEXEL(4),        /* R10G10B10A2, R10G10B10X2 sint */
    [405] = TEXEL(1),                /* R3G3B2 uint */
    [406 ... 411] = TEXEL(2),        /* R4G4B4A4 .. R5G6B5 */
    [412 ... 413] = TEXEL(32),       /* R64G64B64A64 */
    [414 ... 415] = TEXEL(24),       /* R64G64B64 */
    [416 ... 417] = TEXEL(16),       /* R64G64 */
    [418 ... 419] = TEXEL(8),        /* R64 */
    [420 ... 421] = BLOCK(2, 2, 6),  /* R8_B8_G8, R8_B8G8 420 */
    [422] = BLOCK(2, 1, 4),          /* R8B8_R8G8 */
    [423 ... 424] = BLOCK(2, 2, 6),  /* R8_G8_B8, R8_G8B8 420 */
    [425] = TEXEL(3),                /* three planes of R8_G8_B8 */
    [426] = BLOCK(2, 1, 4),          /* VYUY */
    [427 ... 428] = TEXEL(2),        /* X1B5G5R5, X1R5G5B5 */
    [429 ... 432] = TEXEL(4),        /* XYUV, X8B8G8R8, X8R8G8B8 */
    [433] = BLOCK(2, 2, 12),         /* Y16_U16_V16 420 */
    [434 ... 435] = BLOCK(2, 1, 8),  /* Y16_U16_V16, Y16_U16V16 422 */
    [436] = TEXEL(6),                /* three planes of Y16_U16_V16 444 */
    [437 ... 439] = BLOCK(2, 1, 8),  /* Y210, Y212, Y216 */
    [440] = TEXEL(4),                /* Y410 */
    [441 ... 442] = TEXEL(8),        /* Y412, Y416 */
};

static bool within(uint32_t value, uint32_t max)
{
    return value >= 1 && value <= max;
}

/* Sizes and layers that the target allows; the last level is checked by the caller. */
static bool target_allows(const ResourceShape *s, uint32_t *layers)
{
    uint32_t max = MAX_DIMENSION;
    bool flat = false; /* height must be 1 */
    bool has_depth = false;

    *layers = 1;
    switch (s->target) {
    case PIPE_TEXTURE_1D:
        flat = true;
        break;
    case PIPE_TEXTURE_2D:
    case PIPE_TEXTURE_RECT:
        break;
    case PIPE_TEXTURE_3D:
        max = MAX_DIMENSION_3D;
        has_depth = true;
        break;
    case PIPE_TEXTURE_CUBE:
        *layers = 6;
        if (s->array_size != 6 || s->width != s->height) {
            return false;
        }
        break;
    case PIPE_TEXTURE_1D_ARRAY:
        flat = true;
        *layers = s->array_size;
        break;
    case PIPE_TEXTURE_2D_ARRAY:
        *layers = s->array_size;
        break;
    case PIPE_TEXTURE_CUBE_ARRAY:
        *layers = s->array_size;
        if (s->array_size % 6 || s->width != s->height) {
            return false;
        }
        break;
    default:
        return false;
    }
    if (*layers == 1 && s->array_size > 1) {
        return false;
    }
    return within(s->width, max) && within(s->height, flat ? 1 : max) &&
           within(s->depth, has_depth ? max : 1) && within(*layers, MAX_LAYERS);
}

/* How often the largest side can be halved. */
static bool levels_allowed(const ResourceShape *s)
{
    uint32_t side = s->width;

    if (s->last_level == 0) {
        return true;
    }
    if (s->target == PIPE_TEXTURE_RECT || s->nr_samples > 1) {
        return false;
    }
    if (s->height > side) {
        side = s->height;
    }
    if (s->depth > side) {
        side = s->depth;
    }
    return s->last_level < 32 && side >> s->last_level != 0;
}

static bool samples_allowed(const ResourceShape *s, uint32_t *samples)
{
    *samples = 1;
    if (s->nr_samples <= 1) {
        return true;
    }
    if (s->nr_samples > MAX_SAMPLES || (s->target != PIPE_TEXTURE_2D && s->target != PIPE_TEXTURE_2D_ARRAY)) {
        return false;
    }
    while (*samples < s->nr_samples) {
        *samples *= 2;
    }
    return true;
}

static uint64_t blocks(uint32_t size, uint32_t level, uint32_t block)
{
    uint64_t texels = size >> level;

    return ((texels ? texels : 1) + block - 1) / block;
}

static uint64_t round_up(uint64_t value, uint32_t step)
{
    return (value + step - 1) / step * step;
}

static bool is_1d(const ResourceShape *s)
{
    return s->target == PIPE_TEXTURE_1D || s->target == PIPE_TEXTURE_1D_ARRAY;
}

static uint64_t level_size(const ResourceShape *s, uint32_t level, const Block *b)
{
    uint64_t row = round_up(blocks(s->width, level, b->width) * b->bytes, ROW_BYTES);
    uint64_t rows = blocks(s->height, level, b->height);

    if (b->height == 1 && !is_1d(s)) {
        rows = round_up(rows, ROWS);
    }
    return row * rows * blocks(s->depth, level, b->depth);
}

static bool buffer_size(const ResourceShape *s, uint64_t *bytes)
{
    if (!within(s->width, MAX_BUFFER) || s->height > 1 || s->depth > 1 || s->array_size > 1 ||
        s->last_level > 0 || s->nr_samples > 1 || s->format >= VIRGL_FORMAT_MAX) {
        return false;
    }
    *bytes = s->bind == VIRGL_BIND_STAGING ? 1 : s->width;
    return true;
}

static bool texture_size(const ResourceShape *s, uint64_t *bytes)
{
    uint32_t layers, samples, level;
    const Block *b;

    if (s->format >= VIRGL_FORMAT_MAX || formats[s->format].bytes == 0 || !target_allows(s, &layers) ||
        !levels_allowed(s) || !samples_allowed(s, &samples)) {
        return false;
    }
    b = &formats[s->format];
    *bytes = 0;
    for (level = 0; level <= s->last_level; level++) {
        *bytes += level_size(s, level, b);
    }
    *bytes *= (uint64_t)layers * samples;
    return true;
}

bool resource_size(const ResourceShape *shape, uint64_t *bytes)
{
    uint64_t exact;

    if (!(shape->target == PIPE_BUFFER ? buffer_size(shape, &exact) : texture_size(shape, &exact))) {
        return false;
    }
    *bytes = round_up(exact, PAGE);
    return true;
}
