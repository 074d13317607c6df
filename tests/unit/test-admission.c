/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who gets a slice, and the sentence for who does not. */
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admission.h"
#include "config.h"
#include "nvidia.h"
#include "units.h"

static GPtrArray *one_gpu(uint64_t mib)
{
    GPtrArray *gpus = g_ptr_array_new_with_free_func(gpu_free);
    Gpu *g = g_new0(Gpu, 1);

    g->name = g_strdup_printf("gpu%u", gpus->len);
    g->memory = mib * MIB;
    g_ptr_array_add(gpus, g);
    return gpus;
}

static void add_gpu(GPtrArray *gpus, const char *pci, uint64_t mib)
{
    Gpu *g = g_new0(Gpu, 1);

    g->name = g_strdup_printf("gpu%u", gpus->len);
    g->pci = g_strdup(pci);
    g->memory = mib * MIB;
    g_ptr_array_add(gpus, g);
}

/* NULL when admitted, else the sentence. */
static char *ask(const GPtrArray *gpus, const AdmissionBooking *b, size_t n, const char *profile,
                 const char *gpu, AdmissionGrant *grant, enum vgpu_refusal *code)
{
    g_autoptr(ProfileSet) set = profile_set_new();
    char *why = NULL;

    if (admission_decide(set, gpus, b, n, profile, gpu, grant, code, &why)) {
        g_assert_null(why);
        return NULL;
    }
    g_assert_cmpuint(strlen(why), <, VGPU_MESSAGE_MAX);
    return why;
}

/* The sentence that design and README promise, to the letter. */
static void test_full(void)
{
    static const AdmissionBooking b[] = {
        { "win10", "gpu0", 4096 * MIB, false },
        { "ci-7", "gpu0", 3072 * MIB, false },
    };
    g_autoptr(GPtrArray) gpus = one_gpu(8192);
    AdmissionGrant grant;
    enum vgpu_refusal code;
    g_autofree char *why = ask(gpus, b, 2, "half", "", &grant, &code);

    g_assert_cmpstr(why, ==,
                    "profile 'half' needs 4096 MiB of GPU memory; 1024 of 8192 MiB are free on gpu0 "
                    "(win10: 4096, ci-7: 3072). Profiles that fit: eighth, sixteenth.");
    g_assert_cmpint(code, ==, VGPU_REFUSED_FULL);
    g_assert_null(ask(gpus, b, 2, "eighth", "", &grant, &code));
    g_assert_cmpuint(grant.memory, ==, 1024 * MIB);
}

static void test_nothing_fits(void)
{
    static const AdmissionBooking b[] = { { "a", "gpu0", 8000 * MIB, false } };
    g_autoptr(GPtrArray) gpus = one_gpu(8192);
    AdmissionGrant grant;
    enum vgpu_refusal code;
    g_autofree char *why = ask(gpus, b, 1, "sixteenth", "auto", &grant, &code);

    g_assert_cmpstr(why, ==,
                    "profile 'sixteenth' needs 512 MiB of GPU memory; 192 of 8192 MiB are free on gpu0 "
                    "(a: 8000). No profile fits: shut down one of these VMs first.");
}

/* Exactly as much as there is, and one more. */
static void test_edge(void)
{
    AdmissionBooking b[16];
    g_autoptr(GPtrArray) gpus = one_gpu(8192);
    AdmissionGrant grant;
    enum vgpu_refusal code;

    for (unsigned i = 0; i < 16; i++) {
        g_assert_null(ask(gpus, b, i, "sixteenth", "", &grant, &code));
        b[i] = (AdmissionBooking){ "vm", "gpu0", grant.memory, false };
    }
    g_autofree char *why = ask(gpus, b, 16, "sixteenth", "", &grant, &code);
    g_assert_nonnull(why);
    g_assert_cmpuint(admission_free(gpus->pdata[0], b, 16), ==, 0);
}

/* memory= was lowered below what is booked: nothing is free, nothing wraps. */
static void test_overbooked(void)
{
    static const AdmissionBooking b[] = {
        { "a", "gpu0", UINT64_MAX / 2 + 1, false },
        { "b", "gpu0", UINT64_MAX / 2 + 1, false },
    };
    g_autoptr(GPtrArray) gpus = one_gpu(8192);
    AdmissionGrant grant;
    enum vgpu_refusal code;
    g_autofree char *one = ask(gpus, b, 1, "sixteenth", "", &grant, &code);
    g_autofree char *two = ask(gpus, b, 2, "sixteenth", "", &grant, &code);

    g_assert_nonnull(one);
    g_assert_nonnull(two);
}

