/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The books that the walk over virgl streams keeps: what is charged and given
 * back for sub-contexts, objects, shaders and resources, the caps, and that a
 * refusal leaves no trace.
 */
#include "stream-fixture.h"

static void test_empty(Fixture *f, gconstpointer limit)
{
    assert_used(f, SUB);
    g_assert_cmpuint(f->limits.subcontexts, ==, 1);
    assert_ok(f);
    assert_used(f, SUB);
    stream_context_free(NULL);
}

static void test_context_does_not_fit(void)
{
    StreamLimits limits = { .max_subcontexts = 1 };
    StreamContext *one;
    Ledger l;

    ledger_init(&l, SUB - 1, NULL);
    g_assert_null(stream_context_new(&l, &limits));
    g_assert_cmpuint(ledger_used(&l), ==, 0);
    g_assert_cmpuint(limits.subcontexts, ==, 0);

    ledger_set_limit(&l, 4 * SUB);
    one = stream_context_new(&l, &limits);
    g_assert_nonnull(one);
    g_assert_null(stream_context_new(&l, &limits));
    g_assert_cmpuint(ledger_used(&l), ==, SUB);
    stream_context_free(one);
    g_assert_cmpuint(ledger_used(&l), ==, 0);
    g_assert_cmpuint(limits.subcontexts, ==, 0);
}

static void test_sub_contexts(Fixture *f, gconstpointer limit)
{
    stream_create_sub(&f->s, 1);
    stream_create_sub(&f->s, 7);
    assert_ok(f);
    assert_used(f, 3 * SUB);
    g_assert_cmpuint(f->limits.subcontexts, ==, 3);

    /* one that exists counts once, in this stream or an older one */
    stream_create_sub(&f->s, 7);
    stream_create_sub(&f->s, 0);
    stream_create_sub(&f->s, 8);
    stream_create_sub(&f->s, 8);
    assert_ok(f);
    assert_used(f, 4 * SUB);
    g_assert_cmpuint(f->limits.subcontexts, ==, 4);

    stream_destroy_sub(&f->s, 7);
    stream_destroy_sub(&f->s, 7);
    stream_destroy_sub(&f->s, 99);
    stream_destroy_sub(&f->s, 0); /* virglrenderer never destroys it */
    assert_ok(f);
    assert_used(f, 3 * SUB);
    g_assert_cmpuint(f->limits.subcontexts, ==, 3);
}

/* The 100 CREATE_SUB_CTX of the measurement: 1.05 GiB, refused as a whole. */
static void test_sub_contexts_past_memory(Fixture *f, gconstpointer limit)
{
    uint32_t i;

    for (i = 1; i <= 100; i++) {
        stream_create_sub(&f->s, i);
    }
    g_assert_cmpint(walk(f), ==, STREAM_OUT_OF_MEMORY);
    g_assert_cmpuint(f->bytes, ==, 100 * SUB);
    g_assert_cmpuint(f->stats.alloc_denied, ==, 1);
    g_assert_cmpuint(f->stats.alloc_denied_size, ==, 100 * SUB);
    assert_used(f, SUB);
    g_assert_cmpuint(f->limits.subcontexts, ==, 1);
    stream_create_sub(&f->s, 1);
    assert_ok(f);
    assert_used(f, 2 * SUB);
}

static void test_sub_contexts_past_cap(Fixture *f, gconstpointer limit)
{
    StreamContext *other;
    uint32_t i;

    f->limits.max_subcontexts = 4;
    other = stream_context_new(&f->ledger, &f->limits);
    g_assert_nonnull(other);
    for (i = 1; i <= 3; i++) {
        stream_create_sub(&f->s, i);
    }
    assert_invalid(f, "more sub-contexts than the profile's max-contexts");
    g_assert_cmpuint(f->limits.subcontexts, ==, 2);
    stream_create_sub(&f->s, 1);
    stream_create_sub(&f->s, 2);
    assert_ok(f);
    g_assert_null(stream_context_new(&f->ledger, &f->limits));
    /* whoever goes makes room for the others */
    stream_context_free(other);
    stream_create_sub(&f->s, 3);
    assert_ok(f);
    stream_create_sub(&f->s, 4);
    assert_invalid(f, "more sub-contexts than the profile's max-contexts");
}

