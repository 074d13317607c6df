/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A renderer that was taken over, as QEMU's adversary: whatever it says of host
 * memory, QEMU refuses it, says so once, shows the guest nothing, and goes on.
 */
#include "vgpu-duel.h"
#include "vgpu-cases.h"
#include "vgpu-qmp.h"
#include "vgpu-window.h"

#include <sys/mman.h>
#include <sys/socket.h>

#define MIB (1024ull * 1024)

/* The same with a renderer that keeps to the contract: so the others fail for what they say. */
static void honest(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);

    g_assert_cmpuint(fake_window(d->fake), ==, DUEL_WINDOW);
    duel_map_well(d, 0, PAGE);
    duel_map_well(d, DUEL_WINDOW - 2 * MIB, 2 * MIB);
    g_assert_true(duel_send_unmap(d, 0, PAGE));
    duel_expect_done(d, VGPU_BLOB_OK);
    g_assert_true(duel_send_unmap(d, 0, PAGE));
    duel_expect_done(d, VGPU_BLOB_NOT_MAPPED);
    g_assert_true(duel_send_unmap(d, DUEL_WINDOW - 2 * MIB, 2 * MIB));
    duel_expect_done(d, VGPU_BLOB_OK);
    duel_expect_empty(d);
    g_assert_cmpuint(duel_count_in_log(d, "vgpu:"), ==, 0);
    duel_free(d);
}

static void no_blobs_no_window(Gpu *none)
{
    Duel *d = duel_new(1ull << VIRTIO_GPU_F_EDID, NULL);

    g_assert_false(gpu_has(d->gpu, VIRTIO_GPU_F_RESOURCE_BLOB));
    g_assert_cmpuint(window_capability(d->gpu), ==, 0);
    g_assert_cmpuint(fake_window(d->fake), ==, 0);
    /* and a later renderer that has some brings none */
    fake_set_options(d->fake, (FakeOptions){ .features = DUEL_FEATURES, .hostmem = 512 * MIB });
    fake_send_bytes(d->fake, "nonsense, and enough of it", 24, NULL, 0);
    g_assert_true(fake_hung_up(d->fake, FAKE_SOON_MS));
    duel_next_renderer(d);
    g_assert_false(gpu_has(d->gpu, VIRTIO_GPU_F_RESOURCE_BLOB));
    g_assert_cmpuint(fake_window(d->fake), ==, 0);
    duel_free(d);
}

/* The window is as large as on the first day, whatever a later vgpud says. */
static void window_is_kept(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);

    fake_set_options(d->fake, (FakeOptions){ .features = DUEL_FEATURES, .hostmem = 4096 * MIB });
    fake_send_bytes(d->fake, "nonsense, and enough of it", 24, NULL, 0);
    duel_expect_refused(d, "nonsense");
    duel_next_renderer(d);
    g_assert_cmpuint(fake_window(d->fake), ==, DUEL_WINDOW);
    duel_map_well(d, DUEL_WINDOW - PAGE, PAGE);
    duel_free(d);
}

