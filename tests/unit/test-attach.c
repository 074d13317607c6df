/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The attach protocol's packets: every wrong field is refused, with its reason. */
#include <glib.h>

#include "wire.h"

static struct vgpu_attach_request good_request(void)
{
    struct vgpu_attach_request r = {
        .profile = "quarter", .name = "vm", .device = "vgpu0", .max_outputs = 1
    };

    wire_header(&r.hdr, VGPU_ATTACH_REQUEST, sizeof(r), 0);
    return r;
}

/* The sentence of a refusal, NULL when the packet is taken. */
static char *check(const void *data, size_t size, bool fds, enum vgpu_refusal *code)
{
    WirePacket packet;
    char *why = NULL;

    if (wire_check(data, size, fds, &packet, code, &why)) {
        g_assert_null(why);
        return NULL;
    }
    g_assert_nonnull(why);
    return why;
}

#define ASSERT_REFUSED(data, size, fds, expected_code, part)                                                 \
    do {                                                                                                     \
        enum vgpu_refusal code_ = 0;                                                                         \
        g_autofree char *why_ = check(data, size, fds, &code_);                                              \
        g_assert_nonnull(why_);                                                                              \
        g_assert_cmpint(code_, ==, expected_code);                                                           \
        if (!strstr(why_, part)) {                                                                           \
            g_test_message("'%s' does not say '%s'", why_, part);                                            \
            g_test_fail();                                                                                   \
        }                                                                                                    \
    } while (0)

static void test_good(void)
{
    struct vgpu_attach_request r = good_request();
    struct vgpu_attach_lost l = { .cause = VGPU_LOST_PROTOCOL };
    enum vgpu_refusal code;

    g_assert_null(check(&r, sizeof(r), 0, &code));
    r.flags = VGPU_ATTACH_F_REJOIN;
    r.max_outputs = 16;
    g_assert_null(check(&r, sizeof(r), 0, &code));
    wire_header(&l.hdr, VGPU_ATTACH_LOST, sizeof(l), 0);
    g_assert_null(check(&l, sizeof(l), 0, &code));
}

static void test_header(void)
{
    struct vgpu_attach_request r = good_request();

    ASSERT_REFUSED(&r, 0, 0, VGPU_REFUSED_MALFORMED, "shorter than its header");
    ASSERT_REFUSED(&r, 15, 0, VGPU_REFUSED_MALFORMED, "shorter than its header");
    ASSERT_REFUSED(&r, 16, 0, VGPU_REFUSED_MALFORMED, "has 16 bytes and says");
    ASSERT_REFUSED(&r, sizeof(r) - 1, 0, VGPU_REFUSED_MALFORMED, "has 359 bytes");
    r.hdr.size++;
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "says 361");
    r = good_request();
    ASSERT_REFUSED(&r, sizeof(r), 1, VGPU_REFUSED_MALFORMED, "came with descriptors and says 0");
    r.hdr.fd_count = 1;
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "came without descriptors and says 1");
    ASSERT_REFUSED(&r, sizeof(r), 1, VGPU_REFUSED_MALFORMED, "it should have none");
    r = good_request();
    r.hdr.magic ^= 1;
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "not the attach protocol");
    r = good_request();
    for (unsigned type = 0; type < 8; type++) { /* what only vgpud may send, and what nobody does */
        if (type != VGPU_ATTACH_REQUEST && type != VGPU_ATTACH_LOST) {
            r.hdr.type = type;
            ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "takes no message of type");
        }
    }
}

/* The sentence names both versions, whatever else the packet holds. */
static void test_version(void)
{
    struct vgpu_attach_request r = good_request();

    r.hdr.version = 7;
    r.hdr.size = 9999;
    ASSERT_REFUSED(&r, sizeof(r.hdr), 0, VGPU_REFUSED_VERSION, "speaks version 7 of");
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_VERSION, "speaks version 2: install");
}