static void test_objects(Fixture *f, gconstpointer limit)
{
    static const struct {
        uint32_t type, bytes;
    } objects[] = {
        { VIRGL_OBJECT_BLEND, 512 },
        { VIRGL_OBJECT_RASTERIZER, 256 },
        { VIRGL_OBJECT_DSA, 512 },
        { VIRGL_OBJECT_VERTEX_ELEMENTS, 2048 },
        { VIRGL_OBJECT_SAMPLER_VIEW, 2048 },
        { VIRGL_OBJECT_SAMPLER_STATE, 1024 },
        { VIRGL_OBJECT_SURFACE, 2048 },
        { VIRGL_OBJECT_QUERY, 1024 },
        { VIRGL_OBJECT_STREAMOUT_TARGET, 512 },
        { VIRGL_OBJECT_MSAA_SURFACE, 2048 },
    };
    uint64_t used = SUB;
    unsigned int i;

    for (i = 0; i < G_N_ELEMENTS(objects); i++) {
        stream_create_object(&f->s, objects[i].type, 100 + i);
        assert_ok(f);
        used += objects[i].bytes;
        assert_used(f, used);
    }
    for (i = 0; i < G_N_ELEMENTS(objects); i++) {
        stream_destroy_object(&f->s, 100 + i);
        stream_destroy_object(&f->s, 100 + i);
        stream_destroy_object(&f->s, 5000);
        assert_ok(f);
        used -= objects[i].bytes;
        assert_used(f, used);
    }
}

/* Handles belong to the sub-context that is current, as in virglrenderer. */
static void test_objects_per_sub_context(Fixture *f, gconstpointer limit)
{
    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 1); /* in 0 */
    stream_create_sub(&f->s, 5);                        /* and 5 is current */
    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 1); /* in 5 */
    assert_ok(f);
    assert_used(f, 2 * SUB + 1024);

    stream_set_sub(&f->s, 99);   /* unknown: 5 stays current */
    stream_create_sub(&f->s, 0); /* exists: 5 stays current */
    stream_destroy_object(&f->s, 1);
    stream_destroy_object(&f->s, 1);
    assert_ok(f);
    assert_used(f, 2 * SUB + 512);

    stream_create_object(&f->s, VIRGL_OBJECT_SAMPLER_VIEW, 2);
    stream_destroy_sub(&f->s, 5); /* with its view; 0 is current */
    stream_destroy_object(&f->s, 1);
    assert_ok(f);
    assert_used(f, SUB);
}

/* A handle used again: virglrenderer frees the first object. */
static void test_object_replaced(Fixture *f, gconstpointer limit)
{
    stream_create_object(&f->s, VIRGL_OBJECT_VERTEX_ELEMENTS, 1); /* 2048 */
    assert_ok(f);
    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 1); /* 512 */
    g_assert_cmpint(walk(f), ==, STREAM_OK);
    assert_used(f, SUB + 2048 + 512); /* not executed yet: both */
    stream_done(f->ctx, true);
    assert_used(f, SUB + 512);
    stream_destroy_object(&f->s, 1);
    assert_ok(f);
    assert_used(f, SUB);
}