static void test_unknown_names(void)
{
    g_autoptr(GPtrArray) gpus = one_gpu(8192);
    AdmissionGrant grant;
    enum vgpu_refusal code;
    g_autofree char *why = ask(gpus, NULL, 0, "quater", "", &grant, &code);
    g_autofree char *why_gpu = NULL, *odd = NULL;

    g_assert_cmpint(code, ==, VGPU_REFUSED_NO_PROFILE);
    g_assert_cmpstr(why, ==,
                    "there is no profile 'quater'; profiles are: full, half, quarter, eighth, sixteenth.");
    add_gpu(gpus, "0000:03:00.0", 4096);
    why_gpu = ask(gpus, NULL, 0, "half", "gpu7", &grant, &code);
    g_assert_cmpint(code, ==, VGPU_REFUSED_NO_GPU);
    g_assert_cmpstr(why_gpu, ==, "there is no GPU 'gpu7'; GPUs of this host are: gpu0, gpu1 (0000:03:00.0).");
    odd = ask(gpus, NULL, 0, "a\nb\x1b", "", &grant, &code);
    g_assert_true(g_str_has_prefix(odd, "there is no profile 'a?b?'; "));
}

static void test_choice_of_gpu(void)
{
    static const AdmissionBooking b[] = { { "a", "gpu1", 3072 * MIB, false } };
    g_autoptr(GPtrArray) gpus = one_gpu(2048);
    AdmissionGrant grant;
    enum vgpu_refusal code;

    add_gpu(gpus, "0000:03:00.0", 4096);
    g_assert_null(ask(gpus, NULL, 0, "half", "", &grant, &code)); /* most free memory */
    g_assert_cmpstr(grant.gpu->name, ==, "gpu1");
    g_assert_null(ask(gpus, b, 1, "half", "auto", &grant, &code));
    g_assert_cmpstr(grant.gpu->name, ==, "gpu0");
    g_assert_null(ask(gpus, NULL, 0, "half", "gpu0", &grant, &code));
    g_assert_cmpuint(grant.memory, ==, 1024 * MIB);
    g_assert_null(ask(gpus, NULL, 0, "half", "0000:03:00.0", &grant, &code));
    g_assert_cmpuint(grant.memory, ==, 2048 * MIB);
}

/* A group of GPUs in place of one: the one of these with most free memory. */
static void test_group(void)
{
    static const AdmissionBooking b[] = { { "a", "gpu1", 4096 * MIB, false },
                                          { "b", "gpu0", 2048 * MIB, false } };
    g_autoptr(GPtrArray) gpus = one_gpu(2048);
    AdmissionGrant grant;
    enum vgpu_refusal code;
    g_autofree char *full = NULL, *unknown = NULL;

    add_gpu(gpus, "0000:03:00.0", 4096);
    add_gpu(gpus, NULL, 8192);
    gpu_add_group(gpus->pdata[0], "small");
    gpu_add_group(gpus->pdata[1], "small");
    gpu_add_group(gpus->pdata[1], "odd");
    gpu_add_group(gpus->pdata[2], "odd");
    g_assert_null(ask(gpus, NULL, 0, "full", "small", &grant, &code));
    g_assert_cmpstr(grant.gpu->name, ==, "gpu1");
    g_assert_null(ask(gpus, b, 1, "full", "small", &grant, &code));
    g_assert_cmpstr(grant.gpu->name, ==, "gpu0");
    g_assert_null(ask(gpus, b, 1, "full", "odd", &grant, &code));
    g_assert_cmpstr(grant.gpu->name, ==, "gpu2");
    full = ask(gpus, b, 2, "sixteenth", "small", &grant, &code);
    g_assert_cmpint(code, ==, VGPU_REFUSED_FULL);
    g_assert_cmpstr(
        full, ==,
        "profile 'sixteenth' needs 128 MiB of GPU memory; 0 of 2048 MiB are free on gpu0 (b: 2048), 0 "
        "of 4096 MiB are free on gpu1 (a: 4096). No profile fits: shut down one of these VMs first.");
    unknown = ask(gpus, NULL, 0, "full", "large", &grant, &code);
    g_assert_cmpint(code, ==, VGPU_REFUSED_NO_GPU);
    g_assert_cmpstr(
        unknown, ==,
        "there is no GPU 'large'; GPUs of this host are: gpu0, gpu1 (0000:03:00.0), gpu2; groups are: "
        "small, odd.");
}

