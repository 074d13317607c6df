/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients send to change something: bytes to values, or to one sentence. */
#include <string.h>

#include "vgpud/api_body.h"
#include "vgpud/units.h"

static ControlChange good(const char *body)
{
    g_autoptr(GError) error = NULL;
    ControlChange c = { 0 };

    g_assert_true(api_body_change(body, strlen(body), &c, &error));
    g_assert_no_error(error);
    return c;
}

static void bad(const char *body, size_t length, const char *says)
{
    g_autoptr(GError) error = NULL;
    ControlChange c = { 0 };

    g_assert_false(api_body_change(body, length, &c, &error));
    g_assert_nonnull(error);
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
    g_assert_null(strchr(error->message, '\n'));
    if (!strstr(error->message, says)) {
        g_test_fail_printf("'%s' is not in '%s'", says, error->message);
    }
    control_change_clear(&c);
}

static void test_all(void)
{
    ControlChange c =
        good(" {\"profile\": \"half\", \"share\": \"30%\", \"memory\": \"2G\", \"quantum\": \"4ms\",\n"
             "\"priority\": \"high\", \"frame_rate_limit\": 60, \"hang_timeout\": \"5s\"} \n");

    g_assert_cmphex(c.set, ==, 0x7f);
    g_assert_cmpstr(c.profile, ==, "half");
    g_assert_cmpuint(c.share_ppm, ==, 300000);
    g_assert_cmpuint(c.memory, ==, 2 * GIB);
    g_assert_cmpuint(c.quantum_us, ==, 4000);
    g_assert_cmpint(c.priority, ==, PROFILE_HIGH);
    g_assert_cmpuint(c.frame_rate_limit, ==, 60);
    g_assert_cmpuint(c.hang_timeout_us, ==, 5000000);
    control_change_clear(&c);
}

static void test_numbers(void)
{
    static const struct {
        const char *body;
        uint32_t ppm;
    } shares[] = {
        { "{\"share\": 0.3}", 300000 },       { "{\"share\": 1}", 1000000 },
        { "{\"share\": 1.0}", 1000000 },      { "{\"share\": 1e-2}", 10000 },
        { "{\"share\": 0.333333}", 333333 },  { "{\"share\": \"12.5%\"}", 125000 },
        { "{\"sh\\u0061re\": 0.5}", 500000 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(shares); i++) {
        ControlChange c = good(shares[i].body);

        g_assert_cmphex(c.set, ==, CONTROL_SHARE);
        g_assert_cmpuint(c.share_ppm, ==, shares[i].ppm);
        control_change_clear(&c);
    }
    {
        ControlChange c = good("{\"memory\": 1073741824}");

        g_assert_cmphex(c.set, ==, CONTROL_MEMORY);
        g_assert_cmpuint(c.memory, ==, GIB);
        control_change_clear(&c);
    }
    {
        ControlChange c = good("{\"frame_rate_limit\": 0}");

        g_assert_cmphex(c.set, ==, CONTROL_FRAME_RATE);
        g_assert_cmpuint(c.frame_rate_limit, ==, 0);
        control_change_clear(&c);
    }
}

static void test_wrong_values(void)
{
    static const char *const bodies[] = {
        "{\"share\": 0}",
        "{\"share\": -0.3}",
        "{\"share\": 30}",
        "{\"share\": 1.0000001}",
        "{\"share\": 1e-9}",
        "{\"share\": 1e999}",
        "{\"share\": null}",
        "{\"share\": true}",
        "{\"share\": [0.3]}",
        "{\"share\": {}}",
        "{\"share\": \"\"}",
        "{\"share\": \"-3%\"}",
        "{\"share\": \"101%\"}",
        "{\"memory\": 0}",
        "{\"memory\": -1}",
        "{\"memory\": 1.5}",
        "{\"memory\": \"0\"}",
        "{\"memory\": \"-2G\"}",
        "{\"memory\": \"1E\"}",
        "{\"memory\": 9223372036854775807}",
        "{\"memory\": 9223372036854775808}",
        "{\"memory\": 18446744073709551616}",
        "{\"memory\": \"99999999999999999999T\"}",
        "{\"quantum\": 4}",
        "{\"quantum\": \"4\"}",
        "{\"quantum\": \"1h\"}",
        "{\"priority\": \"HIGH\"}",
        "{\"priority\": 2}",
        "{\"profile\": 1}",
        "{\"profile\": \"\"}",
        "{\"frame_rate_limit\": -1}",
        "{\"frame_rate_limit\": 1e9}",
        "{\"frame_rate_limit\": 4294967356}", /* 60 in 32 bits */
        "{\"hang_timeout\": 5}",
        "{\"hang_timeout\": \"soon\"}",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bodies); i++) {
        g_test_message("%s", bodies[i]);
        bad(bodies[i], strlen(bodies[i]), "");
    }
}

