/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a resource takes.  Every expected figure is worked out by hand in the
 * comment beside it, never by the formula under test.  A row takes a multiple
 * of 64 bytes, rows of uncompressed pictures come in fours, and all is rounded up
 * to pages of 4096 bytes.
 */
#include <glib.h>

#include <stdio.h>
#include <string.h>

#include "format-names.h"
#include "quota/size.h"
#include "quota/virgl.h"

/* The plainest picture: tests change what they are about. */
static ResourceShape picture(uint32_t format, uint32_t width, uint32_t height)
{
    return (ResourceShape){
        .target = PIPE_TEXTURE_2D,
        .format = format,
        .bind = 1u << 3,
        .width = width,
        .height = height,
        .depth = 1,
        .array_size = 1,
    };
}

static ResourceShape buffer(uint32_t width)
{
    return (ResourceShape){
        .target = PIPE_BUFFER,
        .format = VIRGL_FORMAT_R8_UNORM,
        .bind = 1u << 4,
        .width = width,
        .height = 1,
        .depth = 1,
        .array_size = 1,
    };
}

#define assert_size(shape, expected)                                                                         \
    G_STMT_START                                                                                             \
    {                                                                                                        \
        ResourceShape s_ = (shape);                                                                          \
        uint64_t bytes_ = 0;                                                                                 \
        g_assert_true(resource_size(&s_, &bytes_));                                                          \
        g_assert_cmpuint(bytes_, ==, (expected));                                                            \
    }                                                                                                        \
    G_STMT_END

#define assert_refused(shape)                                                                                \
    G_STMT_START                                                                                             \
    {                                                                                                        \
        ResourceShape s_ = (shape);                                                                          \
        uint64_t bytes_ = 12345;                                                                             \
        g_assert_false(resource_size(&s_, &bytes_));                                                         \
        g_assert_cmpuint(bytes_, ==, 12345);                                                                 \
    }                                                                                                        \
    G_STMT_END

static void test_plain(void)
{
    /* 1024 * 768 * 4 = 3145728 = 768 pages */
    assert_size(picture(VIRGL_FORMAT_B8G8R8A8_UNORM, 1024, 768), 3145728);
    assert_size(picture(VIRGL_FORMAT_B8G8R8X8_UNORM, 1024, 768), 3145728);
    /* 1920 * 1080 * 4 = 8294400 = 2025 pages */
    assert_size(picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 1920, 1080), 8294400);
    /* 4096 * 4096 * 4 = 64 MiB, as in the measurement that showed the hole */
    assert_size(picture(VIRGL_FORMAT_B8G8R8A8_UNORM, 4096, 4096), 67108864);
    /* 64 * 4 -> one page; 32 * 128 = one page; 33 * 4 = 132 -> 192, * 32 = 6144 -> two */
    assert_size(picture(VIRGL_FORMAT_B8G8R8A8_UNORM, 1, 1), 4096);
    assert_size(picture(VIRGL_FORMAT_B8G8R8A8_UNORM, 32, 32), 4096);
    assert_size(picture(VIRGL_FORMAT_B8G8R8A8_UNORM, 33, 32), 8192);
    /* 256 * 256 = 65536 texels of 1, 2, 8, 16 and 32 bytes */
    assert_size(picture(VIRGL_FORMAT_R8_UNORM, 256, 256), 65536);
    assert_size(picture(VIRGL_FORMAT_R8G8_UNORM, 256, 256), 131072);
    assert_size(picture(VIRGL_FORMAT_B5G6R5_UNORM, 256, 256), 131072);
    assert_size(picture(VIRGL_FORMAT_R16G16B16A16_FLOAT, 256, 256), 524288);
    assert_size(picture(VIRGL_FORMAT_R32G32B32A32_FLOAT, 256, 256), 1048576);
    assert_size(picture(VIRGL_FORMAT_R64G64B64A64_FLOAT, 256, 256), 2097152);
    /* the largest: 16384 * 16384 * 16 = 4 GiB, past 32 bits */
    assert_size(picture(VIRGL_FORMAT_R32G32B32A32_FLOAT, 16384, 16384), 4294967296ull);
}