static void test_object_cap(Fixture *f, gconstpointer limit)
{
    uint32_t i;

    for (i = 1; i <= STREAM_OBJECTS_MAX; i++) {
        stream_create_object(&f->s, VIRGL_OBJECT_DSA, i);
    }
    assert_ok(f);
    assert_used(f, SUB + 65536 * 512);
    stream_create_object(&f->s, VIRGL_OBJECT_DSA, i);
    assert_invalid(f, "more objects in one sub-context than allowed");
    stream_destroy_object(&f->s, 1);
    stream_create_object(&f->s, VIRGL_OBJECT_DSA, i);
    assert_ok(f);
    /* another sub-context has its own count */
    stream_create_sub(&f->s, 1);
    stream_create_object(&f->s, VIRGL_OBJECT_DSA, 1);
    assert_ok(f);
}

static void test_shader_cap(Fixture *f, gconstpointer limit)
{
    uint32_t i;

    for (i = 1; i <= STREAM_SHADERS_MAX; i++) {
        stream_create_shader(&f->s, PIPE_SHADER_VERTEX, i, 4, 1);
    }
    assert_ok(f);
    /* 16 KiB + 4 bytes of text * 8, each */
    assert_used(f, SUB + 16384ull * (16384 + 32));
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, i, 4, 1);
    assert_invalid(f, "more shaders in one sub-context than allowed");
    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, i);
    assert_ok(f);
    /* one goes, one comes; one is replaced by something else, one comes */
    stream_destroy_object(&f->s, 1);
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, 1, 4, 1);
    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 2);
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, i + 1, 4, 1);
    assert_ok(f);
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, i + 2, 4, 1);
    assert_invalid(f, "more shaders in one sub-context than allowed");
}

/* A stream of nothing but changes would make our own journal grow. */
static void test_change_cap(Fixture *f, gconstpointer limit)
{
    uint32_t i;

    for (i = 0; i < STREAM_CHANGES_MAX / 2; i++) {
        stream_create_object(&f->s, VIRGL_OBJECT_DSA, 1);
        stream_destroy_object(&f->s, 1);
    }
    stream_destroy_object(&f->s, 1); /* changes nothing */
    assert_ok(f);
    assert_used(f, SUB);
    for (i = 0; i < STREAM_CHANGES_MAX / 2; i++) {
        stream_create_object(&f->s, VIRGL_OBJECT_DSA, 1);
        stream_destroy_object(&f->s, 1);
    }
    stream_create_object(&f->s, VIRGL_OBJECT_DSA, 1);
    assert_invalid(f, "more changes in one stream than allowed");
    assert_used(f, SUB);
}

static void test_shaders(Fixture *f, gconstpointer limit)
{
    /* 1000 bytes of text = 250 dwords: 16384 + 8 * 1000 */
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 1, 1000, 250);
    assert_ok(f);
    assert_used(f, SUB + 24384);
    /* 1001 bytes go up to 1004: 16384 + 8032 */
    stream_create_shader(&f->s, PIPE_SHADER_COMPUTE, 2, 1001, 251);
    assert_ok(f);
    assert_used(f, SUB + 24384 + 24416);
    stream_destroy_object(&f->s, 1);
    stream_destroy_object(&f->s, 2);
    assert_ok(f);
    assert_used(f, SUB);
}