static void test_request_fields(void)
{
    struct vgpu_attach_request r = good_request();

    memset(r.profile, 'a', sizeof(r.profile));
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "does not end");
    r = good_request();
    memset(r.gpu, 'a', sizeof(r.gpu));
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "does not end");
    r = good_request();
    memset(r.name, 'a', sizeof(r.name));
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "does not end");
    r = good_request();
    memset(r.device, 'a', sizeof(r.device));
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "does not end");
    r = good_request();
    r.max_outputs = 0;
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "max_outputs=0");
    r.max_outputs = 17;
    ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "max_outputs=17");
    for (unsigned bit = 1; bit < 32; bit++) {
        r = good_request();
        r.flags = 1u << bit;
        ASSERT_REFUSED(&r, sizeof(r), 0, VGPU_REFUSED_MALFORMED, "unknown flags");
    }
}

static void test_lost_fields(void)
{
    struct vgpu_attach_lost l = { .cause = VGPU_LOST_PROTOCOL + 1 };

    wire_header(&l.hdr, VGPU_ATTACH_LOST, sizeof(l), 0);
    ASSERT_REFUSED(&l, sizeof(l), 0, VGPU_REFUSED_MALFORMED, "cause 4");
    l.cause = 0;
    l.pad = 1;
    ASSERT_REFUSED(&l, sizeof(l), 0, VGPU_REFUSED_MALFORMED, "pad 1");
}

/* Replies: no byte unset, text cut between characters. */
static void test_replies(void)
{
    struct vgpu_attach_refused m;
    struct vgpu_attach_event e;
    g_autofree char *x = g_strnfill(VGPU_MESSAGE_MAX - 2, 'x');
    g_autofree char *text = g_strconcat(x, "\xc3\xa9 and more", NULL);

    memset(&m, 0xff, sizeof(m));
    wire_refused(&m, VGPU_REFUSED_FULL, text);
    g_assert_cmpuint(m.hdr.size, ==, sizeof(m));
    g_assert_cmpuint(m.hdr.type, ==, VGPU_ATTACH_REFUSED);
    g_assert_cmpuint(m.hdr.fd_count, ==, 0);
    g_assert_cmpuint(m.code, ==, VGPU_REFUSED_FULL);
    g_assert_cmpuint(m.pad, ==, 0);
    g_assert_cmpstr(m.message, ==, x);
    memset(&e, 0xff, sizeof(e));
    wire_event(&e, VGPU_EVENT_RENDERER_ENDED, "short");
    g_assert_cmpstr(e.message, ==, "short");
    for (size_t i = 5; i < sizeof(e.message); i++) {
        g_assert_cmpint(e.message[i], ==, 0);
    }
}

/* Random bytes behind a good header: never a crash, names always end. */
static void test_random(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (unsigned n = 0; n < 20000; n++) {
        struct vgpu_attach_request r = good_request();
        g_autofree char *why = NULL;
        enum vgpu_refusal code;
        WirePacket packet;

        for (unsigned i = 0; i < 1 + n % 8; i++) {
            ((uint8_t *)&r)[g_rand_int_range(rand, 0, sizeof(r))] = g_rand_int(rand);
        }
        if (wire_check(&r, sizeof(r), 0, &packet, &code, &why)) {
            g_assert_cmpuint(strnlen(packet.request.name, VGPU_VM_NAME_MAX), <, VGPU_VM_NAME_MAX);
            g_assert_cmpuint(packet.request.max_outputs - 1, <, 16);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/attach/good", test_good);
    g_test_add_func("/attach/header", test_header);
    g_test_add_func("/attach/version", test_version);
    g_test_add_func("/attach/request-fields", test_request_fields);
    g_test_add_func("/attach/lost-fields", test_lost_fields);
    g_test_add_func("/attach/replies", test_replies);
    g_test_add_func("/attach/random", test_random);
    return g_test_run();
}