/*
 * Narrow and flat pictures: 3 bytes a row took 64 on llvmpipe, and one row took
 * the room of four, so that the books had a 20th of what was there.
 */
static void test_padding(void)
{
    assert_size(picture(VIRGL_FORMAT_R8_UNORM, 3, 8000), 512000);        /* 64 * 8000 */
    assert_size(picture(VIRGL_FORMAT_R8_UNORM, 1, 16384), 1048576);      /* 64 * 16384 */
    assert_size(picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 17, 4000), 512000); /* 68 -> 128, * 4000 */
    assert_size(picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 4096, 1), 65536);   /* 16384 * 4 */
    assert_size(picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 4096, 5), 131072);  /* 16384 * 8 */
    /* 1000 * 4 = 4000 -> 4032; * 1000 = 4032000 -> 985 pages */
    assert_size(picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 1000, 1000), 4034560);
    /* compressed: 1024 * 8 = 8192 is one row of blocks, and stays one */
    assert_size(picture(VIRGL_FORMAT_DXT1_RGB, 4096, 4), 8192);
}

/* llvmpipe stores them without padding: 192 MiB for R32G32B32 of 4096 x 4096. */
static void test_three_components(void)
{
    assert_size(picture(VIRGL_FORMAT_R8G8B8_UNORM, 64, 64), 12288);    /* 64 * 64 * 3 */
    assert_size(picture(VIRGL_FORMAT_R16G16B16_UNORM, 64, 64), 24576); /* 64 * 64 * 6 */
    assert_size(picture(VIRGL_FORMAT_R32G32B32_FLOAT, 64, 64), 49152); /* 64 * 64 * 12 */
    assert_size(picture(VIRGL_FORMAT_R32G32B32_FLOAT, 4096, 4096), 201326592);
}

static void test_depth_stencil(void)
{
    assert_size(picture(VIRGL_FORMAT_Z16_UNORM, 640, 480), 614400);             /* * 2 = 150 pages */
    assert_size(picture(VIRGL_FORMAT_Z24_UNORM_S8_UINT, 640, 480), 1228800);    /* * 4 */
    assert_size(picture(VIRGL_FORMAT_Z32_FLOAT_S8X24_UINT, 640, 480), 2457600); /* * 8 */
    assert_size(picture(VIRGL_FORMAT_S8_UINT, 640, 480), 307200);               /* * 1 = 75 pages */
}

static void test_compressed(void)
{
    /* 1024 x 1024 = 256 * 256 = 65536 blocks of 4x4, 8 or 16 bytes each */
    assert_size(picture(VIRGL_FORMAT_DXT1_RGB, 1024, 1024), 524288);
    assert_size(picture(VIRGL_FORMAT_DXT5_RGBA, 1024, 1024), 1048576);
    assert_size(picture(VIRGL_FORMAT_RGTC1_UNORM, 1024, 1024), 524288);
    assert_size(picture(VIRGL_FORMAT_RGTC2_UNORM, 1024, 1024), 1048576);
    assert_size(picture(VIRGL_FORMAT_BPTC_RGBA_UNORM, 1024, 1024), 1048576);
    assert_size(picture(VIRGL_FORMAT_ETC1_RGB8, 1024, 1024), 524288);
    assert_size(picture(VIRGL_FORMAT_ETC2_RGB8, 1024, 1024), 524288);
    assert_size(picture(VIRGL_FORMAT_ETC2_RGBA8, 1024, 1024), 1048576);
    assert_size(picture(VIRGL_FORMAT_ETC2_RG11_SNORM, 1024, 1024), 1048576);
    assert_size(picture(VIRGL_FORMAT_ASTC_4x4, 1024, 1024), 1048576);
    /* sides that are no multiple: 130 -> 33 blocks, 264 -> 320 bytes; * 33 = 10560 -> 3 pages */
    assert_size(picture(VIRGL_FORMAT_DXT1_RGB, 130, 130), 12288);
    /* ASTC 8x5: 1024 / 8 = 128, 1024 / 5 -> 205; 128 * 205 * 16 = 419840 -> 103 pages */
    assert_size(picture(VIRGL_FORMAT_ASTC_8x5, 1024, 1024), 421888);
    /* ASTC 12x12: 86 blocks, 86 * 16 = 1376 -> 1408; * 86 = 121088 -> 30 pages */
    assert_size(picture(VIRGL_FORMAT_ASTC_12x12, 1024, 1024), 122880);
    /* FXT1 8x4: 128 * 256 * 16 = 524288 */
    assert_size(picture(VIRGL_FORMAT_FXT1_RGB, 1024, 1024), 524288);
    /* one texel is one block */
    assert_size(picture(VIRGL_FORMAT_DXT5_RGBA, 1, 1), 4096);
}

