/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /metrics of a real vgpud: promtool finds nothing wrong, and a real Prometheus reads the VMs' figures. */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attach.h"
#include "gpu_cmd.h"

#define MIB     (1ull << 20)
#define SOON    60000 /* ms: a Prometheus that starts on a loaded machine */
#define HOSTILE "x\"} 9\n\\{\xff\xf0\x9f\x90\xa7,vm=\"idle\" {{ $labels }}"
#define CLEAN   "x\"} 9?\\{\xef\xbf\xbd\xf0\x9f\x90\xa7,vm=\"idle\" {{ $labels }}" /* as vgpud shows it */

/* What an idle VM has. */
typedef enum Idle { ZERO, ONE, SOME, LIMIT } Idle;

/* All there is: name, type, the labels that tell one of a VM's series from the next, when idle. */
static const struct {
    const char *name, *type;
    const char *label;
    unsigned series; /* of one VM, or of the host */
    Idle idle;
} families[] = {
    { "vgpu_info", "gauge", "state=\"running\"", 1, ONE },
    { "vgpu_memory_used_bytes", "gauge", "", 1, ZERO },
    { "vgpu_memory_limit_bytes", "gauge", "", 1, LIMIT },
    { "vgpu_memory_peak_bytes", "gauge", "", 1, ZERO },
    { "vgpu_alloc_denied_total", "counter", "reason=", 1, ZERO },
    { "vgpu_gpu_time_seconds_total", "counter", "engine=\"render\",source=\"cpu\"", 1, ZERO },
    { "vgpu_gpu_share_ratio", "gauge", "", 1, ZERO },
    { "vgpu_gpu_share_limit_ratio", "gauge", "", 1, SOME },
    { "vgpu_queue_wait_seconds", "histogram", "", 15, ZERO },
    { "vgpu_queue_depth", "gauge", "", 1, ZERO },
    { "vgpu_preemptions_total", "counter", "", 1, ZERO },
    { "vgpu_overshoot_seconds_total", "counter", "", 1, ZERO },
    { "vgpu_resets_total", "counter", "cause=", 10, ZERO },
    { "vgpu_renderer_restarts_total", "counter", "", 1, ZERO },
    { "vgpu_last_submit_age_seconds", "gauge", "", 1, SOME },
    { "vgpu_frames_presented_total", "counter", "", 1, ZERO },
    { "vgpu_frame_rate_limit", "gauge", "", 1, SOME },
    { "vgpu_host_memory_total_bytes", "gauge", "gpu=\"software0\"", 1, SOME },
    { "vgpu_host_memory_free_bytes", "gauge", "gpu=\"software0\"", 1, SOME },
    { "vgpu_host_memory_reserved_bytes", "gauge", "gpu=\"software0\"", 1, SOME },
    { "vgpu_host_busy_ratio", "gauge", "gpu=\"software0\"", 1, ZERO },
    { "vgpu_admission_accepted_total", "counter", "", 1, SOME },
    { "vgpu_admission_denied_total", "counter", "reason=", 10, SOME },
};

static void child_setup(gpointer unused)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* A program that runs until it is stopped; what it says goes to a file. */
static GSubprocess *start(const char *const *argv, const char *log)
{
    g_autoptr(GSubprocessLauncher) l = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
    g_autoptr(GError) error = NULL;
    GSubprocess *p;

    g_subprocess_launcher_set_child_setup(l, child_setup, NULL, NULL);
    g_subprocess_launcher_set_stderr_file_path(l, log);
    p = g_subprocess_launcher_spawnv(l, argv, &error);
    g_assert_no_error(error);
    return p;
}

/* Waits until its log has that text: the word after it, to free. */
static char *wait_word(const char *log, const char *text)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;
    g_autofree char *all = NULL;

    do {
        char *at;

        g_clear_pointer(&all, g_free);
        if (g_file_get_contents(log, &all, NULL, NULL) && (at = strstr(all, text))) {
            at += strlen(text);
            if (at[strcspn(at, " \n")]) {
                return g_strndup(at, strcspn(at, " \n"));
            }
        }
        g_usleep(50000);
    } while (g_get_monotonic_time() < end);
    g_error("%s does not have '%s': %s", log, text, all ? all : "there is no such file");
}

