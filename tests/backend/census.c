/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "census.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "http.h"

#define SETTLE_DEADLINE 30000 /* ms: renderers by the hundred may have to be killed */

Vgpud *census_vgpud(const char *kind, unsigned cells)
{
    Vgpud *d = vgpud_new(kind, NULL);
    g_autofree char *folder = g_build_filename(d->config, "profiles.d", NULL);
    g_autofree char *profile = g_build_filename(folder, "cell.conf", NULL);
    g_autofree char *conf = g_build_filename(d->config, "vgpud.conf", NULL);
    g_autofree char *cell =
        g_strdup_printf("[cell]\nmemory=%" G_GUINT64_FORMAT "\nshare=1%%\n", (guint64)CENSUS_CELL);
    g_autofree char *memory = g_strdup_printf("memory = %" G_GUINT64_FORMAT, (guint64)(cells * CENSUS_CELL));
    g_autofree char *text = NULL;
    g_auto(GStrv) parts = NULL;

    vgpud_end(d, SIGTERM);
    g_mkdir(folder, 0700);
    g_assert_true(g_file_set_contents(profile, cell, -1, NULL));
    g_assert_true(g_file_get_contents(conf, &text, NULL, NULL));
    parts = g_strsplit(text, "memory = 1G", 2);
    g_clear_pointer(&text, g_free);
    text = g_strjoinv(memory, parts);
    g_assert_true(g_file_set_contents(conf, text, -1, NULL));
    vgpud_run(d);
    return d;
}

void census_adopt_orphans(void)
{
    g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);
}

unsigned census_orphans(Vgpud *d)
{
    g_autoptr(GArray) all = proc_children(getpid());
    unsigned n = 0;

    for (unsigned i = 0; i < all->len; i++) {
        pid_t pid = g_array_index(all, pid_t, i);

        n += pid != d->pid && waitpid(pid, NULL, WNOHANG) == 0;
    }
    return n;
}

static unsigned count_maps(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", pid);
    g_autofree char *text = NULL;
    unsigned n = 0;

    if (g_file_get_contents(path, &text, NULL, NULL)) {
        for (const char *s = text; (s = strstr(s, "/memfd:vgpu-")); s++) {
            n++;
        }
    }
    return n;
}

static uint64_t count_wakeups(pid_t pid)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    uint64_t sum = 0;
    const char *tid;

    while (dir && (tid = g_dir_read_name(dir))) {
        g_autofree char *n = proc_status((pid_t)g_ascii_strtoull(tid, NULL, 10), "voluntary_ctxt_switches");

        sum += n ? g_ascii_strtoull(n, NULL, 10) : 0;
    }
    return sum;
}

Census census_take(Vgpud *d)
{
    g_autoptr(GArray) children = proc_children(d->pid);
    g_autofree char *rss = proc_status(d->pid, "RssAnon");
    struct timespec cpu = { 0 };
    clockid_t clock;
    Census c = {
        .fds = proc_fd_count(d->pid),
        .children = children->len,
        .maps = count_maps(d->pid),
        .rss_kib = rss ? g_ascii_strtoull(rss, NULL, 10) : 0,
        .wakeups = count_wakeups(d->pid),
    };

    if (clock_getcpuclockid(d->pid, &clock) == 0 && clock_gettime(clock, &cpu) == 0) {
        c.cpu_ns = (uint64_t)cpu.tv_sec * 1000000000 + (uint64_t)cpu.tv_nsec;
    }
    return c;
}

Census census_at_rest(Vgpud *d)
{
    Census last = census_take(d), c = last;

    for (unsigned i = 0; i < 100; i++) {
        g_usleep(200000);
        c = census_take(d);
        if (c.fds == last.fds && c.children == last.children && c.maps == last.maps) {
            break;
        }
        last = c;
    }
    return c;
}

JsonArray *census_ask(Vgpud *d, const char *path, JsonNode **root)
{
    g_autoptr(HttpReply) r = http_ask(d, "GET", path, NULL, NULL);
    JsonArray *a = http_expect_array(r);

    *root = a ? json_node_ref(r->json) : NULL;
    return a;
}

static unsigned vms(Vgpud *d)
{
    g_autoptr(JsonNode) root = NULL;
    JsonArray *a = census_ask(d, "/v1/vms", &root);

    return a ? json_array_get_length(a) : 0;
}

