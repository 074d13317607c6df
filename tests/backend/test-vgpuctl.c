/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpuctl: what it asks of vgpud, what it prints, and how it ends. */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "fake_vgpud.h"

#define VM                                                                                                   \
    "{\"vm\":\"desk\",\"uuid\":\"00000000-0000-4000-8000-000000000001\",\"device\":\"vgpu0\","               \
    "\"profile\":\"half\",\"gpu\":\"software0\",\"state\":\"running\",\"cause\":null,"                       \
    "\"memory_limit_bytes\":536870912,\"memory_used_bytes\":104857600,\"share\":0.5,\"gpu_share\":0.4321,"   \
    "\"gpu_time_ns\":1500000000,\"gpu_time_source\":\"cpu\",\"priority\":\"high\",\"quantum_us\":4000,"      \
    "\"frame_rate_limit\":60,\"hang_timeout_us\":5000000,\"owner\":\"alice\",\"kind\":\"virgl\",\"pid\":42," \
    "\"connected\":true,\"apis\":[\"gl\",\"vulkan\"],\"future_figure\":7}"

#define assert_has(text, part)                                                                               \
    do {                                                                                                     \
        if (!strstr(text, part)) {                                                                           \
            g_test_fail_printf("%s:%d: no '%s' in: %s", __FILE__, __LINE__, part, text);                     \
        }                                                                                                    \
    } while (0)

/* Ended like that, with nothing of the other kind printed. */
static void expect(const Run *r, int status)
{
    if (r->status != status) {
        g_test_fail_printf("exit status %d, not %d; stdout: %s stderr: %s", r->status, status, r->out,
                           r->err);
    }
    g_assert_cmpstr(status ? r->out : r->err, ==, "");
    if (status) {
        g_assert_true(g_str_has_prefix(r->err, "vgpuctl: "));
        g_assert_cmpuint(strcspn(r->err, "\n"), ==, strlen(r->err) - 1); /* one sentence */
    }
}

/* The JSON a run printed. */
static JsonNode *parsed(const Run *r)
{
    g_autoptr(GError) error = NULL;
    JsonNode *root = json_from_string(r->out, &error);

    if (!root) {
        g_error("not JSON: %s", r->out);
    }
    return root;
}

static void test_list(void)
{
    g_autoptr(Fake) f = fake_new();
    g_autoptr(Run) none = NULL, one = NULL, json = NULL;
    g_autoptr(JsonNode) root = NULL;

    fake_answer(f, "GET", "/v1/vms", 200, "[]");
    none = fake_run(f, "list", NULL);
    expect(none, 0);
    g_assert_cmpstr(none->out, ==, "no VM has a slice of a GPU\n");
    fake_answer(f, "GET", "/v1/vms", 200, "[" VM "]");
    one = fake_run(f, "list", NULL);
    expect(one, 0);
    for (const char *const *part = (const char *const[]){ "VM", "desk", "half", "software0", "running",
                                                          "43.2 %", "50 %", "100", "512", "42", NULL };
         *part; part++) {
        assert_has(one->out, *part);
    }
    /* where it is not the GPU's own time the reader is told */
    assert_has(one->out, "GPU time on a software GPU is the CPU time of the renderers.");
    json = fake_run(f, "list", "--json", NULL);
    expect(json, 0);
    root = parsed(json);
    g_assert_true(JSON_NODE_HOLDS_ARRAY(root));
    g_assert_cmpint(json_object_get_int_member(json_array_get_object_element(json_node_get_array(root), 0),
                                               "future_figure"),
                    ==, 7);
}

/* Members that are not there, and such that have another type than they should. */
static void test_odd_answers(void)
{
    g_autoptr(Fake) f = fake_new();
    static const char *const odd[] = {
        "[{}]",
        "[{\"vm\":null,\"share\":null}]",
        "[{\"vm\":[1],\"memory_used_bytes\":\"much\",\"share\":{}}]",
        "[{\"vm\":1,\"pid\":\"x\",\"gpu_share\":true,\"gpu_time_source\":3}]",
        "[1, \"x\", null, []]",
    };
    static const char *const wrong[] = { "{}", "7", "", "[", "nonsense", "\"[]\"" };

    for (unsigned i = 0; i < G_N_ELEMENTS(odd); i++) {
        g_autoptr(Run) r = NULL;

        fake_answer(f, "GET", "/v1/vms", 200, odd[i]);
        r = fake_run(f, "list", NULL);
        expect(r, 0);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(Run) r = NULL;

        fake_answer(f, "GET", "/v1/vms", 200, wrong[i]);
        r = fake_run(f, "list", NULL);
        expect(r, 1);
    }
}

