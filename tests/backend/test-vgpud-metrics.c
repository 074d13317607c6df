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
    { "vgpu_gpu_time_seconds_total", "counter", "engine=\"render\",source=\"cpu\"", 1, SOME },
    { "vgpu_gpu_share_ratio", "gauge", "", 1, SOME },
    { "vgpu_gpu_share_limit_ratio", "gauge", "", 1, SOME },
    { "vgpu_queue_wait_seconds", "histogram", "", 15, ZERO },
    { "vgpu_queue_depth", "gauge", "", 1, ZERO },
    { "vgpu_preemptions_total", "counter", "", 1, ZERO },
    { "vgpu_overshoot_seconds_total", "counter", "", 1, ZERO },
    { "vgpu_resets_total", "counter", "cause=", 7, ZERO },
    { "vgpu_renderer_restarts_total", "counter", "", 1, ZERO },
    { "vgpu_last_submit_age_seconds", "gauge", "", 1, SOME },
    { "vgpu_frames_presented_total", "counter", "", 1, ZERO },
    { "vgpu_frame_rate_limit", "gauge", "", 1, SOME },
    { "vgpu_host_memory_total_bytes", "gauge", "gpu=\"software0\"", 1, SOME },
    { "vgpu_host_memory_free_bytes", "gauge", "gpu=\"software0\"", 1, SOME },
    { "vgpu_host_memory_reserved_bytes", "gauge", "gpu=\"software0\"", 1, SOME },
    { "vgpu_host_busy_ratio", "gauge", "gpu=\"software0\"", 1, SOME },
    { "vgpu_admission_accepted_total", "counter", "", 1, SOME },
    { "vgpu_admission_denied_total", "counter", "reason=", 8, SOME },
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

static char *write_config(const char *folder, const char *target)
{
    char *path = g_build_filename(folder, "prometheus.yml", NULL);
    g_autofree char *text = g_strdup_printf("global:\n  scrape_interval: 300ms\n  scrape_timeout: 300ms\n"
                                            "scrape_configs:\n- job_name: vgpu\n  static_configs:\n"
                                            "  - targets: ['%s']\n",
                                            target);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static void test_prometheus(void)
{
    g_autofree char *program = g_find_program_in_path("prometheus");
    g_autoptr(Vgpud) d = NULL;
    g_autoptr(Frontend) fa = NULL, fb = NULL;
    g_autofree char *api = NULL, *to = NULL, *bridge_port = NULL, *target = NULL, *config = NULL;
    g_autofree char *port = NULL, *config_arg = NULL, *data_arg = NULL, *log = NULL;
    g_autofree char *bridge_log = NULL;
    const char *bridge_argv[] = { "socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork", NULL, NULL };
    const char *argv[] = { "prometheus", NULL, NULL, "--web.listen-address=127.0.0.1:0", NULL };
    GSubprocess *bridge, *prometheus;
    int a, b;

    if (!program) {
        g_test_skip("prometheus is not installed; the toolbox has it (VGPU_TOOLBOX=1)");
        return;
    }
    d = vgpud_new("null", NULL);
    fa = attach_vm(d, "quarter", "idle", 1, &a);
    fb = attach_vm(d, "eighth", HOSTILE, 2, &b);
    g_assert_cmphex(gpu_create_2d(fb, 1, 2, 512, 512), ==, OK_NODATA);

    api = api_socket(d);
    to = g_strdup_printf("UNIX-CONNECT:%s", api);
    bridge_argv[4] = to;
    bridge_log = g_build_filename(d->folder, "socat.log", NULL);
    bridge = start(bridge_argv, bridge_log);
    bridge_port = wait_word(bridge_log, "listening on AF=2 127.0.0.1:");
    target = g_strdup_printf("127.0.0.1:%s", bridge_port);
    config = write_config(d->folder, target);
    argv[1] = config_arg = g_strdup_printf("--config.file=%s", config);
    argv[2] = data_arg = g_strdup_printf("--storage.tsdb.path=%s/data", d->folder);
    log = g_build_filename(d->folder, "prometheus.log", NULL);
    prometheus = start(argv, log);
    port = wait_word(log, "\"Listening on\" address=127.0.0.1:");

    g_assert_true(wait_figure(port, "up{job=\"vgpu\"}", 1, NULL));
    g_assert_true(wait_figure(port, "vgpu_memory_limit_bytes{vm=\"idle\"}", 256.0 * MIB, "idle"));
    g_assert_true(wait_figure(port, "vgpu_memory_used_bytes{vm=\"idle\"}", 0, "idle"));
    g_assert_true(wait_figure(port, "vgpu_memory_used_bytes{vm!=\"idle\"}", frontend_used(fb), CLEAN));
    g_assert_true(wait_figure(port, "count(vgpu_info{state=\"running\"})", 2, NULL));
    g_assert_true(wait_figure(port, "sum(vgpu_host_memory_reserved_bytes)", 384.0 * MIB, NULL));
    g_assert_true(wait_figure(port,
                              "count(vgpu_memory_used_bytes * on(uuid, device) group_left(profile) "
                              "vgpu_info{profile=\"eighth\"})",
                              1, NULL));
    g_assert_true(wait_figure(port, "vgpu_queue_wait_seconds_bucket{vm=\"idle\",le=\"+Inf\"}", 0, "idle"));
    /* what changes is seen at a next scrape */
    gpu_unref(fb, 1);
    g_assert_true(wait_figure(port, "vgpu_memory_used_bytes{vm!=\"idle\"}", 0, CLEAN));
    stop(prometheus);
    stop(bridge);
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
    g_test_add_func("/metrics/a Prometheus server reads them", test_prometheus);
    return g_test_run();
}