static void stop(GSubprocess *p)
{
    g_subprocess_force_exit(p);
    g_subprocess_wait(p, NULL, NULL);
    g_object_unref(p);
}

/* Runs a program to its end: its standard output and exit status. */
static char *output(const char *const *argv, const char *input, int *status, char **err)
{
    g_autoptr(GSubprocess) p = NULL;
    g_autoptr(GError) error = NULL;
    char *out = NULL;

    p = g_subprocess_newv(
        argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE,
        &error);
    g_assert_no_error(error);
    g_subprocess_communicate_utf8(p, input, NULL, &out, err, &error);
    g_assert_no_error(error);
    *status = g_subprocess_get_if_exited(p) ? g_subprocess_get_exit_status(p) : -1;
    return out;
}

/* The path of the API's socket; to free. */
static char *api_socket(const Vgpud *d)
{
    return g_build_filename(d->folder, "vgpud-api.sock", NULL);
}

/* What GET /metrics answers; its head if asked for.  To free. */
static char *scrape(const Vgpud *d, bool head)
{
    g_autofree char *api = api_socket(d);
    g_autofree char *err = NULL;
    const char *argv[] = { "curl",          "-sS", head ? "-i" : "-f",         "-m", "30",
                           "--unix-socket", api,   "http://localhost/metrics", NULL };
    int status;
    char *text = output(argv, NULL, &status, &err);

    if (status != 0) {
        g_test_fail_printf("GET /metrics: %s", err);
    }
    return text;
}

/* How many lines begin with the name, which may have a suffix, and hold both texts; the last figure. */
static unsigned series(const char *text, const char *name, const char *a, const char *b, double *figure)
{
    static const char *const suffixes[] = { "{", " ", "_bucket{", "_sum{", "_count{" };
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned n = 0;

    for (unsigned i = 0; lines[i]; i++) {
        bool is = false;

        for (unsigned k = 0; k < G_N_ELEMENTS(suffixes); k++) {
            is |= g_str_has_prefix(lines[i], name) && g_str_has_prefix(lines[i] + strlen(name), suffixes[k]);
        }
        if (is && strstr(lines[i], a) && strstr(lines[i], b)) {
            *figure = g_ascii_strtod(strrchr(lines[i], ' ') + 1, NULL);
            n++;
        }
    }
    return n;
}

static double figure(const char *text, const char *name, const char *label)
{
    double v = -1;

    if (series(text, name, label, "", &v) != 1) {
        g_test_fail_printf("%s{%s} is not there once", name, label);
    }
    return v;
}

static void test_families(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "idle", 1, &fd);
    g_autofree char *text = scrape(d, false);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned known = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(families); i++) {
        const char *name = families[i].name;
        g_autofree char *type = g_strdup_printf("# TYPE %s %s\n", name, families[i].type);
        g_autofree char *help = g_strdup_printf("# HELP %s ", name);
        bool host = strstr(name, "_host_") || strstr(name, "_admission_");
        double v = -1;

        if (!strstr(text, type) || !strstr(text, help)) {
            g_test_fail_printf("no '%s' of type %s with a HELP line", name, families[i].type);
        }
        g_assert_cmpuint(series(text, name, families[i].label, host ? "" : "vm=\"idle\"", &v), ==,
                         families[i].series);
        if ((families[i].idle == ZERO && v != 0) || (families[i].idle == ONE && v != 1) ||
            (families[i].idle == LIMIT && v != 256.0 * MIB) || v < 0) {
            g_test_fail_printf("%s of an idle VM is %f", name, v);
        }
    }
    for (unsigned i = 0; lines[i]; i++) {
        known += g_str_has_prefix(lines[i], "# TYPE ");
    }
    g_assert_cmpuint(known, ==, G_N_ELEMENTS(families)); /* a new one belongs into the table */
    close(fd);
}

