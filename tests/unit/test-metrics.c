/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /metrics of a vgpud made by hand: what is there, what stays, what a renderer's lies do. */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "figures.h"
#include "gpu.h"
#include "metrics.h"
#include "units.h"

typedef struct Fixture {
    Daemon d;
    Vm *a, *b;
} Fixture;

static Vm *add_vm(Daemon *d, const char *name, unsigned n)
{
    uint8_t bytes[16] = { [0] = n };
    char uuid[VM_UUID_TEXT];
    Vm *vm;

    books_uuid(bytes, uuid);
    vm = books_add(d->books, name, uuid, "vgpu0");
    vm->profile = g_strdup("quarter");
    vm->gpu = g_strdup("gpu0");
    vm->memory = 256 * MIB;
    vm->share = 250000;
    vm->state = VM_RUNNING;
    vm->pid = 1;
    vm->daemon = d;
    return vm;
}

static void give_page(Vm *vm)
{
    if (vm->page) {
        munmap(vm->page, VGPU_STATS_SIZE);
    }
    vm->page = mmap(NULL, VGPU_STATS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(vm->page != MAP_FAILED);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    Gpu *g = g_new0(Gpu, 1);

    *f = (Fixture){ 0 };
    g->name = g_strdup("gpu0");
    g->memory = GIB;
    f->d.config = config_new();
    f->d.profiles = profile_set_new();
    f->d.gpus = g_ptr_array_new_with_free_func(gpu_free);
    g_ptr_array_add(f->d.gpus, g);
    f->d.books = books_new();
    f->d.since_ns = figures_now();
    f->a = add_vm(&f->d, "a", 1);
    f->b = add_vm(&f->d, "b", 2);
    give_page(f->a);
    give_page(f->b);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    books_free(f->d.books);
    g_ptr_array_unref(f->d.gpus);
    profile_set_free(f->d.profiles);
    config_free(f->d.config);
}

/* The figure of the one series of that name with that text in its labels; NULL: there is none.  To free. */
static char *figure_in(const char *text, const char *name, const char *label)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    char *found = NULL;

    for (unsigned i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], name) && strchr("{ ", lines[i][strlen(name)]) &&
            strstr(lines[i], label)) {
            if (found) {
                g_test_fail_printf("%s with %s is there twice", name, label);
            }
            g_free(found);
            found = g_strdup(strrchr(lines[i], ' ') + 1);
        }
    }
    return found;
}

static char *figure(Fixture *f, const char *name, const char *label)
{
    g_autofree char *text = metrics_text(&f->d, NULL);

    return figure_in(text, name, label);
}

static void check(Fixture *f, const char *name, const char *label, const char *wanted)
{
    g_autofree char *is = figure(f, name, label);

    if (g_strcmp0(is, wanted) != 0) {
        g_test_fail_printf("%s{%s} is %s, not %s", name, label, is ? is : "absent",
                           wanted ? wanted : "absent");
    }
}

