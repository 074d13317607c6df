/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpu-smi without a GPU: what it reads from files of a made-up root and from a
 * made-up statistics page, and what it prints of that.
 */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "smi/check.h"
#include "smi/client.h"
#include "smi/figures.h"
#include "smi/show.h"
#include "smi/text.h"
#include "vgpu/stats.h"

/* ---- a root ---- */

typedef struct Root {
    char *path;
} Root;

static void put(const Root *root, const char *path, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void put(const Root *root, const char *path, const char *format, ...)
{
    g_autofree char *file = g_build_filename(root->path, path, NULL), *dir = g_path_get_dirname(file);
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
}

static void place(const Root *root, const char *path, const char *target)
{
    g_autofree char *file = g_build_filename(root->path, path, NULL), *dir = g_path_get_dirname(file);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
    g_assert_cmpint(symlink(target, file), ==, 0);
}

static void folder(const Root *root, const char *path)
{
    g_autofree char *file = g_build_filename(root->path, path, NULL);

    g_assert_cmpint(g_mkdir_with_parents(file, 0755), ==, 0);
}

#define VIRTIO  "sys/devices/pci0000:00/0000:00:02.0/virtio3"
#define RELEASE "6.12.107+deb13-amd64"

/* A guest with one vgpu, bound to a driver, and Linux RELEASE. */
static void root_begin(Root *root, const void *data)
{
    const char *driver = data;

    root->path = g_dir_make_tmp("test-smi.XXXXXX", NULL);
    g_assert_nonnull(root->path);
    put(root, VIRTIO "/device", "0x0010\n");
    folder(root, VIRTIO "/drm/card0");
    folder(root, VIRTIO "/drm/card0-Virtual-1");
    folder(root, VIRTIO "/drm/renderD128");
    place(root, "sys/bus/virtio/devices/virtio3", "../../../devices/pci0000:00/0000:00:02.0/virtio3");
    place(root, "sys/bus/pci/devices/0000:00:02.0", "../../../devices/pci0000:00/0000:00:02.0");
    put(root, "sys/bus/virtio/devices/virtio3/../resource",
        "0x00000000febd5000 0x00000000febd5fff 0x0000000000040200\n0x0 0x0 0x0\n");
    /* others on the bus: a disk, and a console */
    put(root, "sys/bus/virtio/devices/virtio0/device", "0x0002\n");
    put(root, "sys/bus/virtio/devices/virtio10/device", "0x0003\n");
    if (driver) {
        g_autofree char *target = g_strdup_printf("../../../../bus/virtio/drivers/%s", driver);

        place(root, VIRTIO "/driver", target);
    }
    folder(root, "sys/class/drm");
    put(root, "proc/sys/kernel/osrelease", RELEASE "\n");
}

static void root_end(Root *root, const void *data)
{
    const char *argv[] = { "rm", "-rf", root->path, NULL };

    g_assert_true(
        g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
    g_free(root->path);
}

/* What a function prints on stdout. */
static char *printed(void (*function)(void *data), void *data)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("test-smi.XXXXXX", &path, NULL), out;
    char *text = NULL;

    g_assert_cmpint(fd, >=, 0);
    fflush(stdout);
    out = dup(STDOUT_FILENO);
    dup2(fd, STDOUT_FILENO);
    function(data);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(fd);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_unlink(path);
    return text;
}

/* ---- text ---- */

static void expect_clean(const char *text, const char *should)
{
    g_autofree char *copy = g_strdup(text);

    text_clean(copy);
    g_assert_cmpstr(copy, ==, should);
}

static void test_clean(void)
{
    expect_clean("plain", "plain");
    expect_clean("\303\234ber \344\272\220", "\303\234ber \344\272\220");
    expect_clean("a\033[2Jb\177\n", "a?[2Jb??");
    expect_clean("a\302\233b", "a?b");          /* U+009B, a control sequence's begin */
    expect_clean("a\342\200\256b", "a?b");      /* right-to-left override */
    expect_clean("a\377b\303", "a?b?");         /* no UTF-8, half a character */
    expect_clean("\300\257", "??");             /* overlong */
    expect_clean("\355\240\200", "???");        /* a surrogate */
    expect_clean("\364\220\200\200x", "????x"); /* above U+10FFFF */
    g_assert_cmpuint(text_width("\303\234ber"), ==, 4);
}

static void test_units(void)
{
    g_assert_cmpstr(text_mib(0), ==, "0 MiB");
    g_assert_cmpstr(text_mib(1536ull << 20), ==, "1536 MiB");
    g_assert_cmpstr(text_time(0), ==, "0 s");
    g_assert_cmpstr(text_time(4000000), ==, "4 ms");
    g_assert_cmpstr(text_time(999900000), ==, "1 s");
    g_assert_cmpstr(text_time(2500000000), ==, "2.5 s");
    g_assert_cmpstr(text_time(150000000000), ==, "150 s");
    g_assert_cmpstr(text_time(7200000000000), ==, "2.0 h");
}

/* ---- what the host says ---- */

static void test_caps(void)
{
    struct vgpu_capset in = { .version = 2,
                              .size = sizeof(in),
                              .memory_limit = 1 << 30,
                              .apis = VGPU_API_GL },
                       out;

    g_strlcpy(in.profile, "quarter", sizeof(in.profile));
    memset(in.gpu, 'x', sizeof(in.gpu));
    g_strlcpy(in.renderer, "evil\033[2J", sizeof(in.renderer));
    g_assert_true(smi_caps_parse(&out, &in, sizeof(in)));
    g_assert_cmpstr(out.profile, ==, "quarter");
    g_assert_cmpuint(strlen(out.gpu), ==, sizeof(out.gpu) - 1);
    g_assert_cmpstr(out.renderer, ==, "evil?[2J");
    g_assert_cmpuint(out.apis, ==, VGPU_API_GL);
    /* of an older host */
    in.version = 1;
    g_assert_true(smi_caps_parse(&out, &in, offsetof(struct vgpu_capset, apis)));
    g_assert_cmpuint(out.apis, ==, 0);
    g_assert_cmpuint(out.memory_limit, ==, 1 << 30);
    memset(&in, 0, sizeof(in));
    g_assert_false(smi_caps_parse(&out, &in, sizeof(in)));
}

static void test_page(void)
{
    static union {
        struct vgpu_stats s;
        char bytes[VGPU_STATS_SIZE];
    } page;
    struct smi_figures f = { .utilisation = 7 };

    g_assert_false(smi_page_parse(&f, &page)); /* no renderer: zeroes */
    g_assert_cmpuint(f.memory_used, ==, SMI_UNKNOWN);
    page.s = (struct vgpu_stats){ .magic = VGPU_STATS_MAGIC,
                                  .version = 1,
                                  .memory_limit = 100,
                                  .memory_used = 40,
                                  .alloc_denied = 3,
                                  .share = 5 };
    g_assert_true(smi_page_parse(&f, &page));
    g_assert_cmpuint(f.memory_used, ==, 40);
    g_assert_cmpuint(f.alloc_denied, ==, 3);
    g_assert_cmpuint(f.share, ==, SMI_UNKNOWN); /* not in version 1 */
    g_assert_cmpuint(f.utilisation, ==, 7);
    page.s.version = 2;
    page.s.share = 250000;
    page.s.gpu_time_ns = 12;
    page.s.throttled_ns = 34;
    page.s.resets = 2;
    page.s.reset_cause = VGPU_RESET_HANG;
    page.s.profile_serial = 4;
    memset(page.s.profile, 'p', sizeof(page.s.profile));
    g_assert_true(smi_page_parse(&f, &page));
    g_assert_cmpuint(f.share, ==, 250000);
    g_assert_cmpuint(f.throttled_ns, ==, 34);
    g_assert_cmpstr(smi_reset_cause(f.reset_cause), ==, "hang");
    g_assert_cmpstr(smi_reset_cause(1000), ==, "-");
    g_assert_cmpuint(strlen(f.profile), ==, sizeof(f.profile) - 1);
    page.s.profile_serial = 5; /* for ever in the middle of a change: told all the same, after a while */
    g_assert_true(smi_page_parse(&f, &page));
}

/* ---- devices ---- */

static void test_find(Root *root, const void *data)
{
    struct smi_device d[SMI_DEVICES];

    put(root, "sys/module/vgpu/version", "0.1.0\n");
    put(root, VIRTIO "/vgpu/memory_limit", "1073741824\n");
    put(root, VIRTIO "/vgpu/memory_used", "1048576\n");
    put(root, VIRTIO "/vgpu/resets", "nonsense\n");
    put(root, VIRTIO "/vgpu/profile", "quarter\n");
    put(root, VIRTIO "/vgpu/share", "6.2500\n");
    put(root, VIRTIO "/vgpu/reset_cause", "hang\n");
    put(root, VIRTIO "/vgpu/memory_denied", "4\n");
    g_assert_cmpuint(smi_devices_find(root->path, d), ==, 1);
    g_assert_cmpstr(d->virtio, ==, "virtio3");
    g_assert_cmpstr(d->pci, ==, "0000:00:02.0");
    g_assert_cmpstr(d->driver, ==, "vgpu");
    g_assert_cmpstr(d->version, ==, "0.1.0");
    g_assert_cmpstr(d->render, ==, "renderD128");
    g_assert_cmpstr(d->card, ==, "card0");
    g_assert_true(d->ours);
    g_assert_cmpint(d->source, ==, SMI_SOURCE_SYSFS);
    g_assert_cmpuint(d->now.memory_used, ==, 1048576);
    g_assert_cmpuint(d->now.resets, ==, SMI_UNKNOWN);
    g_assert_cmpuint(d->now.share, ==, 62500);
    g_assert_cmpuint(d->now.reset_cause, ==, VGPU_RESET_HANG);
    g_assert_cmpuint(d->now.alloc_denied, ==, 4);
    g_assert_cmpuint(d->now.utilisation, ==, SMI_UNKNOWN);
    g_assert_cmpstr(d->now.profile, ==, "quarter");
    smi_devices_free(d, 1);
}

/* Another virtio GPU: no page, nothing live. */
static void test_find_other(Root *root, const void *data)
{
    struct smi_device d[SMI_DEVICES];

    put(root, "sys/bus/virtio/devices/virtio3/../resource", "0x0 0x0 0x0\n0xfebd4000 0xfebd4fff 0x40200\n");
    g_assert_cmpuint(smi_devices_find(root->path, d), ==, 1);
    g_assert_false(d->ours);
    g_assert_cmpint(d->source, ==, SMI_SOURCE_NONE);
    smi_devices_free(d, 1);
}

/* For whom may read it, the page itself is enough, whoever has the device. */
static void test_find_page(Root *root, const void *data)
{
    g_autofree char *bar = g_build_filename(root->path, "sys/bus/pci/devices/0000:00:02.0/resource0", NULL);
    static char page[VGPU_STATS_SIZE];
    struct vgpu_stats *s = (void *)page;
    struct smi_device d[SMI_DEVICES];

    s->magic = VGPU_STATS_MAGIC;
    s->version = VGPU_STATS_VERSION;
    s->memory_limit = 8 << 20;
    s->memory_used = 2 << 20;
    g_assert_true(g_file_set_contents(bar, page, sizeof(page), NULL));
    g_assert_cmpuint(smi_devices_find(root->path, d), ==, 1);
    g_assert_true(d->ours);
    g_assert_cmpint(d->source, ==, SMI_SOURCE_PAGE);
    g_assert_cmpuint(d->now.memory_used, ==, 2 << 20);
    smi_devices_free(d, 1);
}

/* ---- processes ---- */

static void parse_fdinfo(struct smi_fdinfo *info, const char *text)
{
    FILE *file = fmemopen((char *)text, strlen(text), "r");

    g_assert_nonnull(file);
    smi_fdinfo_parse(info, file);
    fclose(file);
}

static void test_fdinfo(void)
{
    struct smi_fdinfo info;

    parse_fdinfo(&info,
                 "pos:\t0\nflags:\t02100002\ndrm-driver:\tvirtio_gpu\ndrm-client-id:\t7\n"
                 "drm-engine-render:\t1500000000 ns\ndrm-engine-copy:\t1 ns\ndrm-engine-capacity-copy:\t2\n"
                 "drm-total-memory:\t2 MiB\ndrm-resident-memory:\t1024 KiB\ndrm-shared-memory: 9 KiB\n");
    g_assert_cmpuint(info.client, ==, 7);
    g_assert_cmpuint(info.engine_ns, ==, 1500000001);
    g_assert_cmpuint(info.total, ==, 2 << 20);
    g_assert_cmpuint(info.resident, ==, 1 << 20);
    parse_fdinfo(&info, "pos:\t0\nno colon\ndrm-total-memory: lots\n");
    g_assert_cmpuint(info.client, ==, SMI_UNKNOWN);
    g_assert_cmpuint(info.total, ==, SMI_UNKNOWN);
}

static void open_file(const Root *root, int pid, int fd, const char *target, const char *info)
{
    g_autofree char *link = g_strdup_printf("proc/%d/fd/%d", pid, fd);
    g_autofree char *path = g_strdup_printf("proc/%d/fdinfo/%d", pid, fd);

    place(root, link, target);
    put(root, path, "%s", info);
}

#define CLIENT(id, ns, kib)                                                                                  \
    "drm-client-id: " id "\ndrm-engine-render: " ns " ns\ndrm-resident-memory: " kib " KiB\n"

static void test_processes(Root *root, const void *data)
{
    struct smi_device d[SMI_DEVICES];
    struct smi_process *p, before[2] = { { .pid = 30, .engine_ns = 10 }, { .pid = 31, .engine_ns = 0 } };
    unsigned int n;

    put(root, "proc/30/comm", "weston\033\n");
    open_file(root, 30, 4, "/dev/dri/card0", CLIENT("1", "500000010", "1024"));
    open_file(root, 30, 5, "/dev/dri/renderD128", CLIENT("2", "0", "3072"));
    open_file(root, 30, 6, "/dev/dri/renderD128", CLIENT("2", "0", "3072")); /* a duplicate */
    open_file(root, 30, 7, "/dev/null", CLIENT("3", "0", "3072"));
    put(root, "proc/4/comm", "stock\n");
    open_file(root, 4, 0, "/dev/dri/renderD128", "pos: 0\n");
    put(root, "proc/5/comm", "other\n");
    open_file(root, 5, 0, "/dev/dri/renderD129", CLIENT("1", "1", "1"));
    g_assert_cmpuint(smi_devices_find(root->path, d), ==, 1);
    p = smi_processes_find(root->path, d, 1, &n);
    g_assert_cmpuint(n, ==, 2);
    g_assert_cmpint(p[0].pid, ==, 4);
    g_assert_cmpuint(p[0].memory, ==, SMI_UNKNOWN);
    g_assert_cmpint(p[1].pid, ==, 30);
    g_assert_cmpstr(p[1].name, ==, "weston?");
    g_assert_cmpuint(p[1].clients, ==, 2);
    g_assert_cmpuint(p[1].memory, ==, 4 << 20);
    smi_processes_rate(p, n, before, 2, 2);
    g_assert_cmpuint(p[0].utilisation, ==, SMI_UNKNOWN);
    g_assert_cmpuint(p[1].utilisation, ==, 250000);
    free(p);
    smi_devices_free(d, 1);
}

/* ---- what is printed ---- */

static struct smi_view example(void)
{
    static struct smi_device d;
    static struct smi_process p[2];

    d = (struct smi_device){
        .virtio = "virtio3",
        .pci = "0000:00:02.0",
        .driver = "vgpu",
        .version = "0.1.0",
        .has_caps = true,
        .caps = { .version = 2,
                  .profile = "quarter",
                  .renderer = "llvmpipe (LLVM 19.1.7, 256 bits, and more words)",
                  .host_version = "0.1.0",
                  .apis = VGPU_API_GL },
        .source = SMI_SOURCE_SYSFS,
        .now = { .memory_limit = 2048ull << 20,
                 .memory_used = 100 << 20,
                 .memory_peak = SMI_UNKNOWN,
                 .alloc_denied = 2,
                 .share = 250000,
                 .gpu_time_ns = 1500000000,
                 .throttled_ns = 2500000,
                 .resets = 1,
                 .reset_cause = VGPU_RESET_HANG,
                 .utilisation = 125000,
                 .profile = "quarter" },
    };
    p[0] = (struct smi_process){ .pid = 7,
                                 .name = "b\"\303\234",
                                 .memory = 5 << 20,
                                 .total = SMI_UNKNOWN,
                                 .engine_ns = 3,
                                 .utilisation = 20000 };
    p[1] = (struct smi_process){ .pid = 8,
                                 .name = "a name of forty characters, one could say",
                                 .memory = SMI_UNKNOWN,
                                 .total = SMI_UNKNOWN,
                                 .engine_ns = SMI_UNKNOWN,
                                 .utilisation = SMI_UNKNOWN };
    return (struct smi_view){ &d, 1, p, 2 };
}

static void print_table(void *view)
{
    show_table(stdout, view);
}

static void print_query(void *view)
{
    show_query(stdout, view);
}

static void print_json(void *view)
{
    show_json(stdout, view);
}

static void test_table(void)
{
    struct smi_view view = example();
    g_autofree char *text = printed(print_table, &view);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **l = lines; *l && **l; l++) {
        g_assert_true(g_utf8_validate(*l, -1, NULL));
        g_assert_cmpint(g_utf8_strlen(*l, -1), ==, 79);
    }
    g_assert_nonnull(strstr(text, "vgpu-smi " VGPU_VERSION));
    g_assert_nonnull(strstr(text, "Driver: vgpu 0.1.0"));
    g_assert_nonnull(strstr(text, "| 0   quarter       0000:00:02.0"));
    g_assert_nonnull(strstr(text, "100 MiB / 2048 MiB"));
    g_assert_nonnull(strstr(text, "| 12 %     25 %"));
    g_assert_nonnull(strstr(text, "2 refused"));
    g_assert_nonnull(strstr(text, "| 2.5 ms   1 "));
    g_assert_nonnull(strstr(text, "b\"\303\234"));
    g_assert_nonnull(strstr(text, "5 MiB          2 %"));
    view.process_count = 0;
    g_free(text);
    text = printed(print_table, &view);
    g_assert_nonnull(strstr(text, "no process has the GPU open"));
}