static void test_compressed_3d(void)
{
    ResourceShape s = picture(VIRGL_FORMAT_ASTC_3x3x3, 64, 64);

    /* 64 / 3 -> 22; 22 * 16 = 352 -> 384; * 22 * 22 = 185856 -> 46 pages */
    s.target = PIPE_TEXTURE_3D;
    s.depth = 64;
    assert_size(s, 188416);
    /* a 4x4x1 format has 64 slices of 16 * 16 blocks: 64 * 256 * 16 = 262144 */
    s.format = VIRGL_FORMAT_ASTC_4x4;
    assert_size(s, 262144);
}

static void test_yuv(void)
{
    /* 640 * 480 * 1.5 = 460800 -> 113 pages (462848) */
    assert_size(picture(VIRGL_FORMAT_NV12, 640, 480), 462848);
    assert_size(picture(VIRGL_FORMAT_YV12, 640, 480), 462848);
    /* 641 x 481 has 321 * 241 chroma pairs: 321 * 6 = 1926 -> 1984; * 241 = 478144 -> 117 pages */
    assert_size(picture(VIRGL_FORMAT_NV12, 641, 481), 479232);
    /* 16-bit samples: 640 * 480 * 3 = 921600 = 225 pages */
    assert_size(picture(VIRGL_FORMAT_P010, 640, 480), 921600);
    /* packed 4:2:2: 640 * 480 * 2 = 614400 = 150 pages; odd widths go up to the pair */
    assert_size(picture(VIRGL_FORMAT_UYVY, 640, 480), 614400);
    assert_size(picture(VIRGL_FORMAT_UYVY, 639, 480), 614400);
    /* P030: 648 / 6 = 108, 480 / 2 = 240; 108 * 24 = 2592 -> 2624; * 240 = 629760 -> 154 pages */
    assert_size(picture(VIRGL_FORMAT_P030, 648, 480), 630784);
    /* Y416: 64 * 64 * 8 */
    assert_size(picture(VIRGL_FORMAT_Y416, 64, 64), 32768);
    /* R1: 8 texels in a byte; 1024 / 8 * 256 = 32768 */
    assert_size(picture(VIRGL_FORMAT_R1_UNORM, 1024, 256), 32768);
}