/* A VM's name is its owner's choice; the operator's terminal is not. */
static void test_hostile_names(void)
{
    g_autoptr(Fake) f = fake_new();
    const char *hostile = "{\"vm\":\"a\\u001b[2Jb\\nc\\u009bd\\u202ee\",\"uuid\":\"u\","
                          "\"cause\":\"x\\u001b]0;y\\u0007\",\"new\\u001b\":\"\\u001b\"}";
    g_autofree char *list = g_strdup_printf("[%s]", hostile);
    g_autofree char *error = g_strdup("{\"error\":\"bad \\u001b[31m name\\n\"}");

    fake_answer(f, "GET", "/v1/vms", 200, list);
    fake_answer(f, "GET", "/v1/vms/u", 200, hostile);
    fake_answer(f, "POST", "/v1/vms/u/stop", 200, hostile);
    fake_answer(f, "POST", "/v1/vms/u/allow", 403, error);
    for (const char *const *c = (const char *const[]){ "list", "show u", "stop u", "allow u", "list -j",
                                                       "show u -j", "names vms", NULL };
         *c; c++) {
        g_auto(GStrv) words = g_strsplit(*c, " ", -1);
        g_autoptr(Run) r = fake_run(f, words[0], words[1], words[1] ? words[2] : NULL, NULL);
        const char *all[] = { r->out, r->err };

        for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
            g_assert_null(strchr(all[i], '\033'));
            g_assert_null(strchr(all[i], '\a'));
            g_assert_true(g_utf8_validate(all[i], -1, NULL));
            if (!strstr(*c, "-j")) {
                g_assert_null(strstr(all[i], "\302\233"));
                g_assert_null(strstr(all[i], "\342\200\256"));
            }
        }
        if (g_str_equal(*c, "list")) {
            assert_has(r->out, "a?[2Jb c?d?e");
        }
    }
}

static void test_show(void)
{
    g_autoptr(Fake) f = fake_new();
    g_autoptr(Run) text = NULL, json = NULL, missing = NULL;
    g_autoptr(JsonNode) root = NULL;

    fake_answer(f, "GET", "/v1/vms/desk", 200, VM);
    text = fake_run(f, "show", "desk", NULL);
    expect(text, 0);
    for (const char *const *part =
             (const char *const[]){ "alice", "half", "50 %", "43.2 %", "1.500 s", "CPU time of the renderer",
                                    "high", "4 ms", "60 per second", "5 s", "100 MiB", "512 MiB",
                                    "gl, vulkan",
                                    /* what this release does not know is shown as it is */
                                    "future_figure", NULL };
         *part; part++) {
        assert_has(text->out, *part);
    }
    json = fake_run(f, "show", "desk", "--json", NULL);
    expect(json, 0);
    root = parsed(json);
    g_assert_cmpstr(json_object_get_string_member(json_node_get_object(root), "vm"), ==, "desk");
    fake_answer(f, "GET", "/v1/vms/gone", 404, "{\"error\":\"there is no VM 'gone'\"}");
    missing = fake_run(f, "show", "gone", NULL);
    expect(missing, 1);
    g_assert_cmpstr(missing->err, ==, "vgpuctl: there is no VM 'gone'\n");
}