static void test_query(void)
{
    struct smi_view view = example();
    g_autofree char *text = printed(print_query, &view);

    g_assert_nonnull(strstr(text, "        Free                         : 1948 MiB\n"));
    g_assert_nonnull(strstr(text, "        Peak                         : N/A\n"));
    g_assert_nonnull(strstr(text, "        Cause of the last            : hang\n"));
    g_assert_nonnull(strstr(text, "        Vulkan                       : no\n"));
    g_assert_nonnull(strstr(text, "            Name                     : b\"\303\234\n"));
}

static void test_json(void)
{
    struct smi_view view = example();
    g_autofree char *text = printed(print_json, &view);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    JsonObject *gpu, *process;

    g_assert_true(json_parser_load_from_data(parser, text, -1, &error));
    g_assert_no_error(error);
    gpu = json_array_get_object_element(
        json_object_get_array_member(json_node_get_object(json_parser_get_root(parser)), "gpus"), 0);
    g_assert_cmpstr(json_object_get_string_member(gpu, "profile"), ==, "quarter");
    g_assert_cmpint(json_object_get_int_member(gpu, "memory_used_bytes"), ==, 100 << 20);
    g_assert_true(json_object_get_null_member(gpu, "memory_peak_bytes"));
    g_assert_cmpfloat(json_object_get_double_member(gpu, "utilisation_ratio"), ==, 0.125);
    g_assert_cmpstr(json_object_get_string_member(gpu, "reset_cause"), ==, "hang");
    g_assert_false(json_object_get_boolean_member(json_object_get_object_member(gpu, "host"), "vulkan"));
    process = json_array_get_object_element(json_object_get_array_member(gpu, "processes"), 0);
    g_assert_cmpstr(json_object_get_string_member(process, "name"), ==, "b\"\303\234");
    g_assert_true(json_object_get_null_member(
        json_array_get_object_element(json_object_get_array_member(gpu, "processes"), 1), "memory_bytes"));
    view.count = 0;
    g_free(text);
    text = printed(print_json, &view);
    g_assert_true(json_parser_load_from_data(parser, text, -1, NULL));
}