/* The text in three commands, the second in a later stream. */
static void test_long_shader(Fixture *f, gconstpointer limit)
{
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, 1, 3000, 250);
    assert_ok(f);
    assert_used(f, SUB + 16384 + 8 * 3000); /* all of it at once: virglrenderer allocates it */

    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, 2, 4, 1);
    assert_invalid(f, "a new shader while another of its type is not complete");
    stream_destroy_object(&f->s, 1);
    assert_invalid(f, "the handle of a shader whose text is not complete");
    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 1);
    assert_invalid(f, "the handle of a shader whose text is not complete");
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, 2, VIRGL_OBJ_SHADER_OFFSET_CONT | 1000, 250);
    assert_invalid(f, "a shader continuation that continues nothing");
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 1, VIRGL_OBJ_SHADER_OFFSET_CONT | 1000, 250);
    assert_invalid(f, "a shader continuation that continues nothing");
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, 1, VIRGL_OBJ_SHADER_OFFSET_CONT | 996, 250);
    assert_invalid(f, "a shader continuation that continues nothing");
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, 1, VIRGL_OBJ_SHADER_OFFSET_CONT | 1000, 501);
    assert_invalid(f, "a shader continuation that continues nothing");

    /* another type meanwhile is fine */
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 9, 4, 1);
    stream_destroy_object(&f->s, 9);
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, 1, VIRGL_OBJ_SHADER_OFFSET_CONT | 1000, 250);
    assert_ok(f);
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, 1, VIRGL_OBJ_SHADER_OFFSET_CONT | 2000, 250);
    assert_ok(f);
    stream_create_shader(&f->s, PIPE_SHADER_FRAGMENT, 1, VIRGL_OBJ_SHADER_OFFSET_CONT | 3000, 0);
    assert_invalid(f, "a shader continuation that continues nothing");
    assert_used(f, SUB + 16384 + 8 * 3000);
    stream_destroy_object(&f->s, 1);
    assert_ok(f);
    assert_used(f, SUB);
}

/* The 8 pictures of 4096 x 4096 of the measurement: 512 MiB. */
static void test_resources(Fixture *f, gconstpointer limit)
{
    uint32_t i, id;

    for (i = 1; i <= 8; i++) {
        stream_create_resource(&f->s, i, 4096, 4096);
    }
    assert_ok(f);
    assert_used(f, SUB + 512 * MIB);

    g_assert_false(stream_take_blob(f->ctx, 9, &f->bytes));
    g_assert_true(stream_take_blob(f->ctx, 3, &f->bytes));
    g_assert_cmpuint(f->bytes, ==, 64 * MIB);
    g_assert_false(stream_take_blob(f->ctx, 3, &f->bytes));
    /* the charge went to the caller: still in the ledger */
    assert_used(f, SUB + 512 * MIB);
    ledger_refund(&f->ledger, f->bytes);
    assert_used(f, SUB + 448 * MIB);
    g_assert_true(stream_next_untaken(f->ctx, &id));
    g_assert_cmpuint(id, ==, 1);
}

static void test_resources_past_memory(Fixture *f, gconstpointer limit)
{
    uint32_t i;

    for (i = 1; i <= 16; i++) { /* 1 GiB, and 1 GiB is the limit */
        stream_create_resource(&f->s, i, 4096, 4096);
    }
    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 1);
    g_assert_cmpint(walk(f), ==, STREAM_OUT_OF_MEMORY);
    g_assert_cmpuint(f->bytes, ==, 1024 * MIB + 512);
    assert_used(f, SUB);
    g_assert_false(stream_take_blob(f->ctx, 1, &f->bytes));
}

/* Of two with one id virglrenderer hands out the older. */
static void test_same_blob_id(Fixture *f, gconstpointer limit)
{
    stream_create_resource(&f->s, 5, 32, 32); /* 4096 bytes */
    stream_create_resource(&f->s, 5, 64, 64); /* 16384 bytes */
    assert_ok(f);
    g_assert_true(stream_take_blob(f->ctx, 5, &f->bytes));
    g_assert_cmpuint(f->bytes, ==, 4096);
    ledger_refund(&f->ledger, f->bytes);
    g_assert_true(stream_take_blob(f->ctx, 5, &f->bytes));
    g_assert_cmpuint(f->bytes, ==, 16384);
    ledger_refund(&f->ledger, f->bytes);
    g_assert_false(stream_take_blob(f->ctx, 5, &f->bytes));
    assert_used(f, SUB);
}

/* virglrenderer 1.1 never frees what nobody took: neither do the books. */
static void test_untaken_stays_charged(void)
{
    StreamLimits limits = { 0 };
    StreamContext *ctx;
    const char *why;
    Stream s = { 0 };
    uint64_t bytes;
    Ledger l;

    ledger_init(&l, 256 * MIB, NULL);
    ctx = stream_context_new(&l, &limits);
    stream_create_resource(&s, 1, 1024, 1024);
    g_assert_cmpint(stream_walk(ctx, s.dwords, s.count, &why, &bytes), ==, STREAM_OK);
    stream_context_free(ctx);
    g_assert_cmpuint(ledger_used(&l), ==, 4 * MIB);
    stream_clear(&s);
}

