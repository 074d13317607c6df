/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpuctl with a real vgpud: what is changed is in force, what is refused changes nothing. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "fake_vgpud.h"

#define MIB  (1ull << 20)
#define SOON 10000

/* vgpuctl with the words of a line. */
static Run *ctl(Vgpud *d, const char *line)
{
    g_autofree char *socket = g_strdup_printf("--socket=%s", d->socket);
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    const char *argv[16] = { g_getenv("VGPUCTL"), socket };

    for (unsigned i = 0; words[i]; i++) {
        g_assert_cmpuint(i + 3, <, G_N_ELEMENTS(argv));
        argv[i + 2] = words[i];
    }
    return fake_spawn(argv, NULL);
}

/* The object that a command prints with --json. */
static JsonNode *object(Vgpud *d, const char *line)
{
    g_autofree char *with_json = g_strconcat(line, " --json", NULL);
    g_autoptr(Run) r = ctl(d, with_json);
    g_autoptr(JsonNode) root = json_from_string(r->out, NULL);

    if (r->status || !root || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_test_fail_printf("%s: status %d, %s%s", line, r->status, r->out, r->err);
        return json_from_string("{}", NULL);
    }
    return g_steal_pointer(&root);
}

static const char *text(JsonNode *root, const char *member)
{
    return json_object_get_string_member_with_default(json_node_get_object(root), member, "");
}

static gint64 number(JsonNode *root, const char *member)
{
    return json_object_get_int_member_with_default(json_node_get_object(root), member, -1);
}

static double ratio(JsonNode *root, const char *member)
{
    return json_object_get_double_member_with_default(json_node_get_object(root), member, NAN);
}

static void refused(Vgpud *d, const char *line, const char *part)
{
    g_autoptr(Run) r = ctl(d, line);

    g_assert_cmpint(r->status, ==, 1);
    g_assert_cmpstr(r->out, ==, "");
    if (!g_str_has_prefix(r->err, "vgpuctl: ") || !strstr(r->err, part)) {
        g_test_fail_printf("'%s' is refused with: %s", line, r->err);
    }
}

static void test_set(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "desk", 1, &fd);
    g_autoptr(JsonNode) before = object(d, "show desk");
    g_autoptr(JsonNode) changed = object(d, "set desk share=30 memory=512M quantum=4ms priority=high "
                                            "frame-rate-limit=60 hang-timeout=5s");
    g_autoptr(JsonNode) shown = object(d, "show desk");
    g_autoptr(Run) again = ctl(d, "set desk share=12.5% priority=low");

    g_assert_cmpint(number(before, "memory_limit_bytes"), ==, 256 * MIB);
    for (unsigned i = 0; i < 2; i++) {
        JsonNode *vm = i ? shown : changed; /* the answer is what is in force */

        g_assert_cmpfloat(ratio(vm, "share"), ==, 0.3);
        g_assert_cmpint(number(vm, "memory_limit_bytes"), ==, 512 * MIB);
        g_assert_cmpint(number(vm, "quantum_us"), ==, 4000);
        g_assert_cmpstr(text(vm, "priority"), ==, "high");
        g_assert_cmpint(number(vm, "frame_rate_limit"), ==, 60);
        g_assert_cmpint(number(vm, "hang_timeout_us"), ==, 5000000);
    }
    g_assert_cmpuint(f->stats->memory_limit, ==, 512 * MIB);
    g_assert_cmpint(again->status, ==, 0);
    g_assert_nonnull(strstr(again->out, "share 12.5 %"));
    g_assert_nonnull(strstr(again->out, "priority low"));
    close(fd);
}

static void test_set_all_or_nothing(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "desk", 1, &fd);
    static const struct {
        const char *words, *part;
    } bad[] = {
        { "share=0", "share" },
        { "share=-5", "share" },
        { "share=101", "share" },
        { "share=much", "share" },
        { "memory=0", "memory" },
        { "memory=1T", "MiB" },
        { "memory=-1", "memory" },
        { "quantum=1h", "quantum" },
        { "priority=highest", "priority" },
        { "frame-rate-limit=-1", "frame" },
        { "frame-rate-limit=100000", "frame" },
        { "hang-timeout=0", "hang" },
        { "profile=nothing", "nothing" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *good_first = g_strdup_printf(
            "set desk %s %s", g_str_has_prefix(bad[i].words, "share") ? "quantum=7ms" : "share=77",
            bad[i].words);

        refused(d, good_first, bad[i].part);
    }
    {
        g_autoptr(JsonNode) vm = object(d, "show desk");

        g_assert_cmpfloat(ratio(vm, "share"), ==, 0.25);
        g_assert_cmpint(number(vm, "quantum_us"), !=, 7000);
        g_assert_cmpint(number(vm, "memory_limit_bytes"), ==, 256 * MIB);
    }
    close(fd);
}