/* ---- why the driver is not ours ---- */

typedef struct Why {
    struct check check;
    struct smi_device *device;
} Why;

static void print_why(void *data)
{
    Why *why = data;

    check_kernel(&why->check);
    check_driver(&why->check, why->device);
}

/* The finding about the driver: result, and words of the detail and of the remedy. */
static void expect_why(const Root *root, const char *result, const char *detail, const char *remedy)
{
    struct smi_device d[SMI_DEVICES];
    Why why = { .check = { .root = root->path } };
    g_autofree char *text = NULL, *line = g_strdup_printf("%s  driver", result);
    const char *at;

    g_assert_cmpuint(smi_devices_find(root->path, d), ==, 1);
    why.device = d;
    text = printed(print_why, &why);
    at = strstr(text, line);
    if (!at || !strstr(at, detail) || (remedy && !strstr(at, remedy))) {
        g_test_fail_printf("'%s' has no %s with '%s' and '%s'", text, result, detail, remedy ? remedy : "");
    }
    smi_devices_free(d, 1);
}

#define MODULE "lib/modules/" RELEASE "/updates/dkms/vgpu.ko"

static void test_why(Root *root, const void *data)
{
    expect_why(root, "WARN", "vgpu is not installed", "install vgpu-guest-dkms");
    folder(root, "var/lib/dkms/vgpu-guest/0.1.0/build");
    expect_why(root, "FAIL", "no headers to build vgpu for Linux " RELEASE, "install linux-headers-" RELEASE);
    folder(root, "lib/modules/" RELEASE "/build");
    expect_why(root, "FAIL", "was not built", "dkms autoinstall");
    put(root, "var/lib/dkms/vgpu-guest/0.1.0/build/make.log", "error\n");
    expect_why(root, "FAIL", "DKMS could not build vgpu 0.1.0", "read the log");
    put(root, MODULE, "ELF");
    expect_why(root, "FAIL", "installed and not loaded", "update-initramfs -u");
    put(root, "dev/kmsg", "%s", "4,1,2,-;vgpu: Unknown symbol drm_foo (err -2)\n");
    expect_why(root, "FAIL", "Unknown symbol drm_foo", "modprobe vgpu");
    put(root, "etc/modprobe.d/mine.conf", "# vgpu\nblacklist vgpu_other\n  blacklist vgpu\n");
    expect_why(root, "FAIL", "'blacklist vgpu' in /etc/modprobe.d/mine.conf", "boot again");
    put(root, "proc/cmdline", "root=/dev/vda modprobe.blacklist=nouveau,vgpu quiet\n");
    expect_why(root, "FAIL", "'modprobe.blacklist=nouveau,vgpu' on the kernel's command line", NULL);
    folder(root, "sys/module/vgpu");
    expect_why(root, "FAIL", "it was there before vgpu", "boot again");
}

