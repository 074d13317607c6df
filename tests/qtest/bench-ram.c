/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "bench-ram.h"
#include "bench-figures.h"
#include "libqos/pci.h"

#include <sys/mman.h>

#define SLOT_SIZE   (RING_REQUEST_MAX + 4096) /* request, then a page for the response */
#define DESCRIPTORS 3                         /* of a slot */

uint8_t *bench_ram(GpuVm *vm)
{
    g_autofree char *dir = g_strdup_printf("/proc/%d/fd", (int)qtest_pid(vm->qts));
    g_autoptr(GDir) fds = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(fds))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_autofree char *link = g_file_read_link(path, NULL);

        if (link && strstr(link, "memory-backend-memfd")) {
            int fd = open(path, O_RDWR | O_CLOEXEC);
            void *ram = mmap(NULL, GPU_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

            g_assert_true(ram != MAP_FAILED);
            close(fd);
            return ram;
        }
    }
    g_assert_not_reached();
}

/*
 * A firmware of three instructions, cli; hlt; jmp to the hlt, at the reset
 * vector: SeaBIOS would give out PCI resources that the driver gives out too.
 */
char *bench_idle_cpu(const char *dir)
{
    static const uint8_t code[] = { 0xfa, 0xf4, 0xeb, 0xfd };
    g_autofree char *path = g_build_filename(dir, "halt.bin", NULL);
    g_autofree uint8_t *rom = g_malloc0(64 * 1024);

    memcpy(rom + 0xfff0, code, sizeof(code));
    g_assert_true(g_file_set_contents(path, (char *)rom, 64 * 1024, NULL));
    return g_strdup_printf("-accel tcg -bios %s", path);
}

void ring_open(Ring *r, Gpu *g, unsigned queue)
{
    QVirtQueue *vq = g->q[queue].vq;
    uint8_t *ram = bench_ram(g->vm);

    *r = (Ring){
        .g = g,
        .queue = queue,
        .ram = ram,
        .size = vq->size,
        .slots = MIN(vq->size / DESCRIPTORS, RING_SLOTS_MAX),
        .desc = (void *)(ram + vq->desc),
        .avail = (void *)(ram + vq->avail),
        .used = (void *)(ram + vq->used),
        .pushed = g->q[queue].avail,
        .kicked = g->q[queue].avail,
        .reaped = g->q[queue].used,
    };
    g_assert_cmpuint(r->pushed, ==, r->reaped);
    r->memory = vm_alloc(g->vm, (uint64_t)r->slots * SLOT_SIZE);
    if (g->pci->pdev->msix_enabled) {
        QVirtQueuePCI *pci = container_of(vq, QVirtQueuePCI, vq);

        r->interrupt = (void *)(ram + pci->msix_addr);
    }
}