static void test_mipmaps(void)
{
    ResourceShape s = picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 256, 256);

    /* 256: 262144, 128: 65536 -> 327680 = 80 pages */
    s.last_level = 1;
    assert_size(s, 327680);
    /* + 64: 16384, 32: 4096, 16: 64 * 16, 8: 64 * 8, 4, 2 and 1: 64 * 4 each
     * = 350464 -> 86 pages */
    s.last_level = 8;
    assert_size(s, 352256);
    s.last_level = 9; /* 256 has 9 levels, 0 to 8 */
    assert_refused(s);

    /* 256 x 16, and sides stop at 1: 16384 + 4096 + 1024, then 32x2 is 128 * 4,
     * and 16x1, 8x1, 4x1, 2x1, 1x1 are 64 * 4 each = 23296 -> 6 pages */
    s.height = 16;
    s.last_level = 8;
    assert_size(s, 24576);

    /* DXT1 256: 64 rows of 512, 32 of 256, 16 of 128, then 8, 4, 2, 1, 1, 1 of 64
     * = 32768 + 8192 + 2048 + 17 * 64 = 44096 -> 11 pages */
    s = picture(VIRGL_FORMAT_DXT1_RGB, 256, 256);
    s.last_level = 8;
    assert_size(s, 45056);

    /* not a power of two: 100 -> 50 -> 25 -> 12 -> 6 -> 3 -> 1
     * 448 * 100 + 256 * 52 + 128 * 28 + 64 * (12 + 8 + 4 + 4) = 63488 -> 16 pages */
    s = picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 100, 100);
    s.last_level = 6;
    assert_size(s, 65536);
    s.last_level = 7;
    assert_refused(s);
    s.last_level = 32; /* a shift by this much is undefined */
    assert_refused(s);
    s.last_level = UINT32_MAX;
    assert_refused(s);
}

static void test_arrays(void)
{
    ResourceShape s = picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 128, 128);

    /* 128 * 128 * 4 = 65536, ten times */
    s.target = PIPE_TEXTURE_2D_ARRAY;
    s.array_size = 10;
    assert_size(s, 655360);
    /* with all 8 levels: 65536 + 16384 + 4096 + 1024 + 512 + 3 * 256 = 88320;
     * * 10 = 883200 -> 216 pages: levels are not rounded to pages one by one */
    s.last_level = 7;
    assert_size(s, 884736);
    s.last_level = 0;
    s.array_size = 2048; /* 65536 * 2048 = 128 MiB */
    assert_size(s, 134217728);
    s.array_size = 2049;
    assert_refused(s);
    s.array_size = 0;
    assert_refused(s);

    /* 1D array: 4000 -> 4032, * 7 = 28224 -> 7 pages; here rows do not come in fours */
    s = picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 1000, 1);
    s.target = PIPE_TEXTURE_1D_ARRAY;
    s.array_size = 7;
    assert_size(s, 28672);
    s.height = 2;
    assert_refused(s);

    /* only array targets have layers */
    s = picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 64, 64);
    s.array_size = 2;
    assert_refused(s);
    s.array_size = 0; /* some guests leave it out: 64 * 64 * 4 */
    assert_size(s, 16384);
}

static void test_cubes(void)
{
    ResourceShape s = picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 64, 64);

    /* 64 * 64 * 4 * 6 = 98304 = 24 pages */
    s.target = PIPE_TEXTURE_CUBE;
    s.array_size = 6;
    assert_size(s, 98304);
    /* 7 levels: 16384 + 4096 + 1024 + 512 + 3 * 256 = 22784; * 6 = 136704 -> 34 pages */
    s.last_level = 6;
    assert_size(s, 139264);
    s.last_level = 0;
    s.height = 32;
    assert_refused(s);
    s.height = 64;
    s.array_size = 1;
    assert_refused(s);
    s.array_size = 12;
    assert_refused(s);

    /* two cubes */
    s.target = PIPE_TEXTURE_CUBE_ARRAY;
    assert_size(s, 196608);
    s.array_size = 13;
    assert_refused(s);
    s.array_size = 0;
    assert_refused(s);
    s.array_size = 2046; /* 341 cubes: 16384 * 2046 = 33521664 = 8184 pages */
    assert_size(s, 33521664);
    s.array_size = 2052;
    assert_refused(s);
}