static void wrong_descriptors(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    enum { SEALED = F_SEAL_SHRINK };
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "file", NULL);
    const char *what;
    unsigned kind;

    for (kind = 0;; kind++) {
        struct vgpu_channel_blob_map m = duel_map_of(d, 2 * MIB, 4 * PAGE);
        int fd, pair[2];

        switch (kind) {
        case 0:
            what = "a memfd that can shrink";
            fd = duel_memory(4 * PAGE, 0);
            break;
        case 1:
            what = "a memfd that can shrink and not grow";
            fd = duel_memory(4 * PAGE, F_SEAL_GROW);
            break;
        case 2:
            what = "a file";
            fd = open(path, O_RDWR | O_CREAT, 0600);
            g_assert_cmpint(ftruncate(fd, MIB), ==, 0);
            break;
        case 3:
            what = "a device";
            fd = open("/dev/zero", O_RDWR);
            break;
        case 4:
            what = "a folder";
            fd = open("/", O_RDONLY | O_DIRECTORY);
            break;
        case 5:
            what = "a path";
            fd = open(path, O_PATH);
            break;
        case 6:
            what = "a socket";
            g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
            fd = pair[0];
            close(pair[1]);
            break;
        case 7:
            what = "a pipe";
            g_assert_cmpint(pipe(pair), ==, 0);
            fd = pair[0];
            close(pair[1]);
            break;
        case 8:
            what = "huge pages";
            fd = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
            if (fd < 0 || ftruncate(fd, 2 * MIB) < 0 || fcntl(fd, F_ADD_SEALS, SEALED) < 0) {
                g_test_message("not tried: %s", what);
                continue;
            }
            m.size = 2 * MIB;
            break;
        case 9:
            what = "a memfd that is a page too short";
            fd = duel_memory(3 * PAGE, SEALED);
            break;
        case 10:
            what = "a memfd that is a page and a byte too short";
            fd = memfd_create("short", MFD_ALLOW_SEALING);
            g_assert_cmpint(ftruncate(fd, 3 * PAGE - 1), ==, 0);
            g_assert_cmpint(fcntl(fd, F_ADD_SEALS, SEALED), ==, 0);
            break;
        case 11:
            what = "an empty memfd";
            fd = duel_memory(0, SEALED);
            break;
        case 12:
            what = "an offset past the end";
            fd = duel_memory(4 * PAGE, SEALED);
            m.fd_offset = PAGE;
            break;
        case 13:
            what = "an offset that wraps";
            fd = duel_memory(4 * PAGE, SEALED);
            m.fd_offset = ~(uint64_t)(4 * PAGE) + 1;
            break;
        case 14:
            what = "an offset in a page";
            fd = duel_memory(8 * PAGE, SEALED);
            m.fd_offset = 512;
            break;
        case 15:
            what = "none";
            fd = -1;
            break;
        default:
            duel_free(d);
            return;
        }
        g_assert_true(duel_send_map(d, &m, fd));
        close(fd);
        duel_expect_refused(d, what);
        duel_next_renderer(d);
        duel_map_well(d, 0, 4 * PAGE);
    }
}

/* A page that a file ends in is there in whole: lavapipe's memory is such files. */
static void last_page_in_part(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    struct vgpu_channel_blob_map m = duel_map_of(d, 0, 4 * PAGE);
    int fd = memfd_create("short", MFD_ALLOW_SEALING);
    uint32_t word = DUEL_MARK;

    g_assert_cmpint(ftruncate(fd, 3 * PAGE + 4), ==, 0);
    g_assert_cmpint(pwrite(fd, &word, 4, 3 * PAGE), ==, 4);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
    g_assert_true(duel_send_map(d, &m, fd));
    close(fd);
    duel_expect_done(d, VGPU_BLOB_OK);
    g_assert_cmphex(duel_word(d, 3 * PAGE), ==, DUEL_MARK);
    g_assert_cmphex(duel_word(d, 4 * PAGE - 4), ==, 0);
    duel_free(d);
}

/* Memory that is all right but that the host will not map so: an answer, not the end. */
static void cannot_be_mapped(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    struct vgpu_channel_blob_map m;
    int fd = duel_memory(PAGE, F_SEAL_SHRINK | F_SEAL_WRITE), sealed = duel_memory(PAGE, F_SEAL_SHRINK);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", sealed);
    int read_only = open(path, O_RDONLY);

    duel_map_well(d, 7 * PAGE, PAGE);
    m = duel_map_of(d, 8 * PAGE, PAGE);
    g_assert_true(duel_send_map(d, &m, fd));
    duel_expect_done(d, VGPU_BLOB_NO_MEMORY);
    m.serial = ++d->serial;
    g_assert_true(duel_send_map(d, &m, read_only));
    duel_expect_done(d, VGPU_BLOB_NO_MEMORY);
    g_assert_cmphex(duel_word(d, 7 * PAGE), ==, DUEL_MARK);
    g_assert_cmphex(duel_word(d, 8 * PAGE), ==, 0);
    /* nothing of it is left in the way */
    duel_map_well(d, 8 * PAGE, PAGE);
    close(fd);
    close(sealed);
    close(read_only);
    duel_free(d);
}

