/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who gets a slice, and the sentence for who does not. */
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admission.h"
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

/* A host with two render nodes, the first with known memory. */
static void test_find_gpus(void)
{
    g_autofree char *root = g_dir_make_tmp("vgpu-gpu-XXXXXX", NULL);
    g_autofree char *dev = g_build_filename(root, "dev", NULL), *sys = g_build_filename(root, "sys", NULL);
    g_autofree char *link = g_build_filename(root, "sys/class/drm/renderD128/device", NULL);
    g_autofree char *link2 = g_build_filename(root, "sys/class/drm/renderD129/device", NULL);
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", root);
    g_autoptr(GPtrArray) gpus = NULL, software = NULL;
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

    gpus = gpu_find_all(dev, sys, 24 * GIB, false);
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

    software = gpu_find_all(dev, sys, 24 * GIB, true);
    g_assert_cmpuint(software->len, ==, 1);
    g_assert_nonnull(gpu_find(software, "software0"));
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
    g_test_add_func("/admission/exclusive", test_exclusive);
    g_test_add_func("/admission/long-sentence", test_long_sentence);
    g_test_add_func("/gpu/find", test_find_gpus);
    return g_test_run();
}