static void test_3d(void)
{
    ResourceShape s = picture(VIRGL_FORMAT_R8_UNORM, 64, 32);

    /* 64 * 32 * 16 = 32768 */
    s.target = PIPE_TEXTURE_3D;
    s.depth = 16;
    assert_size(s, 32768);
    /* levels halve the depth too: rows of 64 bytes, 32 * 16 + 16 * 8 + 8 * 4 + 4 * 2
     * of them, then three levels of 4 = 692; * 64 = 44288 -> 11 pages */
    s.last_level = 6;
    assert_size(s, 45056);
    s.last_level = 7;
    assert_refused(s);
    /* the depth alone can have the most levels: 64 + 32 + ... + 1 = 127 slices of
     * 64 * 4 = 32512 -> 8 pages */
    s.width = 1;
    s.height = 1;
    s.depth = 64;
    s.last_level = 6;
    assert_size(s, 32768);
    s.last_level = 0;
    s.width = 2048; /* 2048 * 2048 * 2048 = 8 GiB */
    s.height = 2048;
    s.depth = 2048;
    assert_size(s, 8589934592ull);
    s.depth = 2049;
    assert_refused(s);
    s.depth = 2048;
    s.width = 2049;
    assert_refused(s);
    s.width = 2048;
    s.array_size = 2;
    assert_refused(s);
    s.array_size = 1;
    s.depth = 0;
    assert_refused(s);
}

static void test_1d_and_rect(void)
{
    ResourceShape s = picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 5000, 1);

    /* 5000 * 4 = 20000 -> 20032 -> 5 pages */
    s.target = PIPE_TEXTURE_1D;
    assert_size(s, 20480);
    s.height = 5;
    assert_refused(s);

    /* 300 * 4 = 1200 -> 1216; * 200 = 243200 -> 60 pages */
    s = picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 300, 200);
    s.target = PIPE_TEXTURE_RECT;
    assert_size(s, 245760);
    s.last_level = 1;
    assert_refused(s);
}

static void test_samples(void)
{
    ResourceShape s = picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 64, 64);

    s.nr_samples = 1; /* means none: 64 * 64 * 4 */
    assert_size(s, 16384);
    s.nr_samples = 4;
    assert_size(s, 65536);
    s.nr_samples = 3; /* drivers have 2, 4, 8, ... */
    assert_size(s, 65536);
    s.nr_samples = 32;
    assert_size(s, 524288);
    s.nr_samples = 33;
    assert_refused(s);
    s.nr_samples = UINT32_MAX;
    assert_refused(s);
    s.nr_samples = 4;
    s.last_level = 1;
    assert_refused(s);
    s.last_level = 0;
    s.target = PIPE_TEXTURE_2D_ARRAY; /* 16384 * 4 * 3 = 196608 */
    s.array_size = 3;
    assert_size(s, 196608);
    s.target = PIPE_TEXTURE_3D;
    s.array_size = 1;
    assert_refused(s);
    s.target = PIPE_TEXTURE_RECT;
    assert_refused(s);
    s.target = PIPE_TEXTURE_CUBE;
    s.array_size = 6;
    assert_refused(s);
}

static void test_buffers(void)
{
    ResourceShape s;

    assert_size(buffer(1), 4096);
    assert_size(buffer(4096), 4096);
    assert_size(buffer(4097), 8192);
    assert_size(buffer(1000000), 1003520); /* 245 pages */
    assert_size(buffer(0x80000000u), 2147483648ull);
    assert_refused(buffer(0x80000001u));
    assert_refused(buffer(UINT32_MAX));
    assert_refused(buffer(0));

    /* a buffer is bytes, whatever its format says */
    s = buffer(5000);
    s.format = VIRGL_FORMAT_R32G32B32A32_FLOAT;
    assert_size(s, 8192);
    s.format = VIRGL_FORMAT_NONE;
    assert_size(s, 8192);
    s.format = VIRGL_FORMAT_MAX;
    assert_refused(s);

    s = buffer(5000);
    s.height = 2;
    assert_refused(s);
    s = buffer(5000);
    s.depth = 2;
    assert_refused(s);
    s = buffer(5000);
    s.array_size = 2;
    assert_refused(s);
    s = buffer(5000);
    s.last_level = 1;
    assert_refused(s);
    s = buffer(5000);
    s.nr_samples = 2;
    assert_refused(s);
}

