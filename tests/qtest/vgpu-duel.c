/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vgpu-duel.h"
#include "vgpu-qmp.h"
#include "vgpu-window.h"

#include <sys/mman.h>

#define MIB (1024ull * 1024)

static void duel_driver(Duel *d)
{
    if (d->gpu) {
        gpu_free(d->gpu);
    }
    d->gpu = gpu_find(d->vm, "gpu0", 0);
    gpu_init(d->gpu, UINT64_MAX);
    if (window_capability(d->gpu)) {
        g_assert_cmpuint(window_open(d->gpu, &d->base), ==, DUEL_WINDOW);
    }
    fake_drain(d->fake);
}

Duel *duel_new(uint64_t features, const char *args)
{
    Duel *d = g_new0(Duel, 1);
    g_autofree char *device = NULL, *redirect = NULL;

    d->fake = fake_new((FakeOptions){ .features = features, .hostmem = 512 * MIB });
    d->log = g_build_filename(g_get_tmp_dir(), "qemu.log", NULL);
    device = g_strdup_printf("vgpu-pci,id=gpu0,hostmem=64M,x-revive=off,socket=%s", fake_socket(d->fake));
    redirect = g_strdup_printf("%s 2> %s", args ?: "", d->log);
    d->vm = vm_start(device, redirect);
    fake_wait_renderer(d->fake, ++d->renderers);
    duel_driver(d);
    return d;
}

void duel_free(Duel *d)
{
    qmp_timed(d->vm, DUEL_QMP_MS, DUEL_QUERY);
    gpu_free(d->gpu);
    vm_stop(d->vm);
    fake_free(d->fake);
    g_free(d->log);
    g_free(d);
}

uint32_t duel_word(Duel *d, uint64_t offset)
{
    return qtest_readl(d->vm->qts, d->base + offset);
}

void duel_expect_empty(Duel *d)
{
    for (uint64_t at = 0; at < DUEL_WINDOW; at += DUEL_WINDOW / 64) {
        g_assert_cmphex(duel_word(d, at), ==, 0);
        g_assert_cmphex(duel_word(d, at + PAGE), ==, 0);
    }
    g_assert_cmphex(duel_word(d, DUEL_WINDOW - 4), ==, 0);
}

unsigned duel_count_in_log(Duel *d, const char *what)
{
    g_autofree char *text = NULL;
    unsigned n = 0;

    g_assert_true(g_file_get_contents(d->log, &text, NULL, NULL));
    for (const char *p = text; (p = strstr(p, what)); p++) {
        n++;
    }
    return n;
}

void duel_expect_refused(Duel *d, const char *what)
{
    g_test_message("to be refused: %s", what);
    g_assert_true(fake_hung_up(d->fake, FAKE_SOON_MS));
    qmp_wait_state(d->gpu, "lost", FAKE_SOON_MS);
    qmp_timed(d->vm, DUEL_QMP_MS, DUEL_QUERY);
    duel_expect_empty(d);
    d->losses++;
    g_assert_cmpuint(duel_count_in_log(d, "lost its renderer"), ==, d->losses);
    g_assert_cmpuint(duel_count_in_log(d, "vgpu:"), ==, d->losses);
}

void duel_next_renderer(Duel *d)
{
    qtest_qmp_assert_success(d->vm->qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(d->vm->qts, "RESET");
    fake_wait_renderer(d->fake, ++d->renderers);
    qmp_wait_state(d->gpu, "running", FAKE_SOON_MS);
    duel_driver(d);
}

int duel_memory(uint64_t size, int seals)
{
    int fd = memfd_create("fake-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const uint32_t mark = DUEL_MARK;

    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    for (uint64_t at = 0; at < size; at += PAGE) {
        g_assert_cmpint(pwrite(fd, &mark, sizeof(mark), at), ==, sizeof(mark));
    }
    if (seals) {
        g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
    }
    return fd;
}

struct vgpu_channel_blob_map duel_map_of(Duel *d, uint64_t offset, uint64_t size)
{
    return (struct vgpu_channel_blob_map){
        .serial = ++d->serial,
        .offset = offset,
        .size = size,
        .generation = fake_generation(d->fake),
        .flags = VGPU_BLOB_MAP_RW,
    };
}

bool duel_send_map(Duel *d, const struct vgpu_channel_blob_map *m, int fd)
{
    return fake_send(d->fake, VGPU_CHANNEL_BLOB_MAP, m, sizeof(*m), fd);
}

bool duel_send_unmap(Duel *d, uint64_t offset, uint64_t size)
{
    struct vgpu_channel_blob_unmap m = {
        .serial = ++d->serial, .offset = offset, .size = size, .generation = fake_generation(d->fake)
    };

    return fake_send(d->fake, VGPU_CHANNEL_BLOB_UNMAP, &m, sizeof(m), -1);
}

void duel_expect_done(Duel *d, uint32_t status)
{
    struct vgpu_channel_blob_done done;

    g_assert_true(fake_receive(d->fake, VGPU_CHANNEL_BLOB_DONE, &done, sizeof(done), FAKE_SOON_MS));
    g_assert_cmpuint(done.serial, ==, d->serial);
    g_assert_cmpuint(done.status, ==, status);
    g_assert_cmpuint(done.pad, ==, 0);
}

void duel_map_well(Duel *d, uint64_t offset, uint64_t size)
{
    struct vgpu_channel_blob_map m = duel_map_of(d, offset, size);
    int fd = duel_memory(size, F_SEAL_SHRINK);

    g_assert_true(duel_send_map(d, &m, fd));
    close(fd);
    duel_expect_done(d, VGPU_BLOB_OK);
    g_assert_cmphex(duel_word(d, offset), ==, DUEL_MARK);
    g_assert_cmphex(duel_word(d, offset + size - PAGE), ==, DUEL_MARK);
}