/* Software rendering has more room, and is taken only when the others have none. */
static void test_last_resort(void)
{
    static const AdmissionBooking b[] = { { "a", "gpu0", 2048 * MIB, false } };
    g_autoptr(GPtrArray) gpus = one_gpu(2048);
    Gpu *gpu = gpus->pdata[0], *software;
    AdmissionGrant grant;
    enum vgpu_refusal code;
    g_autofree char *why = NULL;

    gpu->node = g_strdup("/dev/dri/renderD128");
    gpu_add_group(gpu, "cards");
    add_gpu(gpus, NULL, 65536);
    software = gpus->pdata[1];
    g_assert_null(ask(gpus, NULL, 0, "half", "auto", &grant, &code));
    g_assert_true(grant.gpu == gpu);
    g_assert_false(grant.last_resort);
    g_assert_null(ask(gpus, b, 1, "half", "auto", &grant, &code));
    g_assert_true(grant.gpu == software);
    g_assert_true(grant.last_resort);
    g_assert_null(ask(gpus, b, 1, "half", software->name, &grant, &code)); /* asked for by name */
    g_assert_false(grant.last_resort);
    why = ask(gpus, b, 1, "half", "cards", &grant, &code); /* a group is not left */
    g_assert_cmpint(code, ==, VGPU_REFUSED_FULL);
    g_assert_nonnull(why);
}

/* A GPU whose policy is exclusive has one VM. */
static void test_exclusive_policy(void)
{
    static const AdmissionBooking b[] = { { "a", "gpu0", 512 * MIB, false } };
    g_autoptr(GPtrArray) gpus = one_gpu(8192);
    const Profile *half;
    g_autoptr(ProfileSet) set = profile_set_new();
    AdmissionGrant grant;
    enum vgpu_refusal code;
    g_autofree char *why = NULL;

    ((Gpu *)gpus->pdata[0])->policy = SCHED_EXCLUSIVE;
    half = profile_set_find(set, "sixteenth");
    g_assert_cmpuint(admission_fits(half, gpus->pdata[0], NULL, 0), ==, 1);
    why = ask(gpus, b, 1, "half", "", &grant, &code);
    g_assert_true(
        g_str_has_prefix(why, "gpu0 is for one VM at a time (policy exclusive), and VM a uses it; "));
}

static void test_exclusive(void)
{
    static const AdmissionBooking shared[] = { { "a", "gpu0", 512 * MIB, false } };
    static const AdmissionBooking alone[] = { { "b", "gpu0", 512 * MIB, true } };
    static const char text[] = "[alone]\nmemory=25%\nisolation=exclusive\n";
    g_autoptr(GPtrArray) gpus = one_gpu(8192);
    g_autoptr(ProfileSet) set = profile_set_new();
    g_autoptr(Ini) ini = ini_parse("x", text, strlen(text), NULL);
    g_autofree char *why = NULL, *why2 = NULL;
    AdmissionGrant grant;
    enum vgpu_refusal code;

    g_assert_true(profile_set_add(set, ini, NULL));
    g_assert_true(admission_decide(set, gpus, NULL, 0, "alone", "", &grant, &code, &why));
    g_assert_false(admission_decide(set, gpus, shared, 1, "alone", "", &grant, &code, &why));
    g_assert_true(g_str_has_prefix(
        why, "profile 'alone' wants gpu0 for itself (isolation=exclusive), but VM a uses it; "));
    g_assert_false(admission_decide(set, gpus, alone, 1, "sixteenth", "", &grant, &code, &why2));
    g_assert_true(g_str_has_prefix(why2, "VM b has gpu0 for itself (isolation=exclusive); "));
}