static void test_blob_cap(Fixture *f, gconstpointer limit)
{
    uint32_t i;

    for (i = 0; i < STREAM_BLOBS_MAX; i++) {
        stream_create_resource(&f->s, i, 8, 8);
    }
    assert_ok(f);
    assert_used(f, SUB + 1024 * 4096);
    stream_create_resource(&f->s, i, 8, 8);
    assert_invalid(f, "more resources made in streams and not taken than allowed");
    g_assert_true(stream_take_blob(f->ctx, 0, &f->bytes));
    ledger_refund(&f->ledger, f->bytes);
    stream_create_resource(&f->s, i, 8, 8);
    assert_ok(f);
}

/* One of everything, then an error: the books stand as if it had never come. */
static void test_rollback(Fixture *f, gconstpointer limit)
{
    uint64_t used;
    int turn;

    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 1);
    stream_create_object(&f->s, VIRGL_OBJECT_QUERY, 2);
    stream_create_sub(&f->s, 3);
    stream_create_object(&f->s, VIRGL_OBJECT_SURFACE, 1);
    stream_create_sub(&f->s, 4);
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 8, 2000, 250);
    stream_create_resource(&f->s, 1, 32, 32);
    assert_ok(f);
    /* 512 + 1024 + 2048 + (16384 + 16000) + 4096 */
    used = 3 * SUB + 40064;
    assert_used(f, used);

    for (turn = 0; turn < 3; turn++) {
        stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 20);
        stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 8, VIRGL_OBJ_SHADER_OFFSET_CONT | 1000, 250);
        stream_destroy_object(&f->s, 8);
        stream_set_sub(&f->s, 0);
        stream_destroy_object(&f->s, 1);
        stream_create_object(&f->s, VIRGL_OBJECT_DSA, 2); /* in the query's place */
        stream_create_object(&f->s, VIRGL_OBJECT_DSA, 2);
        stream_set_sub(&f->s, 3);
        stream_destroy_sub(&f->s, 3);
        stream_create_sub(&f->s, 3); /* another one of that id */
        stream_create_object(&f->s, VIRGL_OBJECT_SURFACE, 1);
        stream_destroy_sub(&f->s, 3);
        stream_destroy_sub(&f->s, 4);
        stream_create_sub(&f->s, 60);
        stream_create_resource(&f->s, 2, 1024, 1024);
        if (turn == 2) {
            stream_create_resource(&f->s, 3, 16384, 16384); /* 1 GiB */
            g_assert_cmpint(walk(f), ==, STREAM_OUT_OF_MEMORY);
        } else {
            stream_command(&f->s, turn ? 255 : VIRGL_CCMD_CLEAR, 0, 1);
            g_assert_cmpint(walk(f), ==, STREAM_INVALID);
        }
        assert_used(f, used);
        g_assert_cmpuint(f->limits.subcontexts, ==, 3);
        g_assert_false(stream_take_blob(f->ctx, 2, &f->bytes));
    }

    /* what was there is there: 4 is current and its shader still under way */
    stream_create_shader(&f->s, PIPE_SHADER_VERTEX, 8, VIRGL_OBJ_SHADER_OFFSET_CONT | 1000, 250);
    stream_destroy_object(&f->s, 8);
    stream_set_sub(&f->s, 60); /* never made */
    stream_set_sub(&f->s, 3);
    stream_destroy_object(&f->s, 1); /* the surface */
    stream_set_sub(&f->s, 0);
    stream_destroy_object(&f->s, 1); /* the blend */
    stream_destroy_object(&f->s, 2); /* the query */
    assert_ok(f);
    assert_used(f, 3 * SUB + 4096);
}

