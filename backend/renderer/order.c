/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "order.h"

#include <linux/virtio_gpu.h>

#include "device.h"
#include "vgpu/virtio.h"

bool order_mask_ok(uint32_t mask, unsigned queue)
{
    bool own = queue >= VHOST_QUEUE_SUBMIT && mask & 1u << (queue - VHOST_QUEUE_SUBMIT);

    return mask < 1u << VGPU_SUBMIT_QUEUES_MAX && !own;
}

static bool order_come_to(const Order *o, unsigned queue, uint32_t seq)
{
    return (int32_t)(o->ran[queue] - seq) >= 0;
}

static bool order_reached(const Order *o, uint32_t mask, const __le32 *seq)
{
    for (unsigned i = 0; mask; i++, mask >>= 1) {
        if ((mask & 1) && !order_come_to(o, VHOST_QUEUE_SUBMIT + i, seq[i])) {
            return false;
        }
    }
    return true;
}

bool order_may_run(Device *d, const Element *e)
{
    const Order *o = &d->order;
    struct virtio_gpu_ctrl_hdr hdr;
    struct vgpu_submit submit;
    struct vgpu_wait wait;

    if (e->queue == VHOST_QUEUE_CURSOR || !vhost_has_feature(d->vhost, VGPU_F_SUBMIT_QUEUES) ||
        !element_read(e, 0, &hdr, sizeof(hdr))) {
        return true;
    }
    /* What dispatch will refuse waits for nothing. */
    if (e->queue == VHOST_QUEUE_CONTROL) {
        return hdr.type != VGPU_CMD_WAIT || !element_read(e, sizeof(hdr), &wait, sizeof(wait)) ||
               !order_mask_ok(wait.wait_mask, e->queue) || order_reached(o, wait.wait_mask, wait.wait_seq);
    }
    return hdr.type != VGPU_CMD_SUBMIT || !element_read(e, sizeof(hdr), &submit, sizeof(submit)) ||
           !order_mask_ok(submit.wait_mask, e->queue) ||
           (order_come_to(o, VHOST_QUEUE_CONTROL, submit.control_seq) &&
            order_reached(o, submit.wait_mask, submit.wait_seq));
}