static void test_set_profile(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "desk", 1, &fd);
    g_autoptr(JsonNode) vm = object(d, "set-profile desk half");

    g_assert_cmpstr(text(vm, "profile"), ==, "half");
    g_assert_cmpint(number(vm, "memory_limit_bytes"), ==, 512 * MIB);
    refused(d, "set-profile desk nothing", "'nothing'");
    close(fd);
}

static void test_policy(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);

    for (const char *const *policy =
             (const char *const[]){ "fixed-share", "equal-share", "exclusive", "best-effort", NULL };
         *policy; policy++) {
        g_autofree char *line = g_strconcat("policy software0 ", *policy, NULL);
        g_autoptr(JsonNode) gpu = object(d, line);

        g_assert_cmpstr(text(gpu, "policy"), ==, *policy);
    }
    refused(d, "policy software0 fair", "fair");
    refused(d, "policy gpu7 fixed-share", "'gpu7'");
}

static void test_names(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int fd[3];
    g_autoptr(Frontend) a = attach_vm(d, "eighth", "twin", 1, &fd[0]);
    g_autoptr(Frontend) b = attach_vm(d, "eighth", "twin", 2, &fd[1]);
    g_autoptr(Frontend) c = attach_vm(d, "eighth", "50%/two words?", 3, &fd[2]);
    g_autofree char *socket = g_strdup_printf("--socket=%s", d->socket);
    const char *odd[] = { g_getenv("VGPUCTL"), socket, "show", "50%/two words?", "--json", NULL };
    g_autoptr(Run) shown = fake_spawn(odd, NULL), names = ctl(d, "names vms");
    g_autoptr(JsonNode) list = vgpud_ask(d, "list");
    JsonArray *array = json_node_get_array(list);

    g_assert_cmpint(shown->status, ==, 0);
    g_assert_nonnull(strstr(shown->out, "\"50%/two words?\""));
    refused(d, "show twin", "twin");
    refused(d, "show nobody", "there is no VM 'nobody'");
    for (unsigned i = 0; i < 2; i++) {
        JsonObject *vm = json_array_get_object_element(array, i);
        const char *uuid = json_object_get_string_member(vm, "uuid");
        g_autofree char *by_uuid = g_strconcat("show ", uuid, NULL);
        g_autofree char *by_device =
            g_strconcat("show ", uuid, "/", json_object_get_string_member(vm, "device"), NULL);
        g_autoptr(JsonNode) first = object(d, by_uuid), second = object(d, by_device);

        g_assert_cmpstr(text(first, "uuid"), ==, uuid);
        g_assert_cmpstr(text(second, "uuid"), ==, uuid);
        /* what is completed is what can be used */
        g_assert_nonnull(strstr(names->out, uuid));
    }
    g_assert_null(strstr(names->out, "twin"));
    g_assert_nonnull(strstr(names->out, "50%/two words?\n"));
    for (unsigned i = 0; i < G_N_ELEMENTS(fd); i++) {
        close(fd[i]);
    }
}

static void test_stop_and_allow(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "desk", 1, &fd);
    g_autoptr(Run) stopped = ctl(d, "stop desk"), listed = NULL;
    g_autoptr(JsonNode) after = object(d, "show desk"), allowed = object(d, "allow desk");

    g_assert_cmpint(stopped->status, ==, 0);
    g_assert_nonnull(strstr(stopped->out, "no 3D until it is allowed"));
    g_assert_cmpstr(text(after, "state"), ==, "lost");
    g_assert_false(
        json_object_get_boolean_member_with_default(json_node_get_object(after), "allowed_3d", TRUE));
    /* whoever looks is told why */
    listed = ctl(d, "list");
    g_assert_cmpstr(text(after, "cause"), !=, "");
    g_assert_nonnull(strstr(listed->out, text(after, "cause")));
    g_assert_true(
        json_object_get_boolean_member_with_default(json_node_get_object(allowed), "allowed_3d", FALSE));
    refused(d, "stop nobody", "'nobody'");
    refused(d, "allow nobody", "'nobody'");
    close(fd);
}

