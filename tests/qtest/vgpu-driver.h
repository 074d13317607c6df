/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small virtio-gpu driver for qtests, over libqos.
 *
 * It knows virtio and virtio-gpu, and nothing of the device under test, so the
 * same code drives QEMU's own virtio-gpu-pci: what passes there shows that the
 * driver is honest.  Requests are the structs of linux/virtio_gpu.h, written
 * as they are into guest memory (little-endian hosts and guests only), so a
 * test can put anything into any field.  What a command helper does not offer
 * is done with gpu_post() on a chain of hand-made descriptors.
 *
 * The device under test may answer from another process: answers are awaited
 * by reading the used ring against the wall clock, never the virtual one,
 * which stands still under -accel qtest.
 */
#ifndef VGPU_DRIVER_H
#define VGPU_DRIVER_H

#include "libqtest.h"
#include "libqos/libqos.h"
#include "libqos/libqos-malloc.h"
#include "libqos/pci.h"
#include "libqos/virtio.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/virtio_gpu.h"
#include "standard-headers/linux/virtio_ring.h"

#define GPU_CTRL       0
#define GPU_CURSOR     1
#define GPU_QUEUES     2 /* of any virtio-gpu */
#define GPU_SUBMIT     2 /* the first submit queue, where they were taken */
#define GPU_QUEUES_MAX 10
/* The bits behind VGPU_F_EXTENSION: no stock driver takes them. */
#define GPU_EXTENSION  (0x1fffull << 51)
#define GPU_TIMEOUT_MS 20000 /* llvmpipe on a loaded host can be slow */
#define GPU_RAM        (256ull << 20)
#define GPU_NO_ANSWER  0u     /* what a command that timed out returns */
#define GPU_ANY_ERROR  0xe44u /* for gpu_expect(): any error response */
#define GPU_ANY_ANSWER 0xa11u /* for gpu_expect(): answered at all */

typedef struct GpuVm {
    QTestState *qts;
    QPCIBus *bus;
    QGuestAllocator alloc;
    char *name; /* -name, unique to this VM */
} GpuVm;

typedef struct GpuQueue {
    QVirtQueue *vq;
    uint16_t avail, used; /* free-running indices of the driver */
    uint64_t slots;       /* guest address, GPU_SLOT_SIZE per slot */
    unsigned next_slot;
} GpuQueue;

#define GPU_SLOT_SIZE (2 * 4096) /* a request page and a response page */

typedef struct Gpu {
    GpuVm *vm;
    char *id;  /* qdev id */
    bool ours; /* vgpu-pci, not QEMU's virtio-gpu-pci */
    int devfn; /* with the bus number from bit 8 up */
    QVirtioPCIDevice *pci;
    QVirtioDevice *dev;
    uint64_t offered, features; /* features: what was accepted */
    uint64_t extension;         /* of GPU_EXTENSION, what the next gpu_init() takes: none by default */
    unsigned queues;            /* of q: 2, and the submit queues where they were taken */
    GpuQueue q[GPU_QUEUES_MAX];
    uint64_t fence; /* last fence id handed out */
} Gpu;

/* One descriptor, as it stands in the ring. */
typedef struct GpuDesc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags; /* VRING_DESC_F_* */
    uint16_t next;
} GpuDesc;

/* --- VM and device --- */

/* A q35 VM with shareable RAM and this -device argument, if not NULL. */
GpuVm *vm_start(const char *device, const char *extra_args);
void vm_stop(GpuVm *vm);
uint64_t vm_alloc(GpuVm *vm, size_t size); /* zeroed, page aligned */

/* Two root ports, for vm_start(), and what firmware does to them: bus numbers and windows. */
#define VM_ROOT_PORTS                                                                                        \
    "-device pcie-root-port,id=rp0,slot=1,chassis=1 "                                                        \
    "-device pcie-root-port,id=rp1,slot=2,chassis=2"
void vm_open_root_ports(GpuVm *vm);

/* The nth virtio-gpu on the root bus, with its BAR mapped. */
Gpu *gpu_find(GpuVm *vm, const char *id, unsigned nth);
Gpu *gpu_at(GpuVm *vm, const char *id, int devfn);
/* The one behind root port n (1 up), its BARs in that port's windows. */
Gpu *gpu_behind(GpuVm *vm, const char *id, unsigned n);
void gpu_free(Gpu *g);

/* Reset, negotiate offered & (wanted but for GPU_EXTENSION, g->extension), set up both queues, DRIVER_OK. */
void gpu_init(Gpu *g, uint64_t wanted);
/* The same with MSI-X: config changes are vector 0, queue n is vector 1 + n. */
void gpu_init_msix(Gpu *g, uint64_t wanted);
void gpu_reset(Gpu *g);
/* What of g->offered that is. */
uint64_t gpu_choose_features(Gpu *g, uint64_t wanted);
bool gpu_has(Gpu *g, unsigned feature_bit); /* was it negotiated? */
uint8_t gpu_status(Gpu *g);