/* A stream that virglrenderer did not run to its end gives nothing back. */
static void test_not_executed(Fixture *f, gconstpointer limit)
{
    stream_create_sub(&f->s, 1);
    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 1);
    assert_ok(f);
    assert_used(f, 2 * SUB + 512);

    stream_destroy_object(&f->s, 1);
    stream_destroy_sub(&f->s, 1);
    g_assert_cmpint(walk(f), ==, STREAM_OK);
    stream_done(f->ctx, false);
    assert_used(f, 2 * SUB + 512);
    g_assert_cmpuint(f->limits.subcontexts, ==, 2);
    assert_invalid(f, "the context is lost since an earlier stream failed");
    stream_done(f->ctx, true); /* too late */
    assert_invalid(f, "the context is lost since an earlier stream failed");
    assert_used(f, 2 * SUB + 512);
}

/* Nobody said what became of a stream: the next walk takes it for executed. */
static void test_done_not_called(Fixture *f, gconstpointer limit)
{
    stream_create_sub(&f->s, 1);
    g_assert_cmpint(walk(f), ==, STREAM_OK);
    stream_destroy_sub(&f->s, 1);
    g_assert_cmpint(walk(f), ==, STREAM_OK);
    assert_used(f, 2 * SUB);
    g_assert_cmpint(walk(f), ==, STREAM_OK); /* an empty stream */
    assert_used(f, SUB);
    g_assert_cmpuint(f->limits.subcontexts, ==, 1);
}

/* The small reserve past the limit serves small streams only. */
static void test_reserve(Fixture *f, gconstpointer limit)
{
    ledger_set_limit(&f->ledger, SUB);
    stream_create_object(&f->s, VIRGL_OBJECT_BLEND, 1);
    assert_ok(f);
    stream_create_resource(&f->s, 1, 256, 256); /* 256 KiB */
    g_assert_cmpint(walk(f), ==, STREAM_OUT_OF_MEMORY);
    assert_used(f, SUB + 512);
}

#define ADD(name, function, limit)                                                                           \
    g_test_add("/quota/books/" name, Fixture, GSIZE_TO_POINTER(limit), set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/quota/books/context-does-not-fit", test_context_does_not_fit);
    g_test_add_func("/quota/books/untaken-stays-charged", test_untaken_stays_charged);
    ADD("empty", test_empty, 1024 * MIB);
    ADD("sub-contexts", test_sub_contexts, 1024 * MIB);
    ADD("sub-contexts-past-memory", test_sub_contexts_past_memory, 1024 * MIB);
    ADD("sub-contexts-past-cap", test_sub_contexts_past_cap, 1024 * MIB);
    ADD("objects", test_objects, 1024 * MIB);
    ADD("objects-per-sub-context", test_objects_per_sub_context, 1024 * MIB);
    ADD("object-replaced", test_object_replaced, 1024 * MIB);
    ADD("object-cap", test_object_cap, 1024 * MIB);
    ADD("shader-cap", test_shader_cap, 1024 * MIB);
    ADD("change-cap", test_change_cap, 1024 * MIB);
    ADD("shaders", test_shaders, 1024 * MIB);
    ADD("long-shader", test_long_shader, 1024 * MIB);
    ADD("resources", test_resources, 1024 * MIB);
    ADD("resources-past-memory", test_resources_past_memory, 1024 * MIB);
    ADD("same-blob-id", test_same_blob_id, 1024 * MIB);
    ADD("blob-cap", test_blob_cap, 1024 * MIB);
    ADD("rollback", test_rollback, 1024 * MIB);
    ADD("not-executed", test_not_executed, 1024 * MIB);
    ADD("done-not-called", test_done_not_called, 1024 * MIB);
    ADD("reserve", test_reserve, 1024 * MIB);
    return g_test_run();
}
