/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk over virgl command streams: which commands it takes, in which
 * lengths, what it refuses, and a random walk over all of it.
 */
#include "stream-fixture.h"

/*
 * The lengths that virglrenderer 1.1 takes.  Objects and resources have tests of
 * their own; video is refused.
 */
typedef struct Row {
    uint32_t opcode;
    uint32_t good[4]; /* ends with the first 0, but for a leading 0 */
    uint32_t bad[4];
} Row;

static const Row rows[] = {
    { VIRGL_CCMD_NOP, { 0, 1, 65535 } },
    { VIRGL_CCMD_BIND_OBJECT, { 1 }, { 2 } },
    { VIRGL_CCMD_DESTROY_OBJECT, { 1 }, { 2 } },
    { VIRGL_CCMD_SET_VIEWPORT_STATE, { 1, 7, 97 }, { 2, 98, 103 } },
    { VIRGL_CCMD_SET_FRAMEBUFFER_STATE, { 2, 3, 10 }, { 1, 11 } },
    { VIRGL_CCMD_SET_VERTEX_BUFFERS, { 0, 3, 96 }, { 1, 2, 97, 99 } },
    { VIRGL_CCMD_CLEAR, { 8 }, { 7, 9 } },
    { VIRGL_CCMD_DRAW_VBO, { 12, 14, 20 }, { 11, 13, 16, 21 } },
    { VIRGL_CCMD_RESOURCE_INLINE_WRITE, { 12, 13, 65535 }, { 11 } },
    { VIRGL_CCMD_SET_SAMPLER_VIEWS, { 2, 3, 130 }, { 1, 131 } },
    { VIRGL_CCMD_SET_INDEX_BUFFER, { 1, 3 }, { 2, 4 } },
    { VIRGL_CCMD_SET_CONSTANT_BUFFER, { 2, 3, 65535 }, { 1 } },
    { VIRGL_CCMD_SET_STENCIL_REF, { 1 }, { 2 } },
    { VIRGL_CCMD_SET_BLEND_COLOR, { 4 }, { 3, 5 } },
    { VIRGL_CCMD_SET_SCISSOR_STATE, { 1, 3, 33 }, { 2, 34, 35 } },
    { VIRGL_CCMD_BLIT, { 21 }, { 20, 22 } },
    { VIRGL_CCMD_RESOURCE_COPY_REGION, { 13 }, { 12, 14 } },
    { VIRGL_CCMD_BIND_SAMPLER_STATES, { 2, 3, 34 }, { 1, 35 } },
    { VIRGL_CCMD_BEGIN_QUERY, { 1 }, { 2 } },
    { VIRGL_CCMD_END_QUERY, { 1 }, { 2 } },
    { VIRGL_CCMD_GET_QUERY_RESULT, { 2 }, { 1, 3 } },
    { VIRGL_CCMD_SET_POLYGON_STIPPLE, { 32 }, { 31, 33 } },
    { VIRGL_CCMD_SET_CLIP_STATE, { 32 }, { 31, 33 } },
    { VIRGL_CCMD_SET_SAMPLE_MASK, { 1 }, { 2 } },
    { VIRGL_CCMD_SET_STREAMOUT_TARGETS, { 1, 2, 17 }, { 18 } },
    { VIRGL_CCMD_SET_RENDER_CONDITION, { 3 }, { 2, 4 } },
    { VIRGL_CCMD_SET_UNIFORM_BUFFER, { 5 }, { 4, 6 } },
    { VIRGL_CCMD_SET_SUB_CTX, { 1 }, { 2 } },
    { VIRGL_CCMD_CREATE_SUB_CTX, { 1 }, { 2 } },
    { VIRGL_CCMD_DESTROY_SUB_CTX, { 1 }, { 2 } },
    { VIRGL_CCMD_BIND_SHADER, { 2 }, { 1, 3 } },
    { VIRGL_CCMD_SET_TESS_STATE, { 6 }, { 5, 7 } },
    { VIRGL_CCMD_SET_MIN_SAMPLES, { 1 }, { 2 } },
    { VIRGL_CCMD_SET_SHADER_BUFFERS, { 2, 5, 98 }, { 1, 3, 101 } },
    { VIRGL_CCMD_SET_SHADER_IMAGES, { 2, 7, 162 }, { 1, 3, 167 } },
    { VIRGL_CCMD_MEMORY_BARRIER, { 1 }, { 2 } },
    { VIRGL_CCMD_LAUNCH_GRID, { 8 }, { 7, 9 } },
    { VIRGL_CCMD_SET_FRAMEBUFFER_STATE_NO_ATTACH, { 2 }, { 1, 3 } },
    { VIRGL_CCMD_TEXTURE_BARRIER, { 1 }, { 2 } },
    { VIRGL_CCMD_SET_ATOMIC_BUFFERS, { 4, 7, 97 }, { 1, 5, 100 } },
    { VIRGL_CCMD_SET_DEBUG_FLAGS, { 2, 3 }, { 1 } },
    { VIRGL_CCMD_GET_QUERY_RESULT_QBO, { 6 }, { 5, 7 } },
    { VIRGL_CCMD_TRANSFER3D, { 13, 14 }, { 12 } },
    { VIRGL_CCMD_END_TRANSFERS, { 0, 1, 1023 } },
    { VIRGL_CCMD_COPY_TRANSFER3D, { 14 }, { 13, 15 } },
    { VIRGL_CCMD_SET_TWEAKS, { 2, 3 }, { 1 } },
    { VIRGL_CCMD_CLEAR_TEXTURE, { 12 }, { 11, 13 } },
    { VIRGL_CCMD_PIPE_RESOURCE_SET_TYPE, { 10, 12, 16 }, { 8, 9, 11, 18 } },
    { VIRGL_CCMD_GET_MEMORY_INFO, { 1 }, { 2 } },
    { VIRGL_CCMD_SEND_STRING_MARKER, { 2, 3 }, { 1 } },
    { VIRGL_CCMD_LINK_SHADER, { 6 }, { 5, 7 } },
    { VIRGL_CCMD_CLEAR_SURFACE, { 10 }, { 9, 11 } },
};