static void test_set(void)
{
    g_autoptr(Fake) f = fake_new();
    g_autoptr(Run) text = NULL, json = NULL;
    g_autoptr(JsonNode) root = NULL;

    fake_answer(f, "PATCH", "/v1/vms/desk", 200, VM);
    text = fake_run(f, "set", "desk", "share=30", "memory=2G", "quantum=4ms", "priority=high",
                    "frame-rate-limit=60", "hang-timeout=5s", "profile=half", NULL);
    expect(text, 0);
    /* one request for all of it */
    g_assert_cmpstr(
        fake_asked(f), ==,
        "PATCH /v1/vms/desk {\"share\":\"30%\",\"memory\":\"2G\",\"quantum\":\"4ms\","
        "\"priority\":\"high\",\"frame_rate_limit\":60,\"hang_timeout\":\"5s\",\"profile\":\"half\"}\n");
    g_assert_cmpstr(text->out, ==,
                    "desk: running; profile half; share 50 %; memory 512 MiB; quantum 4 ms; priority high; "
                    "frame rate limit 60; hang timeout 5 s\n");
    json = fake_run(f, "set", "desk", "share=12.5%", "--json", NULL);
    expect(json, 0);
    root = parsed(json);
    g_assert_cmpstr(json_object_get_string_member(json_node_get_object(root), "vm"), ==, "desk");
    assert_has(fake_asked(f), "{\"share\":\"12.5%\"}");
}