static void test_labels_stay(Fixture *f, gconstpointer unused)
{
    static const char labels[] = "{vm=\"a\",uuid=\"01000000-0000-0000-0000-000000000000\",device=\"vgpu0\","
                                 "gpu=\"gpu0\"";
    static const char *const changing[] = { "profile=", "state=", "pid=", "share=" };
    g_autofree char *text = metrics_text(&f->d, NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned series = 0;

    for (unsigned i = 0; lines[i]; i++) {
        if (!strstr(lines[i], "vm=\"a\"")) {
            continue;
        }
        series++;
        g_assert_nonnull(strstr(lines[i], labels));
        for (unsigned k = 0; k < G_N_ELEMENTS(changing); k++) {
            if (strstr(lines[i], changing[k]) && !g_str_has_prefix(lines[i], "vgpu_info{")) {
                g_test_fail_printf("what changes is a label of %s", lines[i]);
            }
        }
    }
    g_assert_cmpuint(series, >, 20);
}

static void test_own_figures(Fixture *f, gconstpointer unused)
{
    vgpu_stats_set(&f->a->page->memory_used, 100 * MIB);
    vgpu_stats_set(&f->a->page->memory_peak, 120 * MIB);
    vgpu_stats_set(&f->a->page->alloc_denied, 3);
    vgpu_stats_set(&f->a->page->frames, 77);
    vgpu_stats_set(&f->a->page->contexts_hung, 4);
    f->a->resets[VM_RESET_HANG] = 2;
    f->a->restarts = 2;
    check(f, "vgpu_memory_used_bytes", "vm=\"a\"", "104857600");
    check(f, "vgpu_memory_peak_bytes", "vm=\"a\"", "125829120");
    check(f, "vgpu_alloc_denied_total", "vm=\"a\"", "3");
    check(f, "vgpu_frames_presented_total", "vm=\"a\"", "77");
    check(f, "vgpu_resets_total",
          "uuid=\"01000000-0000-0000-0000-000000000000\",device=\"vgpu0\",gpu=\"gpu0\","
          "cause=\"hang\"",
          "2");
    check(f, "vgpu_resets_total",
          "vm=\"a\",uuid=\"01000000-0000-0000-0000-000000000000\",device=\"vgpu0\","
          "gpu=\"gpu0\",cause=\"context_hang\"",
          "4");
    check(f, "vgpu_renderer_restarts_total", "vm=\"a\"", "2");
    check(f, "vgpu_memory_limit_bytes", "vm=\"a\"", "268435456");
    check(f, "vgpu_gpu_share_limit_ratio", "vm=\"a\"", "0.25");
    /* and nothing of it is the other's */
    check(f, "vgpu_memory_used_bytes", "vm=\"b\"", "0");
    check(f, "vgpu_alloc_denied_total", "vm=\"b\"", "0");
    check(f, "vgpu_frames_presented_total", "vm=\"b\"", "0");
    check(f, "vgpu_renderer_restarts_total", "vm=\"b\"", "0");
}

/* What an operator changes while the VM runs shows, and begins no new series. */
static void test_changed_values(Fixture *f, gconstpointer unused)
{
    check(f, "vgpu_frame_rate_limit", "vm=\"a\"", "0");
    f->a->memory = 512 * MIB;
    f->a->share = 500000;
    f->a->frame_rate_limit = 60;
    g_free(f->a->profile);
    f->a->profile = g_strdup("half");
    check(f, "vgpu_memory_limit_bytes", "vm=\"a\"", "536870912");
    check(f, "vgpu_gpu_share_limit_ratio", "vm=\"a\"", "0.5");
    check(f, "vgpu_frame_rate_limit", "vm=\"a\"", "60");
    check(f, "vgpu_info", "profile=\"half\"", "1");
    check(f, "vgpu_host_memory_reserved_bytes", "gpu0", "805306368");
}

static void test_counters_never_go_back(Fixture *f, gconstpointer unused)
{
    uint64_t *frames = &f->a->page->frames;

    vgpu_stats_set(frames, 10);
    check(f, "vgpu_frames_presented_total", "vm=\"a\"", "10");
    vgpu_stats_set(frames, 4);
    check(f, "vgpu_frames_presented_total", "vm=\"a\"", "10");
    for (unsigned i = 0; i < 10; i++) { /* up and down makes no more of them */
        vgpu_stats_set(frames, i % 2 ? 10 : 0);
        check(f, "vgpu_frames_presented_total", "vm=\"a\"", "10");
    }
    vgpu_stats_set(frames, 11);
    check(f, "vgpu_frames_presented_total", "vm=\"a\"", "11");
}

static void test_over_renderers(Fixture *f, gconstpointer unused)
{
    vgpu_stats_set(&f->a->page->memory_used, 100 * MIB);
    vgpu_stats_set(&f->a->page->memory_peak, 120 * MIB);
    vgpu_stats_set(&f->a->page->frames, 10);
    vgpu_stats_set(&f->a->page->alloc_denied, 5);
    vgpu_stats_set(&f->a->page->contexts_hung, 2);
    figures_renderer_ends(f->a); /* what nobody had asked for yet counts too */
    give_page(f->a);
    check(f, "vgpu_frames_presented_total", "vm=\"a\"", "10");
    check(f, "vgpu_alloc_denied_total", "vm=\"a\"", "5");
    check(f, "vgpu_memory_used_bytes", "vm=\"a\"", "0");
    check(f, "vgpu_memory_peak_bytes", "vm=\"a\"", "125829120");
    vgpu_stats_set(&f->a->page->frames, 3);
    vgpu_stats_set(&f->a->page->contexts_hung, 1);
    check(f, "vgpu_frames_presented_total", "vm=\"a\"", "13");
    check(f, "vgpu_resets_total",
          "vm=\"a\",uuid=\"01000000-0000-0000-0000-000000000000\",device=\"vgpu0\",gpu=\"gpu0\",cause="
          "\"context_hang\"",
          "3");
}

static void test_lost_renderer(Fixture *f, gconstpointer unused)
{
    vgpu_stats_set(&f->a->page->frames, 10);
    figures_renderer_ends(f->a);
    munmap(f->a->page, VGPU_STATS_SIZE);
    f->a->page = NULL;
    f->a->pid = 0;
    f->a->state = VM_LOST;
    check(f, "vgpu_info", "vm=\"a\"", "1");
    check(f, "vgpu_info", "state=\"lost\"", "1");
    check(f, "vgpu_memory_used_bytes", "vm=\"a\"", "0");
    check(f, "vgpu_frames_presented_total", "vm=\"a\"", "10");
    check(f, "vgpu_queue_depth", "vm=\"a\"", "0");
}

/* A renderer of an earlier vgpud whose page could not be had. */
static void test_unknown_is_absent(Fixture *f, gconstpointer unused)
{
    munmap(f->a->page, VGPU_STATS_SIZE);
    f->a->page = NULL;
    check(f, "vgpu_info", "vm=\"a\"", "1");
    check(f, "vgpu_memory_used_bytes", "vm=\"a\"", NULL);
    check(f, "vgpu_memory_peak_bytes", "vm=\"a\"", NULL);
    check(f, "vgpu_alloc_denied_total", "vm=\"a\"", NULL);
    check(f, "vgpu_frames_presented_total", "vm=\"a\"", NULL);
    check(f, "vgpu_last_submit_age_seconds", "vm=\"a\"", NULL);
    check(f, "vgpu_memory_limit_bytes", "vm=\"a\"", "268435456"); /* vgpud's own */
    check(f, "vgpu_gpu_time_seconds_total", "vm=\"a\"", "0");
}

static void test_nonsense_is_bounded(Fixture *f, gconstpointer unused)
{
    uint64_t *page = (uint64_t *)f->a->page;

    for (unsigned i = 0; i < VGPU_STATS_SIZE / sizeof(*page); i++) {
        vgpu_stats_set(&page[i], UINT64_MAX);
    }
    check(f, "vgpu_memory_used_bytes", "vm=\"a\"", "1073741824"); /* the GPU has no more */
    check(f, "vgpu_memory_peak_bytes", "vm=\"a\"", "1073741824");
    check(f, "vgpu_frames_presented_total", "vm=\"a\"", "9007199254740992");
    check(f, "vgpu_memory_limit_bytes", "vm=\"a\"", "268435456");
    check(f, "vgpu_last_submit_age_seconds", "vm=\"a\"", "0"); /* not in the future */
    for (unsigned i = 0; i < 3; i++) {
        figures_renderer_ends(f->a); /* sums do not wrap either */
        check(f, "vgpu_frames_presented_total", "vm=\"a\"", "9007199254740992");
    }
    check(f, "vgpu_frames_presented_total", "vm=\"b\"", "0");
}

static void test_submit_age(Fixture *f, gconstpointer unused)
{
    g_autofree char *never = NULL, *then = NULL;
    uint64_t now = figures_now(); /* since the host was started: maybe minutes only */

    f->a->since_ns = now / 4;
    never = figure(f, "vgpu_last_submit_age_seconds", "vm=\"a\"");
    g_assert_cmpfloat(g_ascii_strtod(never, NULL), >=, (double)(now - now / 4) / 1e9);
    vgpu_stats_set(&f->a->page->last_submit_ns, now / 2);
    then = figure(f, "vgpu_last_submit_age_seconds", "vm=\"a\"");
    g_assert_cmpfloat(g_ascii_strtod(then, NULL), >=, (double)(now - now / 2) / 1e9);
    g_assert_cmpfloat(g_ascii_strtod(then, NULL), <, g_ascii_strtod(never, NULL));
}

static void test_hostile_name(Fixture *f, gconstpointer unused)
{
    g_autofree char *text = NULL;
    const char *line;

    g_free(f->a->name);
    f->a->name = g_strdup("x\"} 1\nvgpu_memory_used_bytes{vm=\"b\",\\\n\xff");
    text = metrics_text(&f->d, NULL);
    line =
        strstr(text, "\nvgpu_memory_used_bytes{vm=\"x\\\"} 1\\nvgpu_memory_used_bytes{vm=\\\"b\\\",\\\\\\n");
    g_assert_nonnull(line);
    g_assert_true(g_utf8_validate(text, -1, NULL));
    check(f, "vgpu_memory_used_bytes", "vm=\"b\"", "0"); /* once */
}

static void test_host(Fixture *f, gconstpointer unused)
{
    f->d.accepted = 5;
    f->d.denied[VGPU_REFUSED_FULL] = 3;
    f->d.denied[DAEMON_REFUSALS - 1] = 2; /* a code that has no name here */
    check(f, "vgpu_host_memory_total_bytes", "gpu=\"gpu0\"", "1073741824");
    check(f, "vgpu_host_memory_reserved_bytes", "gpu=\"gpu0\"", "536870912");
    check(f, "vgpu_host_memory_free_bytes", "gpu=\"gpu0\"", "536870912");
    check(f, "vgpu_host_busy_ratio", "gpu=\"gpu0\"", "0");
    check(f, "vgpu_admission_accepted_total", "", "5");
    check(f, "vgpu_admission_denied_total", "full", "3");
    check(f, "vgpu_admission_denied_total", "version", "0");
    check(f, "vgpu_admission_denied_total", "other", "2");
}

static void test_no_vms(Fixture *f, gconstpointer unused)
{
    g_autofree char *text = NULL;

    books_remove(f->d.books, f->a);
    books_remove(f->d.books, f->b);
    text = metrics_text(&f->d, NULL);
    g_assert_nonnull(strstr(text, "# TYPE vgpu_memory_used_bytes gauge\n"));
    g_assert_null(strstr(text, "vm="));
    check(f, "vgpu_host_memory_free_bytes", "gpu0", "1073741824");
}

static void test_tenant(Fixture *f, gconstpointer unused)
{
    Caller alice = { .role = ROLE_TENANT, .uid = 1000 }, op = { .role = ROLE_OPERATOR, .uid = 1001 };
    g_autofree char *hers = NULL, *all = NULL;

    f->a->owner = 1000;
    f->b->owner = 1002;
    hers = metrics_text(&f->d, &alice);
    all = metrics_text(&f->d, &op);
    g_assert_nonnull(strstr(hers, "vm=\"a\""));
    g_assert_null(strstr(hers, "vm=\"b\""));
    g_assert_nonnull(strstr(all, "vm=\"a\""));
    g_assert_nonnull(strstr(all, "vm=\"b\""));
}

static void test_thousand_vms(Fixture *f, gconstpointer unused)
{
    g_autofree char *text = NULL;
    gint64 start;

    for (unsigned i = 0; i < 1000; i++) {
        g_autofree char *name = g_strdup_printf("vm-%u", i);
        Vm *vm = add_vm(&f->d, name, 3);

        give_page(vm);
        g_snprintf(vm->uuid, VM_UUID_TEXT, "%08x-0000-0000-0000-000000000000", i + 1000);
    }
    start = g_get_monotonic_time();
    text = metrics_text(&f->d, NULL);
    g_test_message("%zu bytes in %u us", strlen(text), (unsigned)(g_get_monotonic_time() - start));
    g_assert_nonnull(strstr(text, "vm=\"vm-999\""));
}

#define ADD(path, function) g_test_add("/metrics/" path, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("labels of a series do not change", test_labels_stay);
    ADD("each VM has its own figures", test_own_figures);
    ADD("changed values", test_changed_values);
    ADD("counters never go back", test_counters_never_go_back);
    ADD("counters go on with another renderer", test_over_renderers);
    ADD("a VM without a renderer uses nothing", test_lost_renderer);
    ADD("what is not known is absent", test_unknown_is_absent);
    ADD("a page of nonsense is bounded", test_nonsense_is_bounded);
    ADD("age of the last 3D command", test_submit_age);
    ADD("a hostile name is a label's value and no more", test_hostile_name);
    ADD("GPUs and admission", test_host);
    ADD("no VM at all", test_no_vms);
    ADD("a tenant sees its own VMs", test_tenant);
    ADD("a thousand VMs", test_thousand_vms);
    return g_test_run();
}