static bool takes_zero(const Row *row)
{
    return row->good[0] == 0;
}

static void test_lengths(Fixture *f, gconstpointer limit)
{
    unsigned int i, k;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (k = 0; k < 4 && (rows[i].good[k] || k == 0); k++) {
            stream_command(&f->s, rows[i].opcode, 0, rows[i].good[k]);
            assert_ok(f);
        }
        for (k = 0; k < 4 && rows[i].bad[k]; k++) {
            stream_command(&f->s, rows[i].opcode, 0, rows[i].bad[k]);
            assert_invalid(f, "a command of the wrong length");
        }
        if (!takes_zero(&rows[i])) {
            stream_command(&f->s, rows[i].opcode, 0, 0);
            assert_invalid(f, "a command of the wrong length");
        }
    }
    assert_used(f, SUB);
}

/* Each command cut off at every dword: the header says more than there is. */
static void test_truncated(Fixture *f, gconstpointer limit)
{
    unsigned int i;
    size_t cut;

    for (i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint32_t length = rows[i].good[takes_zero(&rows[i])];

        for (cut = 1; cut <= length; cut++) {
            stream_command(&f->s, VIRGL_CCMD_NOP, 0, 2);
            stream_command(&f->s, rows[i].opcode, 0, length);
            f->s.count -= cut;
            /* an exact copy, so that ASan sees a read past the end */
            f->s.room = f->s.count;
            f->s.dwords = g_renew(uint32_t, f->s.dwords, f->s.room);
            assert_invalid(f, "a command that ends past the stream");
        }
    }
}

static void test_unknown_opcodes(Fixture *f, gconstpointer limit)
{
    uint32_t opcode;

    for (opcode = VIRGL_MAX_COMMANDS; opcode < 256; opcode++) {
        stream_command(&f->s, opcode, 0, 1);
        assert_invalid(f, "unknown opcode");
    }
    for (opcode = VIRGL_CCMD_CREATE_VIDEO_CODEC; opcode <= VIRGL_CCMD_END_FRAME; opcode++) {
        stream_command(&f->s, opcode, 0, 8);
        assert_invalid(f, "a video command, which is not offered");
    }
    /* the opcode is 8 bits of the header, the next 8 an object type nobody looks at */
    stream_command(&f->s, VIRGL_CCMD_CLEAR, 0xff, 8);
    assert_ok(f);
}