/* virglrenderer keeps no storage for them; with any other bind it does. */
static void test_staging(void)
{
    ResourceShape s = buffer(1048576);

    s.bind = VIRGL_BIND_STAGING;
    assert_size(s, 4096);
    s.bind = VIRGL_BIND_STAGING | 1u << 4;
    assert_size(s, 1048576);
    s.bind = VIRGL_BIND_STAGING;
    s.width = 0;
    assert_refused(s);
}

static void test_dimensions(void)
{
    assert_refused(picture(VIRGL_FORMAT_R8_UNORM, 0, 1));
    assert_refused(picture(VIRGL_FORMAT_R8_UNORM, 1, 0));
    assert_size(picture(VIRGL_FORMAT_R8_UNORM, 16384, 1), 65536); /* as if 4 high */
    assert_refused(picture(VIRGL_FORMAT_R8_UNORM, 16385, 1));
    assert_refused(picture(VIRGL_FORMAT_R8_UNORM, 1, 16385));
    assert_refused(picture(VIRGL_FORMAT_R8_UNORM, UINT32_MAX, UINT32_MAX));
    /* products that are 0 or small in 32 bits */
    assert_refused(picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 65536, 65536));
    assert_refused(picture(VIRGL_FORMAT_R8G8B8A8_UNORM, 0x80000000u, 2));
}

static void test_depth_of_flat_targets(void)
{
    static const uint32_t flat[] = {
        PIPE_TEXTURE_1D,       PIPE_TEXTURE_2D,       PIPE_TEXTURE_RECT,       PIPE_TEXTURE_CUBE,
        PIPE_TEXTURE_1D_ARRAY, PIPE_TEXTURE_2D_ARRAY, PIPE_TEXTURE_CUBE_ARRAY,
    };
    unsigned int i;

    for (i = 0; i < G_N_ELEMENTS(flat); i++) {
        ResourceShape s = picture(VIRGL_FORMAT_R8_UNORM, 1, 1);

        s.target = flat[i];
        s.array_size = flat[i] == PIPE_TEXTURE_CUBE || flat[i] == PIPE_TEXTURE_CUBE_ARRAY ? 6 : 1;
        assert_size(s, 4096);
        s.depth = 2;
        assert_refused(s);
        s.depth = 0;
        assert_refused(s);
    }
}

static void test_unknown(void)
{
    ResourceShape s = picture(VIRGL_FORMAT_R8_UNORM, 1, 1);
    static const uint32_t holes[] = {
        0,
        73,
        78,
        81,
        86,
        259,
        262,
        307,
        309,
        310,
        VIRGL_FORMAT_MAX,
        VIRGL_FORMAT_MAX + 1,
        1000,
        0x80000000u,
        UINT32_MAX,
    };
    unsigned int i;

    s.target = PIPE_MAX_TEXTURE_TYPES;
    assert_refused(s);
    s.target = UINT32_MAX;
    assert_refused(s);
    for (i = 0; i < G_N_ELEMENTS(holes); i++) {
        assert_refused(picture(holes[i], 1, 1));
    }
}