static void wrong_fields(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    const struct {
        const char *what;
        uint64_t offset, size;
        uint32_t flags;
    } bad[] = {
        { "an offset in a page", 1, PAGE, 1 },
        { "no bytes", 0, 0, 1 },
        { "part of a page", 0, PAGE - 1, 1 },
        { "from the end on", DUEL_WINDOW, PAGE, 1 },
        { "over the end", DUEL_WINDOW - PAGE, 2 * PAGE, 1 },
        { "far away", 1ull << 62, PAGE, 1 },
        { "around the end of numbers", ~(uint64_t)PAGE + 1, 2 * PAGE, 1 },
        { "all numbers", 0, ~(uint64_t)PAGE + 1, 1 },
        { "over what is mapped", 16 * PAGE, PAGE, 1 },
        { "its end over what is mapped", 14 * PAGE, 3 * PAGE, 1 },
        { "all around what is mapped", 0, 32 * PAGE, 1 },
        { "no flag", 0, PAGE, 0 },
        { "another flag", 0, PAGE, 2 },
        { "a flag too many", 0, PAGE, 3 },
    };
    int fd = duel_memory(32 * PAGE, F_SEAL_SHRINK);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct vgpu_channel_blob_map m;

        duel_map_well(d, 16 * PAGE, 2 * PAGE);
        m = duel_map_of(d, bad[i].offset, bad[i].size);
        m.flags = bad[i].flags;
        g_assert_true(duel_send_map(d, &m, fd));
        duel_expect_refused(d, bad[i].what);
        duel_next_renderer(d);
    }
    close(fd);
    duel_free(d);
}