static void test_type(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    g_autofree char *text = scrape(d, true);
    g_autofree char *lower = g_ascii_strdown(text, -1);

    g_assert_true(g_str_has_prefix(text, "HTTP/1.1 200 "));
    g_assert_nonnull(strstr(lower, "content-type: text/plain; version=0.0.4"));
}

static void test_promtool(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    const char *argv[] = { "promtool", "check", "metrics", NULL };
    int a, b, status;
    g_autoptr(Frontend) fa = attach_vm(d, "quarter", "idle", 1, &a);
    g_autoptr(Frontend) fb = attach_vm(d, "eighth", HOSTILE, 2, &b);
    g_autofree char *text = scrape(d, false), *out = NULL, *err = NULL, *path = NULL;

    path = g_find_program_in_path("promtool");
    if (!path) {
        g_test_skip("promtool is not installed");
    } else {
        out = output(argv, text, &status, &err);
        if (status != 0 || *out || *err) {
            g_test_fail_printf("promtool check metrics: status %d, %s%s", status, out, err);
        }
        /* which does find something in what is not right */
        g_clear_pointer(&out, g_free);
        g_clear_pointer(&err, g_free);
        out = output(argv, "# TYPE vgpu_x counter\nvgpu_x{vm=\"a\"b\"} 1\n", &status, &err);
        g_assert_cmpint(status, !=, 0);
    }
    close(a);
    close(b);
}

/* The figures follow what happens to VMs. */
static void test_follows(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct vgpu_attach_request r = attach_request("full", "large", 9);
    g_autofree char *before = NULL, *after = NULL, *sentence = NULL;
    FrontendFds fds;
    AttachPacket p;
    int a, c = attach_connect(d);
    Frontend *f = attach_vm(d, "quarter", "one", 1, &a);

    g_assert_true(attach_send(c, &r, sizeof(r), NULL, 0));
    sentence = attach_refused(c, VGPU_REFUSED_FULL);
    close(c);
    g_assert_cmphex(gpu_create_2d(f, 1, 2, 256, 256), ==, OK_NODATA);
    before = scrape(d, false);
    g_assert_cmpfloat(figure(before, "vgpu_memory_used_bytes", "vm=\"one\""), ==, frontend_used(f));
    g_assert_cmpfloat(figure(before, "vgpu_memory_used_bytes", "vm=\"one\""), >=, 256 * 256 * 4);
    g_assert_cmpfloat(figure(before, "vgpu_host_memory_reserved_bytes", ""), ==, 256 * MIB);
    g_assert_cmpfloat(figure(before, "vgpu_admission_accepted_total", ""), ==, 1);
    g_assert_cmpfloat(figure(before, "vgpu_admission_denied_total", "\"full\""), ==, 1);
    g_assert_cmpfloat(figure(before, "vgpu_admission_denied_total", "\"in_use\""), ==, 0);
    /* its renderer crashes, and it gets another one */
    kill(vgpud_renderer_pid(d, "one"), SIGKILL);
    g_assert_true(attach_receive(a, &p, NULL, ATTACH_DEADLINE));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_EVENT);
    r = attach_request("quarter", "one", 1);
    r.flags = VGPU_ATTACH_F_REJOIN;
    g_assert_true(attach_send(a, &r, sizeof(r), NULL, 0));
    g_assert_true(attach_receive(a, &p, &fds, ATTACH_DEADLINE));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_ACCEPTED);
    after = scrape(d, false);
    g_assert_cmpfloat(figure(after, "vgpu_memory_used_bytes", "vm=\"one\""), ==, 0);
    g_assert_cmpfloat(figure(after, "vgpu_memory_peak_bytes", "vm=\"one\""), >=, 256 * 256 * 4);
    g_assert_cmpfloat(figure(after, "vgpu_resets_total", "\"crash\""), ==, 1);
    g_assert_cmpfloat(figure(after, "vgpu_resets_total", "\"hang\""), ==, 0);
    g_assert_cmpfloat(figure(after, "vgpu_renderer_restarts_total", "vm=\"one\""), ==, 1);
    g_assert_cmpfloat(figure(after, "vgpu_admission_accepted_total", ""), ==, 1);
    close(fds.vhost);
    close(fds.channel);
    close(fds.stats);
    close(fds.objects);
    frontend_free(f);
    close(a);
}