static bool reap(Ring *r, unsigned in_flight)
{
    uint16_t used = __atomic_load_n(&r->used[1], __ATOMIC_ACQUIRE);

    for (; r->reaped != used; r->reaped++) {
        const struct vring_used_elem *e = (void *)(r->used + 2 + 4 * (r->reaped % r->size));
        unsigned slot = e->id / DESCRIPTORS;
        uint32_t type = *(uint32_t *)(r->ram + r->memory + (uint64_t)slot * SLOT_SIZE + RING_REQUEST_MAX);

        r->in_flight -= r->busy[slot];
        r->busy[slot] = false;
        r->errors += type >= VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    return r->in_flight <= in_flight;
}

static void check_time(Ring *r, int64_t start)
{
    if (bench_now_ns() - start > GPU_TIMEOUT_MS * 1000000ll) {
        fprintf(stderr, "%u requests were not answered within %d s\n", r->in_flight, GPU_TIMEOUT_MS / 1000);
        exit(1);
    }
}

void ring_wait(Ring *r, unsigned in_flight)
{
    int64_t start = bench_now_ns();

    while (!reap(r, in_flight)) {
        check_time(r, start);
        sched_yield(); /* where there are few CPUs, the device needs this one */
    }
}

static void wait_for_slot(Ring *r, unsigned slot)
{
    while (r->busy[slot]) {
        ring_wait(r, r->in_flight - 1);
    }
}

void ring_push(Ring *r, struct virtio_gpu_ctrl_hdr *header, size_t header_size, const void *payload,
               size_t payload_size, bool fenced)
{
    unsigned slot = r->pushed % r->slots, head = slot * DESCRIPTORS, n = 0;
    uint64_t request = r->memory + (uint64_t)slot * SLOT_SIZE, response = request + RING_REQUEST_MAX;

    uint64_t at = request + header_size;

    g_assert_cmpuint(payload_size, <=, RING_PAYLOAD_MAX);
    wait_for_slot(r, slot);
    if (header_size + payload_size > RING_REQUEST_MAX) {
        if (!r->big) {
            r->big = vm_alloc(r->g->vm, RING_PAYLOAD_MAX);
            r->big_slot = slot;
        }
        wait_for_slot(r, r->big_slot);
        r->big_slot = slot;
        at = r->big;
    }
    r->busy[slot] = true;
    r->in_flight++;
    header->flags = fenced ? VIRTIO_GPU_FLAG_FENCE : 0;
    header->fence_id = fenced ? ++r->fence : 0;
    memcpy(r->ram + request, header, header_size);
    r->desc[head] = (struct vring_desc){ request, header_size, VRING_DESC_F_NEXT, head + 1 };
    if (payload_size) {
        memcpy(r->ram + at, payload, payload_size);
        n = 1;
        r->desc[head + n] = (struct vring_desc){ at, payload_size, VRING_DESC_F_NEXT, head + n + 1 };
    }
    r->desc[head + n + 1] = (struct vring_desc){ response, 512, VRING_DESC_F_WRITE, 0 };
    *(uint32_t *)(r->ram + response) = 0;
    r->avail[2 + r->pushed % r->size] = head;
    r->pushed++;
}

void ring_push_submit(Ring *r, uint32_t ctx, const uint32_t *dwords, size_t count, bool fenced)
{
    struct virtio_gpu_cmd_submit req = {
        .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = ctx },
        .size = count * sizeof(*dwords),
    };

    ring_push(r, &req.hdr, sizeof(req), dwords, req.size, fenced);
}

/* virtio 1.2, 2.7.10: with event index the device says in front of which entry it sleeps. */
void ring_kick(Ring *r)
{
    uint16_t old = r->kicked, event;
    bool ring;

    __atomic_store_n(&r->avail[1], r->pushed, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    r->kicked = r->pushed;
    if (gpu_has(r->g, VIRTIO_RING_F_EVENT_IDX)) {
        event = __atomic_load_n(&r->used[2 + 4 * r->size], __ATOMIC_RELAXED);
        ring = vring_need_event(event, r->pushed, old);
    } else {
        ring = !(__atomic_load_n(&r->used[0], __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY);
    }
    if (ring) {
        r->kicks++;
        gpu_kick(r->g, r->queue);
    }
}

void ring_wait_interrupt(Ring *r, unsigned in_flight)
{
    int64_t start = bench_now_ns();

    g_assert_nonnull(r->interrupt);
    for (;;) {
        /* used_event: interrupt for the entry after the last one seen */
        r->avail[2 + r->size] = r->reaped;
        __atomic_store_n(r->interrupt, 0, __ATOMIC_SEQ_CST);
        if (reap(r, in_flight)) {
            return;
        }
        while (!__atomic_load_n(r->interrupt, __ATOMIC_ACQUIRE)) {
            check_time(r, start);
            sched_yield();
        }
    }
}

void ring_expect_ok(Ring *r)
{
    if (r->errors) {
        fprintf(stderr, "the device refused %u requests\n", r->errors);
        exit(1);
    }
}