/* Formats whose name does not add up to their size, by the start of the name. */
static const struct {
    const char *name;
    uint32_t bytes; /* of 240 x 240, a quarter of what is tested */
} special[] = {
    /* 60 x 60 = 3600 blocks of 8 or 16 bytes */
    { "DXT1", 28800 },
    { "DXT3", 57600 },
    { "DXT5", 57600 },
    { "RGTC1", 28800 },
    { "RGTC2", 57600 },
    { "LATC1", 28800 },
    { "LATC2", 57600 },
    { "BPTC", 57600 },
    { "ETC1", 28800 },
    { "ETC2_RGB8", 28800 },
    { "ETC2_SRGB8", 28800 }, /* and RGB8A1, SRGB8A1 */
    { "ETC2_RGBA8", 57600 },
    { "ETC2_SRGBA8", 57600 },
    { "ETC2_R11", 28800 },
    { "ETC2_RG11", 57600 },
    { "ATC_RGB", 28800 },
    { "ATC_RGBA", 57600 },
    { "FXT1", 28800 },    /* 30 x 60 blocks of 16 */
    { "R1_UNORM", 7680 }, /* 960 / 8 = 120 -> 128 a row; * 240 / 4 */
    /* two texels in 4 bytes: 57600 * 2 */
    { "UYVY", 115200 },
    { "YUYV", 115200 },
    { "YVYU", 115200 },
    { "VYUY", 115200 },
    { "R8G8_B8G8", 115200 },
    { "G8R8_G8B8", 115200 },
    { "R8G8_R8B8", 115200 },
    { "G8R8_B8R8", 115200 },
    { "B8G8_R8G8", 115200 },
    { "B8R8_G8R8", 115200 },
    { "G8B8_G8R8", 115200 },
    { "R8B8_R8G8", 115200 },
    /* 12 bits a texel: 57600 * 1.5 */
    { "YV12", 86400 },
    { "IYUV", 86400 },
    { "NV12", 86400 },
    { "NV21", 86400 },
    { "G8_B8_R8_420", 86400 },
    { "G8_B8R8_420", 86400 },
    { "R8_B8_G8_420", 86400 },
    { "R8_B8G8_420", 86400 },
    { "R8_G8_B8_420", 86400 },
    { "R8_G8B8_420", 86400 },
    /* planes: 16, 24, 32, 48 bits a texel */
    { "YV16", 115200 },
    { "Y8_U8_V8_422", 115200 },
    { "Y8_U8V8_422", 115200 },
    { "Y8_U8_V8_444", 172800 },
    { "R8_G8_B8_UNORM", 172800 },
    { "Y16_U16_V16_420", 172800 },
    { "P010", 172800 },
    { "P012", 172800 },
    { "P016", 172800 },
    { "Y16_U16_V16_422", 230400 },
    { "Y16_U16V16_422", 230400 },
    { "Y16_U16_V16_444", 345600 },
    { "P030", 115200 }, /* 40 x 120 blocks of 24 */
    { "Y8_400", 57600 },
    { "Y8_UNORM", 57600 },
    { "Y210", 230400 },
    { "Y212", 230400 },
    { "Y216", 230400 },
    { "Y410", 230400 },
    { "Y412", 460800 },
    { "Y416", 460800 },
    { "AYUV", 230400 },
    { "XYUV", 230400 },
    { "R8G8Bx", 115200 },       /* the third is worked out of the two */
    { "Z16_UNORM_S8", 230400 }, /* padded to 32 bits */
    /* "AS": the name has two layouts in it */
    { "Z24_UNORM_S8_UINT_AS", 230400 },
};

/* Bits of all components in a name, e.g. 32 of "R10G10B10A2_UNORM". */
static uint32_t bits_of(const char *name)
{
    uint32_t bits = 0;
    const char *p;

    for (p = name; *p; p++) {
        if (strchr("RGBAXLIZSE", p[0]) && g_ascii_isdigit(p[1])) {
            bits += (uint32_t)g_ascii_strtoull(p + 1, NULL, 10);
        }
    }
    return bits;
}

static uint32_t expected_bytes(const char *name)
{
    uint32_t best = 0, bytes = 0;
    unsigned int i, w, h;

    if (sscanf(name, "ASTC_%ux%u", &w, &h) == 2) {
        return (960 + w - 1) / w * ((240 + h - 1) / h) * 16;
    }
    for (i = 0; i < G_N_ELEMENTS(special); i++) {
        uint32_t length = strlen(special[i].name);

        if (g_str_has_prefix(name, special[i].name) && length > best) {
            best = length;
            bytes = special[i].bytes;
        }
    }
    if (best) {
        return 4 * bytes;
    }
    return 960 * 240 * bits_of(name) / 8;
}