static void test_looks(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "desk", 1, &fd);
    g_autoptr(Run) list = ctl(d, "list"), show = ctl(d, "show desk"), gpus = ctl(d, "gpus");
    g_autoptr(Run) top = ctl(d, "top --interval=0.1"), doctor = ctl(d, "doctor");
    g_autoptr(JsonNode) json = object(d, "top --interval=0.1");
    const struct {
        const Run *run;
        const char *parts[6];
    } expected[] = {
        { list, { "desk", "quarter", "software0", "running", "25 %", "CPU time of the renderers" } },
        { show, { "desk", "256 MiB", "25 %", "CPU time of the renderer", "null", "normal" } },
        { gpus, { "software0", "best-effort", "1024" } },
        { top, { "software0: ", "best-effort", "desk", "quarter", "running", "25.0" } },
        { doctor, { "PASS  vgpud ", VGPU_VERSION } },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
        for (unsigned k = 0; k < 6 && expected[i].parts[k]; k++) {
            if (!strstr(expected[i].run->out, expected[i].parts[k])) {
                g_test_fail_printf("no '%s' in: %s%s", expected[i].parts[k], expected[i].run->out,
                                   expected[i].run->err);
            }
        }
    }
    {
        JsonArray *vms = json_object_get_array_member(json_node_get_object(json), "vms");
        JsonObject *vm = json_array_get_object_element(vms, 0);

        /* it does nothing, and that is known */
        g_assert_cmpfloat(json_object_get_double_member_with_default(vm, "gpu_share", NAN), >=, 0);
        g_assert_true(json_object_has_member(vm, "queue_wait_share"));
    }
    /* every figure that vgpud tells has a label of its own: "show" falls back to none */
    g_assert_null(strchr(show->out, '_'));
    close(fd);
}

static unsigned free_port(void)
{
    g_autoptr(GSocket) s = g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, 0, NULL);
    g_autoptr(GSocketAddress) any = g_inet_socket_address_new_from_string("127.0.0.1", 0), bound = NULL;

    g_assert_true(g_socket_bind(s, any, TRUE, NULL));
    bound = g_socket_get_local_address(s, NULL);
    return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
}

/* The same over TCP, with the rights of a token. */
static void test_elsewhere(void)
{
    static const char token[] = "a-token-for-this-test-only-0123456789";
    g_autofree char *folder = g_dir_make_tmp("vgpuctl-tls-XXXXXX", NULL);
    g_autofree char *cert = g_build_filename(folder, "cert.pem", NULL);
    g_autofree char *key = g_build_filename(folder, "key.pem", NULL);
    g_autofree char *tokens = g_build_filename(folder, "tokens", NULL);
    g_autofree char *secret = g_build_filename(folder, "token", NULL);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, token, -1);
    g_autofree char *line = g_strdup_printf("operator %s ci\n", sum);
    g_autofree char *ca = g_strdup_printf("--ca-file=%s", cert);
    g_autofree char *with = g_strdup_printf("--token-file=%s", secret), *url = NULL, *conf = NULL;
    unsigned port = free_port();
    const char *make[] = {
        "openssl", "req",  "-x509", "-newkey", "rsa:2048",      "-nodes",  "-keyout",
        key,       "-out", cert,    "-subj",   "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
        NULL,
    };
    const char *rm[] = { "rm", "-rf", "--", folder, NULL };
    g_autofree char *openssl = g_find_program_in_path("openssl");
    g_autoptr(Run) made = NULL;

    if (!openssl || !g_tls_backend_supports_tls(g_tls_backend_get_default())) {
        g_test_skip("no openssl, or no TLS in GLib (glib-networking)");
        return;
    }
    made = fake_spawn(make, NULL);
    g_assert_cmpint(made->status, ==, 0);
    g_assert_true(g_file_set_contents_full(tokens, line, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    g_assert_true(g_file_set_contents_full(secret, token, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    url = g_strdup_printf("--url=https://127.0.0.1:%u", port);
    conf = g_strdup_printf("[http]\nlisten = 127.0.0.1:%u\ncertificate = %s\nkey = %s\ntokens = %s\n", port,
                           cert, key, tokens);
    {
        g_autoptr(Vgpud) d = vgpud_new("null", conf);
        const char *good[] = {
            g_getenv("VGPUCTL"), url, ca, with, "policy", "software0", "fixed-share", NULL
        };
        const char *bare[] = { g_getenv("VGPUCTL"), url, ca, "list", NULL };
        g_autoptr(Run) changed = fake_spawn(good, NULL), stranger = fake_spawn(bare, NULL);

        g_assert_cmpint(changed->status, ==, 0);
        g_assert_cmpstr(changed->out, ==, "software0: policy fixed-share\n");
        g_assert_cmpint(stranger->status, ==, 1);
        g_assert_nonnull(strstr(stranger->err, "token"));
    }
    run_free(fake_spawn(rm, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpuctl-live/set", test_set);
    g_test_add_func("/vgpuctl-live/set-all-or-nothing", test_set_all_or_nothing);
    g_test_add_func("/vgpuctl-live/set-profile", test_set_profile);
    g_test_add_func("/vgpuctl-live/policy", test_policy);
    g_test_add_func("/vgpuctl-live/names", test_names);
    g_test_add_func("/vgpuctl-live/stop-and-allow", test_stop_and_allow);
    g_test_add_func("/vgpuctl-live/looks", test_looks);
    g_test_add_func("/vgpuctl-live/elsewhere", test_elsewhere);
    return g_test_run();
}