/* GPU time is that of who used it, and goes on with another renderer. */
static void test_gpu_time(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;
    g_autofree char *text = NULL;
    uint32_t work = 0;
    double used = 0;
    AttachPacket p;
    int a, b;
    Frontend *fa = attach_vm(d, "quarter", "idle", 1, &a), *fb = attach_vm(d, "quarter", "busy", 2, &b);

    g_assert_cmphex(gpu_context_create(fb, 1, 0), ==, OK_NODATA);
    do { /* each costs next to nothing */
        for (unsigned i = 0; i < 500; i++) {
            g_assert_cmphex(gpu_submit(fb, 1, &work, 1), ==, OK_NODATA);
        }
        g_free(text);
        text = scrape(d, false);
        used = figure(text, "vgpu_gpu_time_seconds_total", "vm=\"busy\"");
    } while (used < 0.02 && g_get_monotonic_time() < end);
    g_assert_cmpfloat(used, >=, 0.02);
    g_assert_cmpfloat(figure(text, "vgpu_gpu_share_ratio", "vm=\"busy\""), >, 0);
    g_assert_cmpfloat(figure(text, "vgpu_gpu_share_ratio", "vm=\"busy\""), <=, 1);
    g_assert_cmpfloat(figure(text, "vgpu_host_busy_ratio", ""), >, 0);
    g_assert_cmpfloat(figure(text, "vgpu_gpu_time_seconds_total", "vm=\"idle\""), ==, 0);
    g_assert_cmpfloat(figure(text, "vgpu_gpu_share_ratio", "vm=\"idle\""), ==, 0);
    kill(vgpud_renderer_pid(d, "busy"), SIGKILL);
    g_assert_true(attach_receive(b, &p, NULL, ATTACH_DEADLINE));
    g_free(text);
    text = scrape(d, false);
    g_assert_cmpfloat(figure(text, "vgpu_gpu_time_seconds_total", "vm=\"busy\""), >=, used);
    frontend_free(fa);
    frontend_free(fb);
    close(a);
    close(b);
}

/* The labels and figures that Prometheus answers to a query: the array, or NULL. */
static JsonNode *ask(const char *port, const char *query)
{
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%s/api/v1/query", port);
    g_autofree char *arg = g_strdup_printf("query=%s", query);
    const char *argv[] = { "curl", "-sS", "-m", "30", "-G", "--data-urlencode", arg, url, NULL };
    g_autofree char *err = NULL, *out = NULL;
    int status;

    out = output(argv, NULL, &status, &err);
    return status == 0 ? json_from_string(out, NULL) : NULL;
}

static JsonArray *results(JsonNode *answer)
{
    JsonObject *o = answer && JSON_NODE_HOLDS_OBJECT(answer) ? json_node_get_object(answer) : NULL;

    if (!o || !json_object_has_member(o, "data")) {
        return NULL;
    }
    return json_object_get_array_member(json_object_get_object_member(o, "data"), "result");
}

/* Asks until there is one result and it is the figure, of that VM if one is given. */
static bool wait_figure(const char *port, const char *query, double wanted, const char *vm)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;
    g_autofree char *seen = g_strdup("nothing");

    do {
        g_autoptr(JsonNode) answer = ask(port, query);
        JsonArray *a = results(answer);

        if (a && json_array_get_length(a) == 1) {
            JsonObject *o = json_array_get_object_element(a, 0);
            const char *text = json_array_get_string_element(json_object_get_array_member(o, "value"), 1);
            JsonObject *labels = json_object_get_object_member(o, "metric");

            g_free(seen);
            seen = g_strdup(text);
            if (g_ascii_strtod(text, NULL) == wanted) {
                return !vm || !g_strcmp0(json_object_get_string_member_with_default(labels, "vm", ""), vm);
            }
        }
        g_usleep(100000);
    } while (g_get_monotonic_time() < end);
    g_test_message("%s is %s", query, seen);
    return false;
}