static void test_why_unsigned(Root *root, const void *data)
{
    g_autofree char *variable = g_build_filename(
        root->path, "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", NULL);

    put(root, MODULE, "ELF, and no signature");
    put(root, "sys/firmware/efi/efivars/x", "x");
    g_assert_true(g_file_set_contents(variable, "\6\0\0\0\0", 5, NULL));
    expect_why(root, "FAIL", "installed and not loaded", NULL); /* it is off */
    g_assert_true(g_file_set_contents(variable, "\6\0\0\0\1", 5, NULL));
    expect_why(root, "FAIL", "Secure Boot is on and vgpu is not signed", "sign it");
    put(root, MODULE, "ELF~Module signature appended~\n");
    put(root, "var/lib/dkms/mok.pub", "key");
    put(root, "dev/kmsg", "%s", "3,1,2,-;Loading of module with unavailable key is rejected\n");
    expect_why(root, "FAIL",
               "signed by a key that the firmware does not know: Loading of module with unavailable key",
               "mokutil --import /var/lib/dkms/mok.pub");
    g_unlink(variable);
    put(root, "sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    expect_why(root, "FAIL", "the kernel is locked down", "mokutil");
    put(root, "sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
    expect_why(root, "FAIL", "installed and not loaded", NULL);
    put(root, "sys/module/module/parameters/sig_enforce", "Y\n");
    expect_why(root, "FAIL", "the kernel enforces signatures", "mokutil");
}

static void test_why_nobody(Root *root, const void *data)
{
    put(root, MODULE, "ELF");
    folder(root, "sys/module/vgpu");
    put(root, "dev/kmsg", "%s", "3,1,2,-;vgpu virtio3: the device answers nonsense\n");
    expect_why(root, "FAIL", "has not taken the device: vgpu virtio3: the device answers nonsense", "dmesg");
}

static void test_why_ours(Root *root, const void *data)
{
    expect_why(root, "PASS", "vgpu has 0000:00:02.0", NULL);
}

static void print_kernel(void *data)
{
    check_kernel(data);
}

static void test_kernel(Root *root, const void *data)
{
    struct check check = { .root = root->path };
    g_autofree char *drm = g_build_filename(root->path, "sys/class/drm", NULL), *text = NULL;

    put(root, "proc/sys/kernel/osrelease", "6.12.107+deb13-cloud-amd64\n");
    put(root, "boot/config-6.12.107+deb13-cloud-amd64", "# CONFIG_DRM is not set\nCONFIG_DRM_X=y\n");
    g_assert_cmpint(g_rmdir(drm), ==, 0);
    text = printed(print_kernel, &check);
    g_assert_nonnull(strstr(text, "FAIL  kernel"));
    g_assert_nonnull(strstr(text, "one for clouds without GPUs"));
    g_assert_nonnull(strstr(text, "linux-image-amd64"));
    g_assert_cmpuint(check.count[CHECK_FAIL], ==, 1);
    put(root, "boot/config-6.12.107+deb13-cloud-amd64", "CONFIG_DRM=m\n");
    g_free(text);
    text = printed(print_kernel, &check);
    g_assert_nonnull(strstr(text, "PASS  kernel"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/smi/text/clean", test_clean);
    g_test_add_func("/smi/text/units", test_units);
    g_test_add_func("/smi/caps", test_caps);
    g_test_add_func("/smi/page", test_page);
    g_test_add("/smi/find/ours", Root, "vgpu", root_begin, test_find, root_end);
    g_test_add("/smi/find/other", Root, "virtio_gpu", root_begin, test_find_other, root_end);
    g_test_add("/smi/find/page", Root, "virtio_gpu", root_begin, test_find_page, root_end);
    g_test_add_func("/smi/fdinfo", test_fdinfo);
    g_test_add("/smi/processes", Root, "vgpu", root_begin, test_processes, root_end);
    g_test_add_func("/smi/show/table", test_table);
    g_test_add_func("/smi/show/query", test_query);
    g_test_add_func("/smi/show/json", test_json);
    g_test_add("/smi/why/stock", Root, "virtio_gpu", root_begin, test_why, root_end);
    g_test_add("/smi/why/unsigned", Root, "virtio_gpu", root_begin, test_why_unsigned, root_end);
    g_test_add("/smi/why/nobody", Root, NULL, root_begin, test_why_nobody, root_end);
    g_test_add("/smi/why/ours", Root, "vgpu", root_begin, test_why_ours, root_end);
    g_test_add("/smi/kernel", Root, "virtio_gpu", root_begin, test_kernel, root_end);
    return g_test_run();
}