static void test_not_an_object(void)
{
    static const struct {
        const char *body, *says;
    } rows[] = {
        { "", "empty" },
        { " ", "object" },
        { "null", "object" },
        { "3", "object" },
        { "\"share\"", "object" },
        { "[{\"share\": 0.3}]", "object" },
        { "{", "line 1, column" },
        { "{\n\n  \"share\": 0.3,}", "line 3, column" },
        { "{\"share\": 0.3", "line 1, column" },
        { "{\"share\": 0.3} {}", "line 1, column" },
        { "{'share': 0.3}", "line 1, column" },
        { "{share: 0.3}", "line 1, column" },
        { "{\"share\": 0.3} // please", "line 1, column" },
        { "{\"share\": NaN}", "line 1, column" },
        { "{\"share\": +0.3}", "line 1, column" },
        { "{\"share\": 0x1}", "line 1, column" },
        { "var x = {\"share\": 0.3};", "line 1, column" },
        { "{\"priority\": \"\\ud800\"}", "line 1, column" },
        { "{}", "nothing to change" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].body);
        bad(rows[i].body, strlen(rows[i].body), rows[i].says);
    }
}

static void test_members(void)
{
    static const char long_name[] =
        "{\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4x\xc3\xa4\": 1}";
    static const char twice[] = "{\"share\": 0.3, \"memory\": \"1G\", \"share\": 0.3}";
    static const char nested[] = "{\"share\": {\"share\": 0.3}}";
    static const char unknown[] = "{\"share\": 0.3, \"Share\": 0.3}";

    bad(twice, strlen(twice), "'share' twice");
    bad(nested, strlen(nested), "is not a percentage");
    bad(unknown, strlen(unknown), "no 'Share'");
    bad(unknown, strlen(unknown), "frame_rate_limit");
    bad(long_name, strlen(long_name), "there is no");
}

static void test_bytes(void)
{
    static const char nul[] = "{\"share\": \"30%\0\"}", escaped[] = "{\"share\": \"30%\\u0000\"}";
    static const char latin[] = "{\"priority\": \"h\xe9\"}";

    bad(nul, sizeof(nul) - 1, "UTF-8");
    bad(escaped, strlen(escaped), "NUL");
    bad(latin, strlen(latin), "column 16");
    bad("\xff", 1, "UTF-8");
    /* json-glib quotes what it does not understand, whatever that is: found by fuzzing */
    bad("{\"shar\\n\"x", 10, "shar?");
    /* json-glib quotes what it does not understand, whatever that is: found by fuzzing */
    bad("{\"shar\\n\"x", 10, "shar?");
}

/* json-glib's parser calls itself for each level. */
static void test_nesting(void)
{
    g_autofree char *arrays = g_strnfill(1 << 20, '['), *objects = NULL;
    GString *s = g_string_new(NULL);

    bad(arrays, strlen(arrays), "nested");
    for (unsigned i = 0; i < 100000; i++) {
        g_string_append(s, "{\"a\":");
    }
    objects = g_string_free(s, FALSE);
    bad(objects, strlen(objects), "nested");
    /* brackets in text are no nesting */
    bad("{\"priority\": \"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[\"}", 43, "priority");
}

static void test_policy(void)
{
    static const char *const bad_ones[] = {
        "{}",
        "{\"policy\": 1}",
        "{\"policy\": \"\"}",
        "{\"policy\": \"Fixed-share\"}",
        "{\"policy\": null}",
        "[]",
        "",
        "{\"policy\": \"exclusive\", \"share\": 0.3}",
        "{\"policy\": \"exclusive\", \"policy\": \"exclusive\"}",
    };
    static const char good_one[] = "{\"policy\": \"fixed-share\"}";
    SchedPolicy policy = SCHED_BEST_EFFORT;

    g_assert_true(api_body_policy(good_one, strlen(good_one), &policy, NULL));
    g_assert_cmpint(policy, ==, SCHED_FIXED_SHARE);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_ones); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(api_body_policy(bad_ones[i], strlen(bad_ones[i]), &policy, &error));
        g_assert_nonnull(error);
        g_assert_cmpint(policy, ==, SCHED_FIXED_SHARE);
    }
}

static void test_empty(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(api_body_empty(NULL, 0, NULL));
    g_assert_true(api_body_empty("{ }", 3, NULL));
    g_assert_false(api_body_empty("{\"a\":1}", 7, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_false(api_body_empty("now", 3, &error));
    g_assert_nonnull(error);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/api-body/all-members", test_all);
    g_test_add_func("/api-body/numbers", test_numbers);
    g_test_add_func("/api-body/wrong-values", test_wrong_values);
    g_test_add_func("/api-body/not-an-object", test_not_an_object);
    g_test_add_func("/api-body/members", test_members);
    g_test_add_func("/api-body/bytes", test_bytes);
    g_test_add_func("/api-body/nesting", test_nesting);
    g_test_add_func("/api-body/policy", test_policy);
    g_test_add_func("/api-body/empty", test_empty);
    return g_test_run();
}