/* vgpud on a port of 127.0.0.1, for who has a token. */
typedef struct Port {
    char *folder, *certificate, *conf;
    char *target; /* 127.0.0.1:PORT */
} Port;

/* USER of the tenant's token: it has no VM here. */
#define STRANGER     "nobody"
#define OPERATOR     "an operator's token of many characters"
#define TENANT       "a tenant's token of many characters"
#define CERTIFICATES "subjectAltName=IP:127.0.0.1"

static unsigned free_port(void)
{
    g_autoptr(GSocket) s = g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, 0, NULL);
    g_autoptr(GSocketAddress) any = g_inet_socket_address_new_from_string("127.0.0.1", 0);
    g_autoptr(GSocketAddress) got = NULL;

    g_assert_true(g_socket_bind(s, any, TRUE, NULL));
    got = g_socket_get_local_address(s, NULL);
    return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(got));
}

static void port_set_up(Port *p)
{
    g_autofree char *key = NULL, *tokens = NULL, *text = NULL, *out = NULL, *err = NULL;
    g_autofree char *operator_sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, OPERATOR, -1);
    g_autofree char *tenant_sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, TENANT, -1);
    const char *argv[] = { "openssl", "req", "-x509", "-newkey",  "rsa:2048", "-nodes",     "-keyout", NULL,
                           "-out",    NULL,  "-subj", "/CN=vgpu", "-addext",  CERTIFICATES, NULL };
    int status;

    p->folder = g_dir_make_tmp("vgpud-port-XXXXXX", NULL);
    argv[7] = key = g_build_filename(p->folder, "key.pem", NULL);
    argv[9] = p->certificate = g_build_filename(p->folder, "cert.pem", NULL);
    tokens = g_build_filename(p->folder, "tokens", NULL);
    out = output(argv, NULL, &status, &err);
    g_assert_cmpint(status, ==, 0);
    text =
        g_strdup_printf("operator %s prometheus\ntenant %s other %s\n", operator_sum, tenant_sum, STRANGER);
    g_assert_true(g_file_set_contents_full(tokens, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    p->target = g_strdup_printf("127.0.0.1:%u", free_port());
    p->conf = g_strdup_printf("[http]\nlisten = %s\ncertificate = %s\nkey = %s\ntokens = %s\n", p->target,
                              p->certificate, key, tokens);
}

static void port_tear_down(Port *p)
{
    g_autoptr(GDir) dir = g_dir_open(p->folder, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(p->folder, name, NULL);

        g_remove(path);
    }
    g_rmdir(p->folder);
    g_free(p->folder);
    g_free(p->certificate);
    g_free(p->conf);
    g_free(p->target);
}

static void add_job(GString *s, const char *name, const char *token, const Port *p)
{
    g_string_append_printf(s,
                           "- job_name: %s\n  scheme: https\n  tls_config: { ca_file: %s }\n"
                           "  authorization: { credentials: \"%s\" }\n"
                           "  static_configs: [ { targets: ['%s'] } ]\n",
                           name, p->certificate, token, p->target);
}

/* A Prometheus of the test's own; *port: where it listens. */
static GSubprocess *start_prometheus(const char *folder, const Port *p, char **port)
{
    g_autoptr(GString) text = g_string_new("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n"
                                           "scrape_configs:\n");
    g_autofree char *config = g_build_filename(folder, "prometheus.yml", NULL);
    g_autofree char *log = g_build_filename(folder, "prometheus.log", NULL);
    g_autofree char *config_arg = g_strdup_printf("--config.file=%s", config);
    g_autofree char *data_arg = g_strdup_printf("--storage.tsdb.path=%s/data", folder);
    const char *argv[] = { "prometheus", config_arg, data_arg, "--web.listen-address=127.0.0.1:0", NULL };
    GSubprocess *prometheus;

    add_job(text, "vgpu", OPERATOR, p);
    add_job(text, "tenant", TENANT, p);
    add_job(text, "guess", "a token that was never given out", p);
    g_assert_true(g_file_set_contents(config, text->str, -1, NULL));
    prometheus = start(argv, log);
    *port = wait_word(log, "\"Listening on\" address=127.0.0.1:");
    return prometheus;
}

static void test_prometheus(void)
{
    g_autofree char *program = g_find_program_in_path("prometheus");
    g_autoptr(Vgpud) d = NULL;
    g_autoptr(Frontend) fa = NULL, fb = NULL;
    g_autofree char *port = NULL;
    GSubprocess *prometheus;
    Port p;
    int a, b;

    if (!program) {
        g_test_skip("prometheus is not installed; the toolbox has it (VGPU_TOOLBOX=1)");
        return;
    }
    port_set_up(&p);
    d = vgpud_new("null", p.conf);
    fa = attach_vm(d, "quarter", "idle", 1, &a);
    fb = attach_vm(d, "eighth", HOSTILE, 2, &b);
    g_assert_cmphex(gpu_create_2d(fb, 1, 2, 512, 512), ==, OK_NODATA);
    prometheus = start_prometheus(d->folder, &p, &port);

    g_assert_true(wait_figure(port, "up{job=\"vgpu\"}", 1, NULL));
    g_assert_true(wait_figure(port, "vgpu_memory_limit_bytes{vm=\"idle\"}", 256.0 * MIB, "idle"));
    g_assert_true(wait_figure(port, "vgpu_memory_used_bytes{vm=\"idle\"}", 0, "idle"));
    g_assert_true(wait_figure(port, "vgpu_memory_used_bytes{vm!=\"idle\"}", frontend_used(fb), CLEAN));
    g_assert_true(wait_figure(port, "count(vgpu_info{state=\"running\"})", 2, NULL));
    g_assert_true(wait_figure(port, "sum(vgpu_host_memory_reserved_bytes{job=\"vgpu\"})", 384.0 * MIB, NULL));
    g_assert_true(wait_figure(port,
                              "count(vgpu_memory_used_bytes * on(uuid, device) group_left(profile) "
                              "vgpu_info{profile=\"eighth\"})",
                              1, NULL));
    g_assert_true(wait_figure(port, "vgpu_queue_wait_seconds_bucket{vm=\"idle\",le=\"+Inf\"}", 0, "idle"));
    /* a tenant of no VM sees the GPU's memory and no VM, and who guesses sees nothing */
    g_assert_true(wait_figure(port, "vgpu_host_memory_total_bytes{job=\"tenant\"}", 1024.0 * MIB, NULL));
    g_assert_true(wait_figure(port, "count(vgpu_info{job=\"tenant\"}) or vector(0)", 0, NULL));
    g_assert_true(wait_figure(port, "up{job=\"guess\"}", 0, NULL));
    /* what changes is seen at a next scrape */
    gpu_unref(fb, 1);
    g_assert_true(wait_figure(port, "vgpu_memory_used_bytes{vm!=\"idle\"}", 0, CLEAN));
    stop(prometheus);
    port_tear_down(&p);
    close(a);
    close(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/metrics/every family is there, and an idle VM has 0", test_families);
    g_test_add_func("/metrics/type of the content", test_type);
    g_test_add_func("/metrics/promtool has nothing to say", test_promtool);
    g_test_add_func("/metrics/use, refusals and a crash show", test_follows);
    g_test_add_func("/metrics/GPU time is its user's", test_gpu_time);
    g_test_add_func("/metrics/a Prometheus server reads them", test_prometheus);
    return g_test_run();
}