/* However many VMs with however long names: the sentence fits, its end is there. */
static void test_long_sentence(void)
{
    g_autofree char *name = g_strnfill(VGPU_VM_NAME_MAX - 1, 'v');
    g_autoptr(GPtrArray) gpus = one_gpu(8192);
    AdmissionBooking b[1000];
    AdmissionGrant grant;
    enum vgpu_refusal code;
    g_autofree char *why = NULL;

    for (unsigned i = 0; i < 1000; i++) {
        b[i] = (AdmissionBooking){ name, "gpu0", 4 * MIB, false };
    }
    why = ask(gpus, b, 1000, "full", "", &grant, &code);
    g_assert_nonnull(strstr(why, " more). Profiles that fit: half, quarter, eighth, sixteenth."));
}

static void write_file(const char *root, const char *path, const char *text)
{
    g_autofree char *full = g_build_filename(root, path, NULL);
    g_autofree char *folder = g_path_get_dirname(full);

    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    g_assert_true(g_file_set_contents(full, text, -1, NULL));
}

/* vgpud.conf of a host with several GPUs, by name and by PCI address. */
static void check_config(GPtrArray *gpus)
{
    static const char text[] = "[vgpud]\ngpus=all\n[gpu 0000:00:02.0]\nmemory=3G\n"
                               "[group fast]\ngpus = gpu0, gpu0, gpu9\n"
                               "[group any]\ngpus=0000:03:00.0;0000:00:02.0 software0\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(Ini) ini = ini_parse("c", text, strlen(text), NULL);
    g_autoptr(Config) c = config_new();

    config_add(c, ini, &error);
    g_assert_no_error(error);
    g_assert_cmpint(c->gpus, ==, GPU_KINDS_ALL);
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "[group fast]*names a GPU 'gpu9'*");
    config_apply(c, gpus);
    g_test_assert_expected_messages();
    g_assert_cmpuint(gpu_find(gpus, "gpu1")->memory, ==, 3 * GIB);
    g_assert_cmpuint(g_strv_length(gpu_find(gpus, "gpu0")->groups), ==, 2);
    g_assert_true(gpu_in_group(gpu_find(gpus, "gpu0"), "fast"));
    g_assert_false(gpu_in_group(gpu_find(gpus, "gpu1"), "fast"));
    g_assert_true(gpu_in_group(gpu_find(gpus, "gpu1"), "any"));
    g_assert_true(gpu_in_group(gpu_find(gpus, "software0"), "any"));
}

/* A host with two render nodes, the first with known memory. */
static void test_find_gpus(void)
{
    g_autofree char *root = g_dir_make_tmp("vgpu-gpu-XXXXXX", NULL);
    g_autofree char *dev = g_build_filename(root, "dev", NULL), *sys = g_build_filename(root, "sys", NULL);
    g_autofree char *link = g_build_filename(root, "sys/class/drm/renderD128/device", NULL);
    g_autofree char *link2 = g_build_filename(root, "sys/class/drm/renderD129/device", NULL);
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", root);
    g_autofree char *proc = g_build_filename(root, "proc", NULL);
    g_autoptr(GPtrArray) gpus = NULL, software = NULL, all = NULL;
    const Gpu *g;

    write_file(root, "dev/dri/renderD129", "");
    write_file(root, "dev/dri/renderD128", "");
    write_file(root, "dev/dri/card0", "");
    write_file(root, "sys/devices/pci0/0000:03:00.0/mem_info_vram_total", "17163091968\n");
    write_file(root, "sys/devices/pci0/0000:00:02.0/class", "");
    write_file(root, "sys/class/drm/renderD128/x", "");
    write_file(root, "sys/class/drm/renderD129/x", "");
    g_assert_cmpint(symlink("../../../devices/pci0/0000:03:00.0", link), ==, 0);
    g_assert_cmpint(symlink("../../../devices/pci0/0000:00:02.0", link2), ==, 0);

    gpus = gpu_find_all(dev, sys, proc, 24 * GIB, GPU_KINDS_AUTO);
    g_assert_cmpuint(gpus->len, ==, 2);
    g = gpu_find(gpus, "0000:03:00.0");
    g_assert_nonnull(g);
    g_assert_cmpstr(g->name, ==, "gpu0");
    g_assert_true(g_str_has_suffix(g->node, "/dev/dri/renderD128"));
    g_assert_cmpuint(g->memory, ==, 17163091968ull);
    g_assert_false(g->memory_guessed);
    g = gpu_find(gpus, "gpu1");
    g_assert_cmpstr(g->pci, ==, "0000:00:02.0");
    g_assert_cmpuint(g->memory, ==, 8 * GIB); /* half of 24 GiB, a power of two */
    g_assert_true(g->memory_guessed);

    software = gpu_find_all(dev, sys, proc, 24 * GIB, GPU_KINDS_SOFTWARE);
    g_assert_cmpuint(software->len, ==, 1);
    g_assert_nonnull(gpu_find(software, "software0"));
    all = gpu_find_all(dev, sys, proc, 24 * GIB, GPU_KINDS_ALL);
    g_assert_cmpuint(all->len, ==, 3);
    g_assert_cmpstr(((Gpu *)all->pdata[2])->name, ==, "software0"); /* the last */
    check_config(all);
    g_assert_cmpint(system(remove), ==, 0);
}