/* Opcode numbers are the protocol's: one wrong row in the enum would shift them. */
static void test_numbers(void)
{
    g_assert_cmpint(VIRGL_CCMD_RESOURCE_INLINE_WRITE, ==, 9);
    g_assert_cmpint(VIRGL_CCMD_SET_SUB_CTX, ==, 28);
    g_assert_cmpint(VIRGL_CCMD_DESTROY_SUB_CTX, ==, 30);
    g_assert_cmpint(VIRGL_CCMD_TRANSFER3D, ==, 43);
    g_assert_cmpint(VIRGL_CCMD_PIPE_RESOURCE_CREATE, ==, 48);
    g_assert_cmpint(VIRGL_CCMD_GET_MEMORY_INFO, ==, 50);
    g_assert_cmpint(VIRGL_CCMD_CLEAR_SURFACE, ==, 62);
    g_assert_cmpint(VIRGL_MAX_COMMANDS, ==, 63);
    g_assert_cmpint(VIRGL_OBJECT_MSAA_SURFACE, ==, 11);
}

static void test_string_marker(Fixture *f, gconstpointer limit)
{
    stream_command(&f->s, VIRGL_CCMD_SEND_STRING_MARKER, 0, 3)[0] = 8;
    assert_ok(f);
    stream_command(&f->s, VIRGL_CCMD_SEND_STRING_MARKER, 0, 3)[0] = 9;
    assert_invalid(f, "a string marker longer than its command");
    stream_command(&f->s, VIRGL_CCMD_SEND_STRING_MARKER, 0, 3)[0] = UINT32_MAX;
    assert_invalid(f, "a string marker longer than its command");
}

/*
 * Found with ASan: an inline write of 17 layers 256 MiB apart made virglrenderer
 * 1.1 read 4 GiB past the stream, as it keeps 32 of 64 bits.
 */
static void test_strides(Fixture *f, gconstpointer limit)
{
    static const struct {
        uint32_t opcode, length, offset; /* dword of the offset, 0: none */
    } transfers[] = {
        { VIRGL_CCMD_RESOURCE_INLINE_WRITE, 12, 0 },
        { VIRGL_CCMD_TRANSFER3D, 13, 11 },
        { VIRGL_CCMD_COPY_TRANSFER3D, 14, 12 },
    };
    const char *why = "a transfer whose strides reach past 1 GiB";
    unsigned int i;
    uint32_t *p;

    for (i = 0; i < G_N_ELEMENTS(transfers); i++) {
        p = stream_command(&f->s, transfers[i].opcode, 0, transfers[i].length);
        p[3] = 4 * 1920; /* stride */
        p[4] = 4 * 1920 * 1080;
        p[9] = 1080; /* height */
        p[10] = 6;   /* depth */
        assert_ok(f);
        p = stream_command(&f->s, transfers[i].opcode, 0, transfers[i].length);
        p[4] = 256 * MIB;
        p[10] = 17;
        assert_invalid(f, why);
        p = stream_command(&f->s, transfers[i].opcode, 0, transfers[i].length);
        p[3] = 0x80000000u;
        p[9] = 2;
        assert_invalid(f, why);
        p = stream_command(&f->s, transfers[i].opcode, 0, transfers[i].length);
        p[4] = 256 * MIB; /* 1.25 GiB */
        p[10] = 5;
        assert_invalid(f, why);
        p = stream_command(&f->s, transfers[i].opcode, 0, transfers[i].length);
        p[3] = UINT32_MAX;
        p[9] = UINT32_MAX;
        assert_invalid(f, why);
        if (transfers[i].offset) {
            p = stream_command(&f->s, transfers[i].opcode, 0, transfers[i].length);
            p[transfers[i].offset] = 0x40000000u;
            assert_invalid(f, why);
        }
    }
}