/* What a value may be is vgpud's to say: it is sent as it was written. */
static void test_set_odd_values(void)
{
    g_autoptr(Fake) f = fake_new();
    static const struct {
        const char *word, *body;
    } cases[] = {
        { "share=12.5", "{\"share\":\"12.5%\"}" },
        { "share=-5", "{\"share\":\"-5\"}" },
        { "share=1.", "{\"share\":\"1.\"}" },
        { "share=.5", "{\"share\":\".5\"}" },
        { "share=a lot", "{\"share\":\"a lot\"}" },
        { "frame-rate-limit=-1", "{\"frame_rate_limit\":\"-1\"}" },
        { "frame-rate-limit=99999999999999999999", "{\"frame_rate_limit\":\"99999999999999999999\"}" },
        { "memory=\"x\"=y", "{\"memory\":\"\\\"x\\\"=y\"}" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *asked = g_strdup_printf("PATCH /v1/vms/desk %s\n", cases[i].body);
        g_autoptr(Run) r = NULL;

        fake_answer(f, "PATCH", "/v1/vms/desk", 400, "{\"error\":\"that is no share\"}");
        fake_forget(f);
        r = fake_run(f, "set", "desk", cases[i].word, NULL);
        expect(r, 1);
        g_assert_cmpstr(r->err, ==, "vgpuctl: that is no share\n");
        g_assert_cmpstr(fake_asked(f), ==, asked);
    }
}

/* A wrong command line: exit status 2, and vgpud hears nothing of it. */
static void test_usage(void)
{
    g_autoptr(Fake) f = fake_new();
    static const char *const wrong[] = {
        "",
        "nonsense",
        "list desk",
        "show",
        "show a b",
        "set",
        "set desk",
        "set desk share",
        "set desk share=",
        "set desk =30",
        "set desk color=red",
        "set desk frame_rate_limit=60",
        "set desk share=30 share=40",
        "set desk share=30 nonsense",
        "set-profile desk",
        "set-profile desk half full",
        "policy",
        "policy gpu0",
        "policy gpu0 fixed-share now",
        "stop",
        "stop a b",
        "allow",
        "names",
        "names nothing",
        "list --nonsense",
        "list --all",
        "list --rolling",
        "restart",
        "restart desk --all",
        "restart desk --rolling",
        "restart --rolling",
        "restart a b",
        "list --url=https://localhost",
        "list --token-file=x",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_auto(GStrv) words = g_strsplit(wrong[i], " ", -1);
        const char *w[5] = { 0 };
        g_autoptr(Run) r = NULL;

        for (unsigned k = 0; words[k] && *words[k]; k++) {
            w[k] = words[k];
        }
        r = fake_run(f, w[0], w[1], w[2], w[3], w[4], NULL);
        if (r->status != 2) {
            g_test_fail_printf("'%s' ends with status %d", wrong[i], r->status);
        }
        expect(r, 2);
    }
    {
        g_autoptr(Run) empty = fake_run(f, "show", "", NULL), latin1 = fake_run(f, "show", "caf\351", NULL);

        expect(empty, 2);
        expect(latin1, 2);
    }
    g_assert_cmpstr(fake_asked(f), ==, "");
}

static void test_names_are_escaped(void)
{
    g_autoptr(Fake) f = fake_new();
    static const struct {
        const char *name, *path;
    } cases[] = {
        { "00000000-0000-4000-8000-000000000001/vgpu1", "00000000-0000-4000-8000-000000000001%2Fvgpu1" },
        { "two words", "two%20words" },
        { "50%?#&", "50%25%3F%23%26" },
        { "\303\234ber", "%C3%9Cber" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/v1/vms/", cases[i].path, NULL);
        g_autoptr(Run) r = NULL;

        fake_answer(f, "GET", path, 200, VM);
        r = fake_run(f, "show", cases[i].name, NULL);
        expect(r, 0);
    }
    fake_answer(f, "GET", "/v1/vms/-x", 200, VM);
    {
        g_autoptr(Run) dashed = fake_run(f, "--", "show", "-x", NULL),
                       after = fake_run(f, "show", "--", "-x", NULL);

        expect(dashed, 0);
        expect(after, 0);
    }
}

/* One answer and then another: the VM as it was, and with its new renderer. */
static void test_restart(void)
{
#define ROW(name, device, pid, state, kind)                                                                  \
    "{\"vm\":\"" name "\",\"uuid\":\"u\",\"device\":\"" device "\",\"pid\":" pid ",\"state\":\"" state       \
    "\",\"kind\":" kind "}"
    g_autoptr(Fake) f = fake_new();
    g_autoptr(Run) one = NULL, all = NULL, rolling = NULL, json = NULL, refused = NULL;
    g_autoptr(JsonNode) root = NULL;

    fake_answer(f, "GET", "/v1/vms/desk", 200, ROW("desk", "d", "7", "running", "\"virgl\""));
    fake_answer(f, "GET", "/v1/vms", 200,
                "[" ROW("desk", "d", "7", "running", "\"virgl\"") "," ROW(
                    "lab", "e", "9", "lost", "null") "," ROW("den", "g", "8", "running", "\"2d\"") "]");
    fake_answer(f, "POST", "/v1/vms/u%2Fd/restart", 200, ROW("desk", "d", "7", "running", "\"virgl\""));
    fake_answer(f, "POST", "/v1/vms/u%2Fg/restart", 200, ROW("den", "g", "8", "running", "\"2d\""));
    fake_answer(f, "GET", "/v1/vms/u%2Fd", 200, ROW("desk", "d", "17", "running", "\"virgl\""));
    fake_answer(f, "GET", "/v1/vms/u%2Fg", 200, ROW("den", "g", "18", "running", "\"2d\""));
    one = fake_run(f, "restart", "desk", NULL);
    expect(one, 0);
    g_assert_cmpstr(one->out, ==, "desk: running\n");
    g_assert_cmpstr(fake_asked(f), ==,
                    "GET /v1/vms/desk \nPOST /v1/vms/u%2Fd/restart \nGET /v1/vms/u%2Fd \n");
    all = fake_run(f, "restart", "--all", NULL);
    expect(all, 0);
    g_assert_nonnull(strstr(all->out, "lab: lost, left alone"));
    g_assert_nonnull(strstr(all->out, "desk: running\n"));
    g_assert_nonnull(strstr(all->out, "den: running\n"));
    json = fake_run(f, "restart", "--all", "--rolling", "--json", NULL);
    expect(json, 0);
    root = parsed(json);
    g_assert_true(JSON_NODE_HOLDS_ARRAY(root));
    g_assert_cmpuint(json_array_get_length(json_node_get_array(root)), ==, 2);
    /* the first that fails is the last */
    fake_answer(f, "POST", "/v1/vms/u%2Fd/restart", 409, "{\"error\":\"VM desk is starting\"}");
    rolling = fake_run(f, "restart", "--all", "--rolling", NULL);
    g_assert_cmpint(rolling->status, ==, 1); /* what was done before is on stdout */
    g_assert_nonnull(strstr(rolling->err, "VM desk is starting"));
    g_assert_null(strstr(rolling->out, "den: running"));
    refused = fake_run(f, "restart", "desk", NULL);
    expect(refused, 1);
#undef ROW
}

static void test_other_changes(void)
{
    g_autoptr(Fake) f = fake_new();
    g_autoptr(Run) stop = NULL, allow = NULL, profile = NULL, policy = NULL, json = NULL, refused = NULL;
    g_autoptr(JsonNode) root = NULL;

    fake_answer(f, "POST", "/v1/vms/desk/stop", 200,
                "{\"vm\":\"desk\",\"state\":\"lost\",\"cause\":\"stopped by alice\"}");
    fake_answer(f, "POST", "/v1/vms/desk/allow", 200, VM);
    fake_answer(f, "PATCH", "/v1/vms/desk", 200, VM);
    fake_answer(f, "PATCH", "/v1/gpus/0000%3A03%3A00.0", 200,
                "{\"name\":\"gpu0\",\"policy\":\"fixed-share\"}");
    stop = fake_run(f, "stop", "desk", NULL);
    expect(stop, 0);
    g_assert_cmpstr(stop->out, ==, "desk: lost (stopped by alice)\n");
    allow = fake_run(f, "allow", "desk", NULL);
    expect(allow, 0);
    profile = fake_run(f, "set-profile", "desk", "half", NULL);
    expect(profile, 0);
    policy = fake_run(f, "policy", "0000:03:00.0", "fixed-share", NULL);
    expect(policy, 0);
    g_assert_cmpstr(policy->out, ==, "gpu0: policy fixed-share\n");
    g_assert_cmpstr(fake_asked(f), ==,
                    "POST /v1/vms/desk/stop \nPOST /v1/vms/desk/allow \n"
                    "PATCH /v1/vms/desk {\"profile\":\"half\"}\n"
                    "PATCH /v1/gpus/0000%3A03%3A00.0 {\"policy\":\"fixed-share\"}\n");
    json = fake_run(f, "stop", "desk", "--json", NULL);
    expect(json, 0);
    root = parsed(json);
    g_assert_true(JSON_NODE_HOLDS_OBJECT(root));
    fake_answer(f, "POST", "/v1/vms/desk/stop", 403, "{\"error\":\"user bob may not stop VMs\"}");
    refused = fake_run(f, "stop", "desk", NULL);
    expect(refused, 1);
    g_assert_cmpstr(refused->err, ==, "vgpuctl: user bob may not stop VMs\n");
}

/* Answers that say nothing of why. */
static void test_mute_refusals(void)
{
    g_autoptr(Fake) f = fake_new();
    static const char *const bodies[] = { "", "<html>", "[]", "{}", "{\"error\":7}", "{\"error\":null}" };

    for (unsigned i = 0; i < G_N_ELEMENTS(bodies); i++) {
        g_autoptr(Run) r = NULL;

        fake_answer(f, "GET", "/v1/vms", 500, bodies[i]);
        r = fake_run(f, "list", NULL);
        expect(r, 1);
        assert_has(r->err, "500");
    }
}

static void test_nobody_there(void)
{
    g_autofree char *folder = g_dir_make_tmp("no-vgpud-XXXXXX", NULL);
    g_autofree char *option = g_strdup_printf("--socket=%s/vgpud.sock", folder);
    const char *argv[] = { g_getenv("VGPUCTL"), option, "list", NULL };
    g_autoptr(Run) r = fake_spawn(argv, NULL);

    expect(r, 1);
    assert_has(r->err, folder);
    assert_has(r->err, "systemctl start vgpud.socket");
    g_rmdir(folder);
}

static void test_completion_names(void)
{
    g_autoptr(Fake) f = fake_new();
    g_autoptr(Run) vms = NULL, keys = NULL;

    fake_answer(
        f, "GET", "/v1/vms", 200,
        "[{\"vm\":\"desk\",\"uuid\":\"u1\"},{\"vm\":\"ci\",\"uuid\":\"u2\"},{\"vm\":\"ci\",\"uuid\":\"u3\"},"
        "{\"vm\":\"$(reboot) x\",\"uuid\":\"u4\"},{\"vm\":\"e\\nf\",\"uuid\":\"u5\"}]");
    vms = fake_run(f, "names", "vms", NULL);
    expect(vms, 0);
    g_assert_cmpstr(vms->out, ==, "desk\nu2\nu3\n$(reboot) x\n");
    keys = fake_run(f, "names", "keys", NULL);
    expect(keys, 0);
    assert_has(keys->out, "hang-timeout\n");
}

/* Over TCP: only with TLS, a certificate that is vouched for, and the token. */
static void test_tls(void)
{
    g_autoptr(Fake) f = fake_new();
    g_autofree char *cert = g_build_filename(fake_folder(f), "cert.pem", NULL);
    g_autofree char *key = g_build_filename(fake_folder(f), "key.pem", NULL);
    g_autofree char *good = g_build_filename(fake_folder(f), "token", NULL);
    g_autofree char *bad = g_build_filename(fake_folder(f), "other", NULL);
    const char *make[] = {
        "openssl", "req",  "-x509", "-newkey", "rsa:2048",      "-nodes",  "-keyout",
        key,       "-out", cert,    "-subj",   "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
        NULL,
    };
    g_autofree char *openssl = g_find_program_in_path("openssl");
    g_autofree char *url = NULL, *ca = g_strdup_printf("--ca-file=%s", cert);
    g_autofree char *with_good = g_strdup_printf("--token-file=%s", good);
    g_autofree char *with_bad = g_strdup_printf("--token-file=%s", bad);
    g_autoptr(Run) made = NULL;

    if (!openssl || !g_tls_backend_supports_tls(g_tls_backend_get_default())) {
        g_test_skip("no openssl, or no TLS in GLib (glib-networking)");
        return;
    }
    made = fake_spawn(make, NULL);
    g_assert_cmpint(made->status, ==, 0);
    g_assert_true(g_file_set_contents(good, "secret\n", -1, NULL));
    g_assert_true(g_file_set_contents(bad, "guess\n", -1, NULL));
    fake_answer(f, "GET", "/v1/vms", 200, "[]");
    url = g_strdup_printf("--url=%s/", fake_serve_tls(f, cert, key, "secret"));
    {
        const char *argv[] = { g_getenv("VGPUCTL"), url, ca, with_good, "list", NULL };
        g_autoptr(Run) r = fake_spawn(argv, NULL);

        expect(r, 0);
        g_assert_cmpstr(fake_asked(f), ==, "GET /v1/vms \n");
    }
    {
        const char *argv[] = { g_getenv("VGPUCTL"), url, ca, with_bad, "list", NULL };
        g_autoptr(Run) r = fake_spawn(argv, NULL);

        expect(r, 1);
        assert_has(r->err, "the token is not known here");
    }
    fake_forget(f);
    {
        const char *argv[] = { g_getenv("VGPUCTL"), url, with_good, "list", NULL };
        g_autoptr(Run) r = fake_spawn(argv, NULL);

        expect(r, 1);
        assert_has(r->err, "--ca-file");
    }
    {
        g_autofree char *plain = g_strdup_printf("--url=http%s", strchr(url, ':'));
        const char *argv[] = { g_getenv("VGPUCTL"), plain, with_good, "list", NULL };
        g_autoptr(Run) r = fake_spawn(argv, NULL);

        expect(r, 1);
        assert_has(r->err, "https://");
    }
    {
        const char *argv[] = { g_getenv("VGPUCTL"), url, ca, "--token-file=/dev/null", "list", NULL };
        g_autoptr(Run) r = fake_spawn(argv, NULL);

        expect(r, 1);
        assert_has(r->err, "token");
    }
    g_assert_cmpstr(fake_asked(f), ==, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpuctl/list", test_list);
    g_test_add_func("/vgpuctl/odd-answers", test_odd_answers);
    g_test_add_func("/vgpuctl/hostile-names", test_hostile_names);
    g_test_add_func("/vgpuctl/show", test_show);
    g_test_add_func("/vgpuctl/set", test_set);
    g_test_add_func("/vgpuctl/set-odd-values", test_set_odd_values);
    g_test_add_func("/vgpuctl/usage", test_usage);
    g_test_add_func("/vgpuctl/names-are-escaped", test_names_are_escaped);
    g_test_add_func("/vgpuctl/restart", test_restart);
    g_test_add_func("/vgpuctl/other-changes", test_other_changes);
    g_test_add_func("/vgpuctl/mute-refusals", test_mute_refusals);
    g_test_add_func("/vgpuctl/nobody-there", test_nobody_there);
    g_test_add_func("/vgpuctl/completion-names", test_completion_names);
    g_test_add_func("/vgpuctl/tls", test_tls);
    return g_test_run();
}