/* As NVIDIA's driver 580 writes it. */
static void write_nvidia(const char *root, const char *pci, unsigned minor)
{
    g_autofree char *path = g_build_filename("proc/driver/nvidia/gpus", pci, "information", NULL);
    g_autofree char *text = g_strdup_printf("Model: \t\t NVIDIA H100 80GB HBM3\n"
                                            "IRQ:   \t\t 0\n"
                                            "GPU UUID: \t GPU-4e1c2a01-1f6b-3f0c-9f4e-0123456789ab\n"
                                            "Bus Type: \t PCIe\n"
                                            "Bus Location: \t %s\n"
                                            "Device Minor: \t %u\n"
                                            "GPU Excluded:\t No\n",
                                            pci, minor);

    write_file(root, path, text);
}

/* In PATH as long as the test lasts. */
static void write_smi(const char *root, const char *script)
{
    g_autofree char *path = g_build_filename(root, "bin/nvidia-smi", NULL);

    write_file(root, "bin/nvidia-smi", script);
    g_assert_cmpint(g_chmod(path, 0755), ==, 0);
}

/* NVIDIA's driver: by its own device files, with and without render nodes beside them. */
static void test_find_nvidia(void)
{
    g_autofree char *root = g_dir_make_tmp("vgpu-gpu-XXXXXX", NULL);
    g_autofree char *dev = g_build_filename(root, "dev", NULL), *sys = g_build_filename(root, "sys", NULL);
    g_autofree char *proc = g_build_filename(root, "proc", NULL);
    g_autofree char *device = g_build_filename(root, "sys/class/drm/renderD128/device", NULL);
    g_autofree char *driver = g_build_filename(root, "sys/devices/pci0/0000:0a:00.0/driver", NULL);
    g_autofree char *bus = g_build_filename(root, "sys/bus/pci/devices/0000:0a:00.0", NULL);
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", root);
    g_autofree char *path = g_strdup(g_getenv("PATH"));
    g_autofree char *with = g_strdup_printf("%s/bin:%s", root, path);
    g_autoptr(GPtrArray) none = NULL, one = NULL, all = NULL;
    const Gpu *g;

    g_setenv("PATH", with, TRUE);
    write_smi(root, "#!/bin/sh\necho '00000000:0B:00.0, 143771'\necho '00000000:0A:00.0, 81559'\n");
    write_nvidia(root, "0000:0B:00.0", 1);
    write_nvidia(root, "0000:0a:00.0", 0);
    write_file(root, "proc/driver/nvidia/gpus/0000:0c:00.0/information", "Model: lost\n");
    write_file(root, "dev/nvidiactl", "");
    none = gpu_find_all(dev, sys, proc, 24 * GIB, GPU_KINDS_AUTO);
    g_assert_cmpuint(none->len, ==, 1); /* no device file: software, and vgpud says why */
    g_assert_null(((Gpu *)none->pdata[0])->node);

    write_file(root, "dev/nvidia0", "");
    write_file(root, "sys/devices/pci0/0000:0a:00.0/class", "");
    write_file(root, "sys/bus/pci/devices/x", "");
    write_file(root, "sys/bus/pci/drivers/nvidia/x", "");
    g_assert_cmpint(symlink("../../../devices/pci0/0000:0a:00.0", bus), ==, 0);
    g_assert_cmpint(symlink("../../../bus/pci/drivers/nvidia", driver), ==, 0);
    one = gpu_find_all(dev, sys, proc, 24 * GIB, GPU_KINDS_AUTO);
    g_assert_cmpuint(one->len, ==, 1);
    g = gpu_find(one, "0000:0a:00.0");
    g_assert_nonnull(g);
    g_assert_cmpstr(g->name, ==, "gpu0");
    g_assert_cmpstr(g->driver, ==, "nvidia");
    g_assert_true(g_str_has_suffix(g->node, "/dev/nvidia0"));
    g_assert_true(g_str_has_suffix(g->device_path, "/sys/devices/pci0/0000:0a:00.0"));
    g_assert_cmpuint(g->memory, ==, 81559 * MIB);
    g_assert_false(g->memory_guessed);

    /* its render node is the same GPU; nvidia-smi may fail */
    write_smi(root, "#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n");
    write_file(root, "dev/nvidia1", "");
    write_file(root, "dev/dri/renderD128", "");
    write_file(root, "sys/class/drm/renderD128/x", "");
    g_assert_cmpint(symlink("../../../devices/pci0/0000:0a:00.0", device), ==, 0);
    all = gpu_find_all(dev, sys, proc, 24 * GIB, GPU_KINDS_ALL);
    g_assert_cmpuint(all->len, ==, 3);
    g = all->pdata[1];
    g_assert_cmpstr(g->pci, ==, "0000:0b:00.0");
    g_assert_true(g_str_has_suffix(g->node, "/dev/nvidia1"));
    g_assert_cmpuint(g->memory, ==, 8 * GIB);
    g_assert_true(g->memory_guessed);
    g_setenv("PATH", path, TRUE);
    g_assert_cmpint(system(remove), ==, 0);
}