static void wrong_unmaps(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    const struct {
        const char *what;
        uint64_t offset, size;
        uint32_t pad;
    } bad[] = {
        { "half of it", 16 * PAGE, PAGE, 0 },
        { "its other half", 17 * PAGE, PAGE, 0 },
        { "more than it", 16 * PAGE, 3 * PAGE, 0 },
        { "what begins before it", 15 * PAGE, 3 * PAGE, 0 },
        { "in a page", 1, PAGE, 0 },
        { "no bytes", 0, 0, 0 },
        { "past the end", DUEL_WINDOW, PAGE, 0 },
        { "all numbers", 0, ~(uint64_t)PAGE + 1, 0 },
        { "a pad", 16 * PAGE, 2 * PAGE, 1 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct vgpu_channel_blob_unmap m = { .offset = bad[i].offset,
                                             .size = bad[i].size,
                                             .pad = bad[i].pad };

        duel_map_well(d, 16 * PAGE, 2 * PAGE);
        m.generation = fake_generation(d->fake);
        g_assert_true(fake_send(d->fake, VGPU_CHANNEL_BLOB_UNMAP, &m, sizeof(m), -1));
        duel_expect_refused(d, bad[i].what);
        duel_next_renderer(d);
    }
    duel_free(d);
}

/* Of before a reset, or of no time at all: no map, no answer, whatever else it says. */
static void wrong_generation(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    uint32_t now = fake_generation(d->fake);
    const uint32_t wrong[] = { 0, now - 1, now + 1, UINT32_MAX };
    int fd = duel_memory(PAGE, F_SEAL_SHRINK);
    unsigned i;

    g_assert_cmpuint(now, >, 1);
    duel_map_well(d, 0, PAGE);
    for (i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct vgpu_channel_blob_map m = duel_map_of(d, 8 * PAGE, PAGE);
        struct vgpu_channel_blob_unmap u = { .size = PAGE, .generation = wrong[i] };

        m.generation = wrong[i];
        g_assert_true(duel_send_map(d, &m, fd));
        g_assert_true(fake_send(d->fake, VGPU_CHANNEL_BLOB_UNMAP, &u, sizeof(u), -1));
        m.offset = 1;
        g_assert_true(duel_send_map(d, &m, fd));
    }
    duel_map_well(d, 16 * PAGE, PAGE); /* and this is the first that is answered */
    g_assert_cmphex(duel_word(d, 0), ==, DUEL_MARK);
    g_assert_cmphex(duel_word(d, 8 * PAGE), ==, 0);
    /* maps of before a reset are gone when the guest comes back */
    gpu_reset(d->gpu);
    duel_expect_empty(d);
    gpu_init(d->gpu, UINT64_MAX);
    fake_drain(d->fake);
    g_assert_cmpuint(fake_generation(d->fake), >, now);
    duel_map_well(d, 0, PAGE);
    close(fd);
    duel_free(d);
}

/* As many as the contract has, and one more. */
static void too_many(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    int fd = duel_memory(PAGE, F_SEAL_SHRINK);
    struct vgpu_channel_blob_map m;
    unsigned i;

    for (i = 0; i < VGPU_CHANNEL_BLOB_MAPS; i++) {
        m = duel_map_of(d, 2ull * i * PAGE % DUEL_WINDOW + (2ull * i * PAGE >= DUEL_WINDOW ? PAGE : 0), PAGE);
        g_assert_true(duel_send_map(d, &m, fd));
        duel_expect_done(d, VGPU_BLOB_OK);
    }
    g_assert_cmphex(duel_word(d, 2 * PAGE), ==, DUEL_MARK);
    qmp_timed(d->vm, DUEL_QMP_MS, DUEL_QUERY);
    /* one goes, another comes */
    g_assert_true(duel_send_unmap(d, 0, PAGE));
    duel_expect_done(d, VGPU_BLOB_OK);
    g_assert_cmphex(duel_word(d, 0), ==, 0);
    duel_map_well(d, 0, PAGE);
    m = duel_map_of(d, DUEL_WINDOW - PAGE, PAGE);
    g_assert_true(duel_send_map(d, &m, fd));
    duel_expect_refused(d, "one more than there may be");
    close(fd);
    duel_free(d);
}

/* --- how it may say it --- */

static void half_messages(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    int fd = duel_memory(PAGE, F_SEAL_SHRINK), two[2] = { fd, fd };
    struct {
        struct vgpu_channel_hdr hdr;
        struct vgpu_channel_blob_map m;
    } QEMU_PACKED whole = { .hdr = { VGPU_CHANNEL_BLOB_MAP, 0, sizeof(whole.m) } };
    const uint8_t *bytes = (const uint8_t *)&whole;
    size_t i;

    /* byte by byte, with time for other things in between */
    whole.m = duel_map_of(d, 0, PAGE);
    for (i = 0; i < sizeof(whole); i++) {
        g_assert_true(fake_send_bytes(d->fake, bytes + i, 1, &fd, i == 0));
        if (i % 10 == 0) {
            qmp_timed(d->vm, DUEL_QMP_MS, DUEL_QUERY);
            g_assert_cmphex(duel_word(d, 0), ==, 0);
        }
    }
    duel_expect_done(d, VGPU_BLOB_OK);
    g_assert_cmphex(duel_word(d, 0), ==, DUEL_MARK);

    whole.m = duel_map_of(d, 8 * PAGE, PAGE);
    g_assert_true(fake_send_bytes(d->fake, bytes, 20, &fd, 1));
    g_assert_true(fake_send_bytes(d->fake, bytes + 20, 1, &fd, 1));
    duel_expect_refused(d, "a second descriptor in the middle");
    duel_next_renderer(d);

    g_assert_true(fake_send_bytes(d->fake, bytes, sizeof(whole), two, 2));
    duel_expect_refused(d, "two descriptors at once");
    duel_next_renderer(d);

    g_assert_true(fake_send_bytes(d->fake, bytes, 8, NULL, 0));
    g_usleep(100000); /* both at once look as if it belonged to the first */
    g_assert_true(fake_send_bytes(d->fake, bytes + 8, sizeof(whole) - 8, &fd, 1));
    duel_expect_refused(d, "a descriptor that comes late");
    duel_next_renderer(d);

    whole.hdr.size--;
    g_assert_true(fake_send_bytes(d->fake, bytes, sizeof(whole), &fd, 1));
    duel_expect_refused(d, "a byte too few");
    duel_next_renderer(d);

    whole.hdr.size = UINT32_MAX;
    g_assert_true(fake_send_bytes(d->fake, bytes, sizeof(whole), &fd, 1));
    duel_expect_refused(d, "more bytes than there can be");
    duel_next_renderer(d);

    /* half of one and then nothing: QEMU waits for the rest, and for nothing else */
    g_assert_true(fake_send_bytes(d->fake, bytes, 8, &fd, 1));
    for (i = 0; i < 5; i++) {
        qmp_timed(d->vm, DUEL_QMP_MS, "{ 'execute': 'stop' }");
        qmp_timed(d->vm, DUEL_QMP_MS, "{ 'execute': 'cont' }");
    }
    close(fd);
    duel_free(d);
}

/* A renderer that does nothing but talk. */
typedef struct Talker {
    Duel *duel;
    int fd;
    uint64_t size;
    gint end;
    uint64_t said;
} Talker;

static gpointer talk(gpointer opaque)
{
    Talker *t = opaque;
    struct vgpu_channel_blob_done done;

    while (!g_atomic_int_get(&t->end)) {
        for (unsigned i = 0; i < 16; i++) {
            struct vgpu_channel_blob_map m = duel_map_of(t->duel, 0, t->size);

            if (!duel_send_map(t->duel, &m, t->fd) || !duel_send_unmap(t->duel, 0, t->size)) {
                return NULL;
            }
        }
        for (unsigned i = 0; i < 32; i++) {
            if (!fake_receive(t->duel->fake, VGPU_CHANNEL_BLOB_DONE, &done, sizeof(done), FAKE_SOON_MS)) {
                return NULL;
            }
        }
        t->said += 32;
    }
    return t;
}

static void flood_of(uint64_t size)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    Talker t = { .duel = d, .fd = duel_memory(size, F_SEAL_SHRINK), .size = size };
    int64_t worst = 0, start = g_get_monotonic_time(), end = start + 3 * G_USEC_PER_SEC;
    GThread *thread = g_thread_new("talker", talk, &t);

    while (g_get_monotonic_time() < end) {
        int64_t asked = g_get_monotonic_time();

        qtest_qmp_assert_success(d->vm->qts, DUEL_QUERY);
        worst = MAX(worst, g_get_monotonic_time() - asked);
        duel_word(d, DUEL_WINDOW / 2);
    }
    g_atomic_int_set(&t.end, 1);
    g_assert_nonnull(g_thread_join(thread));
    g_test_message("%" PRIu64 " maps and unmaps of %" PRIu64 " KiB; query-status took up to %" PRId64 " us",
                   t.said, size / 1024, worst);
    g_assert_cmpint(worst, <, DUEL_QMP_MS * 1000);
    g_assert_cmpuint(t.said, >, 1000);
    duel_expect_empty(d);
    g_assert_cmpuint(duel_count_in_log(d, "vgpu:"), ==, 0);
    close(t.fd);
    duel_free(d);
}