static void test_object_lengths(Fixture *f, gconstpointer limit)
{
    static const struct {
        uint32_t type, good, bad[3];
    } objects[] = {
        { VIRGL_OBJECT_BLEND, 11, { 10, 12 } },
        { VIRGL_OBJECT_RASTERIZER, 9, { 8, 10 } },
        { VIRGL_OBJECT_DSA, 5, { 4, 6 } },
        { VIRGL_OBJECT_VERTEX_ELEMENTS, 129, { 2, 130, 133 } },
        { VIRGL_OBJECT_SAMPLER_VIEW, 6, { 5, 7 } },
        { VIRGL_OBJECT_SAMPLER_STATE, 9, { 8, 10 } },
        { VIRGL_OBJECT_SURFACE, 5, { 4, 6 } },
        { VIRGL_OBJECT_QUERY, 4, { 3, 5 } },
        { VIRGL_OBJECT_STREAMOUT_TARGET, 4, { 3, 5 } },
        { VIRGL_OBJECT_MSAA_SURFACE, 6, { 5, 7 } },
        { VIRGL_OBJECT_SHADER, 6, { 1, 4 } },
    };
    unsigned int i, k;
    uint32_t type;

    for (i = 0; i < G_N_ELEMENTS(objects); i++) {
        for (k = 0; k < 3 && objects[i].bad[k]; k++) {
            stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, objects[i].type, objects[i].bad[k])[0] = 1;
            assert_invalid(f, "an object of the wrong length");
        }
        stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, objects[i].type, objects[i].good);
        assert_invalid(f, "an object with handle 0");
    }
    stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_VERTEX_ELEMENTS, 1)[0] = 1;
    assert_ok(f);
    stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_BLEND, 0);
    assert_invalid(f, "a command of the wrong length");
    stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_NULL, 5)[0] = 1;
    assert_invalid(f, "unknown object type");
    for (type = VIRGL_MAX_OBJECTS; type < 256; type++) {
        stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, type, 5)[0] = 1;
        assert_invalid(f, "unknown object type");
    }
}

static void test_bad_shaders(Fixture *f, gconstpointer limit)
{
    uint32_t *p;

    stream_create_shader(&f->s, PIPE_SHADER_TYPES, 1, 4, 1);
    assert_invalid(f, "unknown shader type");
    stream_create_shader(&f->s, UINT32_MAX, 1, 4, 1);
    assert_invalid(f, "unknown shader type");
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 1, 0, 0);
    assert_invalid(f, "a shader text of length 0, or longer than allowed");
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 1, STREAM_SHADER_TEXT_MAX + 1, 1);
    assert_invalid(f, "a shader text of length 0, or longer than allowed");
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 1, 0x7fffffff, 1);
    assert_invalid(f, "a shader text of length 0, or longer than allowed");
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 1, 4, 2);
    assert_invalid(f, "a shader text longer than it says");
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 1, 4, 1);
    f->s.dwords[4] = STREAM_TOKENS_MAX + 1;
    assert_invalid(f, "more tokens in one shader than allowed");
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 1, 4, 1);
    f->s.dwords[4] = UINT32_MAX; /* virglrenderer adds 10 in 32 bits */
    assert_invalid(f, "more tokens in one shader than allowed");
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 1, VIRGL_OBJ_SHADER_OFFSET_CONT | 4, 1);
    assert_invalid(f, "a shader continuation that continues nothing");

    /* two stream outputs: 4 strides and 2 * 2 dwords before the text */
    p = stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + 4 + 4 + 1);
    p[0] = 1;
    p[2] = 4;
    p[4] = 2;
    assert_ok(f);
    assert_used(f, SUB + 16384 + 32);
    p = stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + 4 + 3);
    p[0] = 2;
    p[2] = 4;
    p[4] = 2;
    assert_invalid(f, "a shader's stream outputs do not fit its length");
    p = stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + 4 + 200);
    p[0] = 2;
    p[2] = 4;
    p[4] = 65;
    assert_invalid(f, "a shader's stream outputs do not fit its length");
    p = stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + 4 + 1);
    p[0] = 2;
    p[2] = 4;
    p[4] = 0x80000000u; /* twice this is 0 in 32 bits */
    assert_invalid(f, "a shader's stream outputs do not fit its length");
    /* a compute shader's local memory is at that place */
    p = stream_command(&f->s, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + 1);
    p[0] = 2;
    p[1] = PIPE_SHADER_COMPUTE;
    p[2] = 4;
    p[4] = 0x80000000u;
    assert_ok(f);
}