bool census_settle(Vgpud *d, const Census *before)
{
    int64_t end = g_get_monotonic_time() + SETTLE_DEADLINE * 1000ll;
    unsigned orphans, listed;
    bool same;
    Census c;

    do {
        g_usleep(20000);
        orphans = census_orphans(d);
        listed = vms(d);
        c = census_take(d);
        same = !listed && !orphans && c.fds <= before->fds && c.children <= before->children &&
               c.maps <= before->maps;
    } while (!same && proc_alive(d->pid) && g_get_monotonic_time() < end);
    g_test_message("%u VMs, %u descriptors (%u before), %u children, %u orphans, %u pages, %" G_GUINT64_FORMAT
                   " KiB (%" G_GUINT64_FORMAT " before)",
                   listed, c.fds, before->fds, c.children, orphans, c.maps, c.rss_kib, before->rss_kib);
    if (!same) {
        g_test_fail_printf("vgpud holds something that it did not hold before");
    }
    return same;
}

bool census_remembers(Vgpud *d)
{
    g_autofree char *path = g_build_filename(d->folder, "vgpud.state", NULL), *state = NULL;

    if (!g_file_get_contents(path, &state, NULL, NULL) || !strstr(state, "[vgpud]")) {
        g_test_fail_printf("%s is no state file", path);
        return false;
    }
    return strstr(state, "[vm ") != NULL;
}

bool census_expect_nothing(Vgpud *d, const Census *before)
{
    g_autoptr(JsonNode) root = NULL;
    JsonArray *gpus;
    JsonObject *g;

    if (!census_settle(d, before)) {
        return false;
    }
    gpus = census_ask(d, "/v1/gpus", &root);
    g_assert_true(gpus && json_array_get_length(gpus) == 1);
    if (!gpus) {
        return false;
    }
    g = json_array_get_object_element(gpus, 0);
    g_assert_cmpint(json_object_get_int_member(g, "vms"), ==, 0);
    g_assert_cmpint(json_object_get_int_member(g, "memory_booked_bytes"), ==, 0);
    g_assert_cmpint(json_object_get_int_member(g, "memory_free_bytes"), ==,
                    json_object_get_int_member(g, "memory_bytes"));
    g_assert_false(census_remembers(d));
    return true;
}

/* What is in the books, by UUID; *sums: the GPU's are of that and nothing else. */
static GHashTable *look_in_books(Vgpud *d, bool *sums)
{
    GHashTable *books = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(JsonNode) root = NULL, gpus = NULL;
    JsonArray *a = census_ask(d, "/v1/vms", &root), *b = census_ask(d, "/v1/gpus", &gpus);
    int64_t sum = 0;

    for (unsigned i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *vm = json_array_get_object_element(a, i);
        CensusVm *e = g_new0(CensusVm, 1);
        bool fresh;

        e->pid = (pid_t)json_object_get_int_member_with_default(vm, "pid", 0);
        e->running = g_str_equal(json_object_get_string_member_with_default(vm, "state", ""), "running");
        e->memory = MAX(json_object_get_int_member(vm, "memory_limit_bytes"),
                        json_object_get_int_member(vm, "memory_held_bytes"));
        sum += e->memory;
        fresh = g_hash_table_insert(books, g_strdup(json_object_get_string_member(vm, "uuid")), e);
        g_assert_true(fresh);
    }
    *sums = false;
    if (b && json_array_get_length(b) == 1) {
        JsonObject *gpu = json_array_get_object_element(b, 0);

        *sums = json_object_get_int_member(gpu, "vms") == g_hash_table_size(books) &&
                json_object_get_int_member(gpu, "memory_booked_bytes") == sum;
    }
    return books;
}

/* Two answers are of two moments, and a VM may have left in between: then of two later ones. */
GHashTable *census_books(Vgpud *d)
{
    int64_t end = g_get_monotonic_time() + SETTLE_DEADLINE * 1000ll;
    bool sums;
    GHashTable *books = look_in_books(d, &sums);

    while (!sums && g_get_monotonic_time() < end) {
        g_usleep(20000);
        g_hash_table_unref(books);
        books = look_in_books(d, &sums);
    }
    g_assert_true(sums);
    return books;
}