/* All 443 numbers: those with a name have the size it says, the others none. */
static void test_every_format(void)
{
    unsigned int known = 0;
    uint32_t format;

    for (format = 0; format < VIRGL_FORMAT_MAX; format++) {
        /*
         * Multiples of every block's side in use (2, 3, 4, 5, 6, 8, 10, 12), and
         * rows that need no padding: 960 = 15 * 64.
         */
        ResourceShape s = picture(format, 960, 240);
        uint64_t bytes;

        if (!format_names[format]) {
            assert_refused(s);
            continue;
        }
        known++;
        g_assert_true(resource_size(&s, &bytes));
        if (bytes != ((uint64_t)expected_bytes(format_names[format]) + 4095) / 4096 * 4096) {
            g_error("format %u, %s: %" G_GUINT64_FORMAT " bytes, its name says %u", format,
                    format_names[format], bytes, expected_bytes(format_names[format]));
        }
    }
    /* 443 numbers less none (0), 73, 78-81, 86, 259-262, 307, 309, 310 */
    g_assert_cmpuint(known, ==, 443 - 14);
}

/* ASTC's solid blocks, 960 x 240 x 240; the sides are in the name. */
static void test_every_solid_block(void)
{
    unsigned int known = 0, w, h, d;
    uint32_t format;

    for (format = 0; format < VIRGL_FORMAT_MAX; format++) {
        ResourceShape s = picture(format, 960, 240);

        if (format_names[format] && sscanf(format_names[format], "ASTC_%ux%ux%u", &w, &h, &d) == 3) {
            uint64_t exact = (960 + w - 1) / w * ((240 + h - 1) / h) * ((240 + d - 1) / d) * 16;

            s.target = PIPE_TEXTURE_3D;
            s.depth = 240;
            assert_size(s, (exact + 4095) / 4096 * 4096);
            known++;
        }
    }
    g_assert_cmpuint(known, ==, 20);
}

/* The largest shape there can be is counted, not wrapped. */
static void test_largest(void)
{
    ResourceShape s = picture(VIRGL_FORMAT_R64G64B64A64_FLOAT, 16384, 16384);

    /* 2^14 * 2^14 * 2^5 bytes * 2^11 layers * 2^5 samples = 2^49 */
    s.target = PIPE_TEXTURE_2D_ARRAY;
    s.array_size = 2048;
    s.nr_samples = 32;
    assert_size(s, 562949953421312ull);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/quota/size/plain", test_plain);
    g_test_add_func("/quota/size/padding", test_padding);
    g_test_add_func("/quota/size/three-components", test_three_components);
    g_test_add_func("/quota/size/depth-stencil", test_depth_stencil);
    g_test_add_func("/quota/size/compressed", test_compressed);
    g_test_add_func("/quota/size/compressed-3d", test_compressed_3d);
    g_test_add_func("/quota/size/yuv", test_yuv);
    g_test_add_func("/quota/size/mipmaps", test_mipmaps);
    g_test_add_func("/quota/size/arrays", test_arrays);
    g_test_add_func("/quota/size/cubes", test_cubes);
    g_test_add_func("/quota/size/3d", test_3d);
    g_test_add_func("/quota/size/1d-and-rect", test_1d_and_rect);
    g_test_add_func("/quota/size/samples", test_samples);
    g_test_add_func("/quota/size/buffers", test_buffers);
    g_test_add_func("/quota/size/staging", test_staging);
    g_test_add_func("/quota/size/dimensions", test_dimensions);
    g_test_add_func("/quota/size/depth-of-flat-targets", test_depth_of_flat_targets);
    g_test_add_func("/quota/size/unknown", test_unknown);
    g_test_add_func("/quota/size/every-format", test_every_format);
    g_test_add_func("/quota/size/every-solid-block", test_every_solid_block);
    g_test_add_func("/quota/size/largest", test_largest);
    return g_test_run();
}