static void flood(Gpu *none)
{
    flood_of(PAGE);
}

static void flood_of_large_maps(Gpu *none)
{
    flood_of(DUEL_WINDOW);
}

/* One that does not listen to the answers is not waited for. */
static void flood_unread(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    unsigned said = 0;

    while (said < 100000 && duel_send_unmap(d, 0, PAGE)) {
        said++;
        if (said % 1000 == 0) {
            qmp_timed(d->vm, DUEL_QMP_MS, DUEL_QUERY);
        }
    }
    g_test_message("%u orders before QEMU had enough", said);
    g_assert_cmpuint(said, <, 100000);
    duel_expect_refused(d, "a renderer that does not read its answers");
    duel_next_renderer(d);
    duel_map_well(d, 0, PAGE);
    duel_free(d);
}

/* Memory that is mapped cannot be taken away: reading it is never a SIGBUS. */
static void cannot_shrink(Gpu *none)
{
    Duel *d = duel_new(DUEL_FEATURES, NULL);
    struct vgpu_channel_blob_map m = duel_map_of(d, 0, 4 * PAGE);
    int fd = duel_memory(4 * PAGE, F_SEAL_SHRINK);

    g_assert_true(duel_send_map(d, &m, fd));
    duel_expect_done(d, VGPU_BLOB_OK);
    g_assert_cmpint(ftruncate(fd, 0), ==, -1);
    /* what can be done is to punch holes: zeros */
    g_assert_cmpint(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4 * PAGE), ==, 0);
    g_assert_cmphex(duel_word(d, 3 * PAGE), ==, 0);
    close(fd);
    duel_free(d);
}