static void test_nvidia_node(void)
{
    g_assert_true(nvidia_is_node("/dev/nvidia0"));
    g_assert_true(nvidia_is_node("/dev/nvidia12"));
    g_assert_false(nvidia_is_node("/dev/nvidiactl"));
    g_assert_false(nvidia_is_node("/dev/nvidia-uvm"));
    g_assert_false(nvidia_is_node("/dev/dri/renderD128"));
    g_assert_false(nvidia_is_node(NULL));
}

/* Only where no memory that the VM may have is too large for it. */
static void test_udmabuf(void)
{
    g_autofree char *root = g_dir_make_tmp("vgpu-gpu-XXXXXX", NULL);
    g_autofree char *dev = g_build_filename(root, "dev", NULL), *sys = g_build_filename(root, "sys", NULL);
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", root), *found = NULL;

    g_assert_null(gpu_udmabuf(dev, sys, GIB));
    write_file(root, "sys/module/udmabuf/parameters/size_limit_mb", "1024\n");
    g_assert_null(gpu_udmabuf(dev, sys, GIB));
    write_file(root, "dev/udmabuf", "");
    found = gpu_udmabuf(dev, sys, GIB);
    g_assert_nonnull(found);
    g_assert_true(g_str_has_suffix(found, "/dev/udmabuf"));
    g_assert_null(gpu_udmabuf(dev, sys, GIB + 1));
    write_file(root, "sys/module/udmabuf/parameters/size_limit_mb", "-1\n");
    g_assert_null(gpu_udmabuf(dev, sys, GIB));
    g_assert_cmpint(system(remove), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/admission/full-gpu-sentence", test_full);
    g_test_add_func("/admission/nothing-fits", test_nothing_fits);
    g_test_add_func("/admission/to-the-last-byte", test_edge);
    g_test_add_func("/admission/overbooked", test_overbooked);
    g_test_add_func("/admission/unknown-names", test_unknown_names);
    g_test_add_func("/admission/choice-of-gpu", test_choice_of_gpu);
    g_test_add_func("/admission/group", test_group);
    g_test_add_func("/admission/last-resort", test_last_resort);
    g_test_add_func("/admission/exclusive", test_exclusive);
    g_test_add_func("/admission/exclusive-policy", test_exclusive_policy);
    g_test_add_func("/admission/long-sentence", test_long_sentence);
    g_test_add_func("/gpu/find", test_find_gpus);
    g_test_add_func("/gpu/nvidia", test_find_nvidia);
    g_test_add_func("/gpu/nvidia-node", test_nvidia_node);
    g_test_add_func("/gpu/udmabuf", test_udmabuf);
    return g_test_run();
}