/* --- rings --- */

void gpu_write_desc(Gpu *g, unsigned queue, uint16_t index, const GpuDesc *desc);
/* Puts desc[0..count) at ring indices slot.. and chains them as they say. */
void gpu_post_head(Gpu *g, unsigned queue, uint16_t head); /* avail + kick */
void gpu_push_head(Gpu *g, unsigned queue, uint16_t head); /* avail, no kick */
void gpu_kick(Gpu *g, unsigned queue);
bool gpu_pop(Gpu *g, unsigned queue, uint32_t *head, uint32_t *len);
bool gpu_wait(Gpu *g, unsigned queue, uint32_t *head, uint32_t *len, int timeout_ms);

/*
 * Sends req on a queue as one out- and one in-descriptor, then any extra
 * out-descriptors between the two; returns the head.  The response is in guest
 * memory at gpu_response(head).
 */
uint16_t gpu_send(Gpu *g, unsigned queue, const void *req, size_t size, const GpuDesc *extra,
                  unsigned extra_count, uint32_t resp_size);
uint64_t gpu_response(Gpu *g, unsigned queue, uint16_t head);

/* --- commands: the response type, or GPU_NO_ANSWER --- */

uint32_t gpu_call(Gpu *g, unsigned queue, const void *req, size_t size, const GpuDesc *extra,
                  unsigned extra_count, void *resp, uint32_t resp_size);
uint32_t gpu_do(Gpu *g, const void *req, size_t size);
#define GPU_DO(g, req)        gpu_do((g), &(req), sizeof(req))
#define GPU_ASK(g, req, resp) gpu_call((g), GPU_CTRL, &(req), sizeof(req), NULL, 0, &(resp), sizeof(resp))

uint32_t gpu_display_info(Gpu *g, struct virtio_gpu_resp_display_info *info);
uint32_t gpu_edid(Gpu *g, uint32_t scanout, struct virtio_gpu_resp_edid *edid);
uint32_t gpu_capset_info(Gpu *g, uint32_t index, struct virtio_gpu_resp_capset_info *info);
uint32_t gpu_capset(Gpu *g, uint32_t id, uint32_t version, void *data, uint32_t size);

uint32_t gpu_create_2d(Gpu *g, uint32_t id, uint32_t format, uint32_t width, uint32_t height);
uint32_t gpu_unref(Gpu *g, uint32_t id);
uint32_t gpu_attach(Gpu *g, uint32_t id, uint64_t addr, uint32_t size);
uint32_t gpu_attach_entries(Gpu *g, uint32_t id, uint32_t nr_entries,
                            const struct virtio_gpu_mem_entry *entries, unsigned sent);
uint32_t gpu_detach(Gpu *g, uint32_t id);
uint32_t gpu_transfer_2d(Gpu *g, uint32_t id, uint32_t x, uint32_t y, uint32_t width, uint32_t height,
                         uint64_t offset);
uint32_t gpu_set_scanout(Gpu *g, uint32_t scanout, uint32_t id, uint32_t x, uint32_t y, uint32_t width,
                         uint32_t height);
uint32_t gpu_flush(Gpu *g, uint32_t id, uint32_t x, uint32_t y, uint32_t width, uint32_t height);

uint32_t gpu_ctx_create(Gpu *g, uint32_t ctx, const char *name);
uint32_t gpu_ctx_destroy(Gpu *g, uint32_t ctx);
uint32_t gpu_ctx_attach(Gpu *g, uint32_t ctx, uint32_t id);
uint32_t gpu_ctx_detach(Gpu *g, uint32_t ctx, uint32_t id);
uint32_t gpu_submit(Gpu *g, uint32_t ctx, const uint32_t *dwords, size_t count);
uint32_t gpu_cursor(Gpu *g, const struct virtio_gpu_update_cursor *cursor);

/* A resource of this size with backing and known pixels; returns the backing. */
uint64_t gpu_picture(Gpu *g, uint32_t id, uint32_t width, uint32_t height);

/* --- expectations --- */

const char *gpu_resp_name(uint32_t type);
void gpu_expect_at(Gpu *g, const char *file, int line, uint32_t got, uint32_t want);
#define gpu_expect(g, got, want) gpu_expect_at((g), __FILE__, __LINE__, (got), (want))
#define gpu_expect_ok(g, got)    gpu_expect((g), (got), VIRTIO_GPU_RESP_OK_NODATA)
/* What the specification leaves open: our device answers so, another as it likes. */
#define gpu_expect_ours(g, got, want) gpu_expect((g), (got), (g)->ours ? (want) : GPU_ANY_ANSWER)

/* The device answers, as it did before the test did its worst. */
void gpu_assert_alive(Gpu *g);

#endif
