/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit log: lines that cannot be forged, and floods that are none. */
#include <string.h>

#include "vgpud/audit.h"

#define SECOND (int64_t)G_USEC_PER_SEC

static char alice_name[] = "user alice (uid 1000, pid 42)";

static Caller alice(void)
{
    return (Caller){ .role = ROLE_OPERATOR, .uid = 1000, .pid = 42, .who = alice_name };
}

static void test_lines(void)
{
    Caller caller = alice();
    const AuditLine done = {
        &caller, "the API's socket", "set", "win10", "share=30% memory=2147483648", NULL
    };
    const AuditLine refused = { &caller, "10.0.0.1", "stop", "win10", NULL, "no \"rights\"" };
    const AuditLine nobody = { NULL, "10.0.0.1", "ask", "/v1/vms", NULL, "this token is not known here" };
    g_autofree char *a = audit_text(&done), *b = audit_text(&refused), *c = audit_text(&nobody);

    g_assert_cmpstr(
        a, ==,
        "audit: who=\"user alice (uid 1000, pid 42)\" what=set target=win10 from=\"the API's socket\" "
        "change=\"share=30% memory=2147483648\" result=done");
    g_assert_cmpstr(b, ==,
                    "audit: who=\"user alice (uid 1000, pid 42)\" what=stop target=win10 from=10.0.0.1 "
                    "result=refused why=\"no \\\"rights\\\"\"");
    g_assert_nonnull(strstr(c, "who=\"somebody unknown\""));
}

static void test_forgery(void)
{
    static const char *const targets[] = {
        "a\naudit: who=root what=set result=done",
        "a result=done",
        "a\" result=done \"",
        "a\\\" result=done",
        "a\r\x1b[2J",
        "\xff\xfe",
        "",
    };
    Caller caller = alice();

    for (unsigned i = 0; i < G_N_ELEMENTS(targets); i++) {
        const AuditLine line = { &caller, "here", "set", targets[i], NULL, "no" };
        g_autofree char *text = audit_text(&line);
        g_auto(GStrv) argv = NULL;
        unsigned results = 0;

        g_assert_true(g_utf8_validate(text, -1, NULL));
        g_assert_null(strpbrk(text, "\n\r\x1b"));
        g_assert_true(g_shell_parse_argv(text, NULL, &argv, NULL)); /* the same quoting */
        for (unsigned k = 0; argv[k]; k++) {
            results += g_str_has_prefix(argv[k], "result=");
        }
        g_assert_cmpuint(results, ==, 1);
    }
    {
        g_autofree char *huge = g_strnfill(1 << 20, 'x');
        const AuditLine line = { &caller, "here", "set", huge, NULL, NULL };
        g_autofree char *text = audit_text(&line);

        g_assert_cmpuint(strlen(text), <, 1000);
    }
}

static unsigned take(AuditBucket *b, int64_t now, unsigned times)
{
    unsigned got = 0;

    for (unsigned i = 0; i < times; i++) {
        got += audit_bucket_take(b, i % 4 ? "attach" : "set", now);
    }
    return got;
}

static void test_bucket(void)
{
    AuditBucket b = { 0 };
    int64_t now = 3 * SECOND; /* soon after boot as well */

    g_assert_cmpuint(take(&b, now, 1000), ==, 20);
    g_assert_cmpuint(b.left_out, ==, 980);
    {
        g_autofree char *told = audit_bucket_tell(&b);

        g_assert_cmpstr(told, ==, "980 more refusals were not written down: 245 of set, 735 of attach");
        g_assert_cmpuint(b.left_out, ==, 0);
    }
    g_assert_cmpuint(take(&b, now + 4 * SECOND, 10), ==, 0);
    g_assert_cmpuint(take(&b, now + 6 * SECOND, 10), ==, 1);
    g_assert_cmpuint(b.left_out, ==, 19);
    g_assert_cmpuint(take(&b, now + 3600 * SECOND, 100), ==, 20); /* never more than it holds */
    {
        static const char *const whats[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "k" };
        AuditBucket many = { 0 };
        g_autofree char *told = NULL;

        take(&many, now, 20);
        for (unsigned i = 0; i < G_N_ELEMENTS(whats); i++) {
            g_assert_false(audit_bucket_take(&many, whats[i], now));
        }
        told = audit_bucket_tell(&many);
        g_assert_nonnull(g_strstr_len(told, -1, "10 more refusals were not written down: 1 of a, 1 of b"));
        g_assert_true(g_str_has_suffix(told, ", 1 of h, 2 of others"));
    }
}

static unsigned lines, more, left_out;

static GLogWriterOutput count_lines(GLogLevelFlags level, const GLogField *fields, gsize count,
                                    gpointer unused)
{
    bool has_who = false;

    for (gsize i = 0; i < count; i++) {
        if (g_str_equal(fields[i].key, "MESSAGE") && g_str_has_prefix(fields[i].value, "audit: ")) {
            lines++;
        }
        more += g_str_equal(fields[i].key, "VGPU_WHAT") && g_str_equal(fields[i].value, "more");
        if (g_str_equal(fields[i].key, "VGPU_LEFT_OUT")) {
            left_out += (unsigned)g_ascii_strtoull(fields[i].value, NULL, 10);
        }
        has_who |= g_str_equal(fields[i].key, "VGPU_WHO");
    }
    g_assert_true(has_who);
    return G_LOG_WRITER_HANDLED;
}

/* Refusals of one user are bounded, whatever its pid; changes and other users' lines are not lost. */
static void test_floods(void)
{
    if (g_test_subprocess()) {
        g_log_set_writer_func(count_lines, NULL, NULL);
        for (unsigned i = 0; i < 1000; i++) {
            g_autofree char *who = g_strdup_printf("user mallory (uid 666, pid %u)", i);
            Caller caller = { .role = ROLE_TENANT, .uid = 666, .pid = i, .who = who };
            const AuditLine line = { &caller, "here", "stop", "win10", NULL, "no" };

            audit(&line);
        }
        g_assert_cmpuint(lines, >=, 20);
        g_assert_cmpuint(lines, <, 60);
        audit_end(); /* none is lost: each is a line or counted in one */
        g_assert_cmpuint(lines - more + left_out, ==, 1000);
        g_assert_cmpuint(more, ==, 1);
        audit_end();
        g_assert_cmpuint(more, ==, 1);
        lines = 0;
        for (unsigned i = 0; i < 100; i++) {
            Caller caller = alice();
            const AuditLine line = { &caller, "here", "set", "win10", "share=30%", NULL };

            audit(&line);
        }
        g_assert_cmpuint(lines, ==, 100);
        lines = 0;
        for (unsigned i = 0; i < 1000; i++) { /* many addresses: no table without end */
            g_autofree char *from = g_strdup_printf("10.0.%u.%u", i / 256, i % 256);
            const AuditLine line = { NULL, from, "ask", "/", NULL, "no" };

            audit(&line);
        }
        g_assert_cmpuint(lines, >=, 255);
        g_assert_cmpuint(lines, <, 400);
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/audit/lines", test_lines);
    g_test_add_func("/audit/forgery", test_forgery);
    g_test_add_func("/audit/bucket", test_bucket);
    g_test_add_func("/audit/floods", test_floods);
    return g_test_run();
}