/* Other vhost-user devices of the VM hear of RAM, and of nothing that is in a window. */
static void not_announced(Gpu *none)
{
    Fake *fake[2];
    g_autofree char *args[2] = {};
    struct vgpu_channel_blob_map m = { .size = PAGE, .flags = VGPU_BLOB_MAP_RW };
    struct vgpu_channel_blob_done done;
    int fd = duel_memory(PAGE, F_SEAL_SHRINK);
    uint64_t base[2], end;
    Gpu *gpu[2];
    GpuVm *vm;
    unsigned i;

    for (i = 0; i < 2; i++) {
        fake[i] = fake_new((FakeOptions){
            .features = DUEL_FEATURES, .hostmem = 256 * MIB, .socket = i ? "other.sock" : NULL });
        args[i] =
            g_strdup_printf("%svgpu-pci,id=gpu%u,socket=%s", i ? "-device " : "", i, fake_socket(fake[i]));
    }
    vm = vm_start(args[0], args[1]);
    for (i = 0; i < 2; i++) {
        fake_wait_renderer(fake[i], 1);
        gpu[i] = gpu_find(vm, i ? "gpu1" : "gpu0", i);
        gpu_init(gpu[i], UINT64_MAX);
        g_assert_cmpuint(window_open(gpu[i], &base[i]), ==, 256 * MIB);
        fake_drain(fake[i]);
        m.generation = fake_generation(fake[i]);
        g_assert_true(fake_send(fake[i], VGPU_CHANNEL_BLOB_MAP, &m, sizeof(m), fd));
        g_assert_true(fake_receive(fake[i], VGPU_CHANNEL_BLOB_DONE, &done, sizeof(done), FAKE_SOON_MS));
        g_assert_cmphex(qtest_readl(vm->qts, base[i]), ==, DUEL_MARK);
    }
    /* whoever starts now is told of all that there is */
    for (i = 0; i < 2; i++) {
        gpu_init(gpu[i], UINT64_MAX);
        gpu_init(gpu[!i], UINT64_MAX);
    }
    for (i = 0; i < 2; i++) {
        g_assert_cmpuint(fake_memory(fake[i], &end), <=, GPU_RAM);
        g_assert_cmpuint(fake_memory(fake[i], &end), >, GPU_RAM / 2);
        g_assert_cmphex(end, <=, GPU_RAM);
    }
    for (i = 0; i < 2; i++) {
        gpu_free(gpu[i]);
    }
    vm_stop(vm);
    for (i = 0; i < 2; i++) {
        fake_free(fake[i]);
    }
    close(fd);
}

#define OURS CASE_OURS | CASE_RAW

const GpuCase cases_hostile[] = {
    { "hostile/honest", honest, OURS },
    { "hostile/no-blobs-no-window", no_blobs_no_window, OURS },
    { "hostile/window-is-kept", window_is_kept, OURS },
    { "hostile/wrong-descriptors", wrong_descriptors, OURS },
    { "hostile/last-page-in-part", last_page_in_part, OURS },
    { "hostile/cannot-be-mapped", cannot_be_mapped, OURS },
    { "hostile/wrong-fields", wrong_fields, OURS },
    { "hostile/wrong-unmaps", wrong_unmaps, OURS },
    { "hostile/wrong-generation", wrong_generation, OURS },
    { "hostile/too-many", too_many, OURS },
    { "hostile/half-messages", half_messages, OURS },
    { "hostile/flood", flood, OURS },
    { "hostile/flood-of-large-maps", flood_of_large_maps, OURS },
    { "hostile/flood-unread", flood_unread, OURS },
    { "hostile/cannot-shrink", cannot_shrink, OURS },
    { "hostile/not-announced", not_announced, OURS },
    { NULL },
};