static void test_bad_resources(Fixture *f, gconstpointer limit)
{
    stream_create_resource(&f->s, 1, 0, 10);
    assert_invalid(f, "a resource of an impossible shape");
    stream_create_resource(&f->s, 1, 16385, 10);
    assert_invalid(f, "a resource of an impossible shape");
    stream_create_resource(&f->s, 1, 10, 10)[1] = VIRGL_FORMAT_MAX;
    assert_invalid(f, "a resource of an impossible shape");
    /* 16384 * 16384 * 8 = 2 GiB: past what virglrenderer counts in an int */
    stream_create_resource(&f->s, 1, 16384, 16384)[1] = VIRGL_FORMAT_R16G16B16A16_FLOAT;
    assert_invalid(f, "a resource of 2 GiB or more, which virglrenderer does not serve");
    stream_create_resource(&f->s, 1, 10, 10)[0] = PIPE_MAX_TEXTURE_TYPES;
    assert_invalid(f, "a resource of an impossible shape");
    stream_command(&f->s, VIRGL_CCMD_PIPE_RESOURCE_CREATE, 0, 10);
    assert_invalid(f, "a command of the wrong length");
}

/* virglrenderer must not see it: it would write the host's own figures. */
static void test_memory_info(Fixture *f, gconstpointer limit)
{
    uint32_t id;

    stream_command(&f->s, VIRGL_CCMD_CLEAR, 0, 8);
    stream_command1(&f->s, VIRGL_CCMD_GET_MEMORY_INFO, 77);
    stream_command1(&f->s, VIRGL_CCMD_GET_MEMORY_INFO, 78);
    stream_command(&f->s, VIRGL_CCMD_CLEAR, 0, 8);
    assert_ok(f);
    g_assert_cmphex(f->s.dwords[0], ==, VIRGL_CMD0(VIRGL_CCMD_CLEAR, 0, 8));
    g_assert_cmphex(f->s.dwords[9], ==, VIRGL_CMD0(VIRGL_CCMD_NOP, 0, 1));
    g_assert_cmphex(f->s.dwords[10], ==, 0);
    g_assert_cmphex(f->s.dwords[11], ==, VIRGL_CMD0(VIRGL_CCMD_NOP, 0, 1));
    g_assert_cmphex(f->s.dwords[13], ==, VIRGL_CMD0(VIRGL_CCMD_CLEAR, 0, 8));
    g_assert_true(stream_next_memory_info(f->ctx, &id));
    g_assert_cmpuint(id, ==, 77);
    g_assert_true(stream_next_memory_info(f->ctx, &id));
    g_assert_cmpuint(id, ==, 78);
    g_assert_false(stream_next_memory_info(f->ctx, &id));

    /* one per call since the last walk */
    stream_command1(&f->s, VIRGL_CCMD_GET_MEMORY_INFO, 79);
    assert_ok(f);
    stream_command(&f->s, VIRGL_CCMD_NOP, 0, 0);
    assert_ok(f);
    g_assert_false(stream_next_memory_info(f->ctx, &id));
}

static void test_memory_info_refused(Fixture *f, gconstpointer limit)
{
    uint32_t id, i;

    stream_command1(&f->s, VIRGL_CCMD_GET_MEMORY_INFO, 77);
    stream_command(&f->s, 200, 0, 0);
    assert_invalid(f, "unknown opcode");
    g_assert_cmphex(f->s.dwords[0], ==, VIRGL_CMD0(VIRGL_CCMD_GET_MEMORY_INFO, 0, 1));
    g_assert_false(stream_next_memory_info(f->ctx, &id));

    for (i = 0; i <= STREAM_MEMORY_INFO_MAX; i++) {
        stream_command1(&f->s, VIRGL_CCMD_GET_MEMORY_INFO, 77);
    }
    assert_invalid(f, "more GET_MEMORY_INFO in one stream than allowed");
    g_assert_false(stream_next_memory_info(f->ctx, &id));
}

/* Bounded and seeded (g_test's --seed): plausible commands with wild numbers. */
static void test_random(Fixture *f, gconstpointer limit)
{
    unsigned int round, i;
    unsigned int verdicts[3] = { 0 };

    for (round = 0; round < 3000; round++) {
        unsigned int commands = g_test_rand_int_range(1, 30);
        StreamVerdict v;
        uint64_t used;
        uint32_t subs;

        for (i = 0; i < commands; i++) {
            uint32_t small = g_test_rand_int_range(0, 6);
            uint32_t type = g_test_rand_int_range(1, VIRGL_MAX_OBJECTS);
            uint32_t text = g_test_rand_int_range(1, 20);

            switch (g_test_rand_int_range(0, 12)) {
            case 0:
                stream_create_sub(&f->s, small);
                break;
            case 1:
                stream_destroy_sub(&f->s, small);
                break;
            case 2:
                stream_set_sub(&f->s, small);
                break;
            case 3:
            case 4:
            case 5:
                if (type != VIRGL_OBJECT_SHADER) {
                    stream_create_object(&f->s, type, small + 1);
                }
                break;
            case 6:
            case 7:
                stream_destroy_object(&f->s, small + 1);
                break;
            case 8:
                stream_create_shader(&f->s, small, small + 1, 4 * text, text);
                break;
            case 9:
                stream_create_resource(&f->s, small, 1u << g_test_rand_int_range(0, 14), 64);
                break;
            case 10:
                stream_command1(&f->s, VIRGL_CCMD_GET_MEMORY_INFO, small);
                break;
            case 11:
                if (g_test_rand_int_range(0, 20) == 0) { /* noise */
                    stream_put(&f->s, g_test_rand_int());
                } else if (g_test_rand_int_range(0, 10) == 0) { /* one wild dword */
                    stream_create_shader(&f->s, small, small + 1, 4 * text, text);
                    f->s.dwords[g_test_rand_int_range(0, f->s.count)] = g_test_rand_int();
                }
                break;
            }
        }
        stream_done(f->ctx, true); /* of the stream before: now the figures stand still */
        used = ledger_used(&f->ledger);
        subs = f->limits.subcontexts;
        v = walk(f);
        verdicts[v]++;
        if (v != STREAM_OK) {
            g_assert_cmpuint(ledger_used(&f->ledger), ==, used);
            g_assert_cmpuint(f->limits.subcontexts, ==, subs);
        }
        g_assert_cmpuint(ledger_used(&f->ledger), >=, f->limits.subcontexts * SUB);
        if (v == STREAM_OK && g_test_rand_int_range(0, 2)) {
            stream_done(f->ctx, true);
        }
        while (g_test_rand_int_range(0, 2) && stream_take_blob(f->ctx, i % 6, &f->bytes)) {
            ledger_refund(&f->ledger, f->bytes);
        }
        if (g_test_rand_int_range(0, 50) == 0) {
            tear_down(f, limit); /* which sees the ledger at 0 */
            f->ctx = stream_context_new(&f->ledger, &f->limits);
        }
    }
    /* all three happen, else this tests nothing */
    g_assert_cmpuint(verdicts[STREAM_OK], >, 100);
    g_assert_cmpuint(verdicts[STREAM_INVALID], >, 100);
    g_assert_cmpuint(verdicts[STREAM_OUT_OF_MEMORY], >, 10);
    g_test_message("%u ok, %u out of memory, %u invalid", verdicts[0], verdicts[1], verdicts[2]);
}

#define ADD(name, function, limit)                                                                           \
    g_test_add("/quota/stream/" name, Fixture, GSIZE_TO_POINTER(limit), set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/quota/stream/numbers", test_numbers);
    ADD("lengths", test_lengths, 1024 * MIB);
    ADD("truncated", test_truncated, 1024 * MIB);
    ADD("unknown-opcodes", test_unknown_opcodes, 1024 * MIB);
    ADD("string-marker", test_string_marker, 1024 * MIB);
    ADD("strides", test_strides, 1024 * MIB);
    ADD("object-lengths", test_object_lengths, 1024 * MIB);
    ADD("bad-shaders", test_bad_shaders, 1024 * MIB);
    ADD("bad-resources", test_bad_resources, 1024 * MIB);
    ADD("memory-info", test_memory_info, 1024 * MIB);
    ADD("memory-info-refused", test_memory_info_refused, 1024 * MIB);
    ADD("random", test_random, 48 * MIB);
    return g_test_run();
}
