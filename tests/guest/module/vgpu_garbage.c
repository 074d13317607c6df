// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Test only, and no part of the product: a driver that is the guest's worst
 * one.
 *
 * It takes the virtio-gpu device (the test has unbound the guest's own driver),
 * lets virtio's core make two virtqueues, and then writes into their memory
 * behind its back: random bytes in descriptors, in the available and used
 * rings, chains that loop, tables within tables, lengths and addresses at the
 * edges of everything, commands that are right but for some bytes, and changes
 * to all of that while the device reads it.  When the device says NEEDS_RESET,
 * or after some rounds, it is reset and given new queues.
 *
 * The guest has to outlive this, as its own driver comes back in the end: what
 * the device may write goes to memory of ours (the pen) or to where no memory
 * is, unless the address is 64 random bits.  What it reads may be anywhere.
 *
 * seed= makes a run again; rounds= ends one.  What was done is printed.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_gpu.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <linux/vmalloc.h>

#define QUEUES 2
#define PEN_ORDER 8 /* pages: 1 MiB */
#define PEN_SIZE (PAGE_SIZE << PEN_ORDER)
#define ROUNDS_MAX 24 /* with one set of queues */

static uint seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "of all that is random");
static uint rounds = 1000;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "until it has done enough");

struct garbage {
	struct virtio_device *vdev;
	struct virtqueue *vq[QUEUES];
	struct rnd_state rnd;
	struct task_struct *task;
	u8 *pen;
	u64 pen_at;
	uint done, resets, broken, answered;
	bool over;
};

static u32 any(struct garbage *g)
{
	return prandom_u32_state(&g->rnd);
}

static u32 below(struct garbage *g, u32 n)
{
	return any(g) % n;
}

static bool chance(struct garbage *g, uint percent)
{
	return below(g, 100) < percent;
}

static u64 any64(struct garbage *g)
{
	return (u64)any(g) << 32 | any(g);
}

/* Where no memory is, or not enough of it: nobody can write there. */
static u64 nowhere(struct garbage *g)
{
	switch (below(g, 6)) {
	case 0:
		return U64_MAX - below(g, 64);
	case 1:
		return 0xfee00000ull +
		       below(g, 4096); /* the interrupt controller */
	case 2:
		return 0xe0000000ull + below(g, 1 << 24); /* PCI */
	case 3:
		return 1ull << (40 + below(g, 24));
	case 4:
		return 1ull << 63;
	default:
		return any64(g) | 1ull << 62;
	}
}

static u64 address(struct garbage *g, bool writable)
{
	u32 r = below(g, 10);

	if (r < 6)
		return g->pen_at + below(g, PEN_SIZE);
	if (r < 8)
		return nowhere(g);
	return writable ? any64(g) | 1ull << 61 : any(g);
}

static u32 length(struct garbage *g)
{
	switch (below(g, 8)) {
	case 0:
		return 0;
	case 1:
		return U32_MAX - below(g, 16);
	case 2:
		return any(g);
	case 3:
		return 1 << below(g, 31);
	default:
		return below(g, 512);
	}
}

static void write_desc(struct garbage *g, struct vring_desc *d, u32 count)
{
	u16 flags = any(g) & (chance(g, 80) ? 3 : 7);
	bool writable = flags & VRING_DESC_F_WRITE;
	u64 addr = address(g, writable);

	/* what may be written stays in the pen, whole */
	u32 len = length(g);

	if (writable && addr >= g->pen_at && addr < g->pen_at + PEN_SIZE)
		len = min_t(u64, len, g->pen_at + PEN_SIZE - addr);
	/* a table of descriptors is one of ours, or is none */
	if (flags & VRING_DESC_F_INDIRECT)
		addr = chance(g, 70) ? g->pen_at + (below(g, PEN_SIZE) & ~15u) :
				       nowhere(g);
	WRITE_ONCE(d->addr, cpu_to_le64(addr));
	WRITE_ONCE(d->len, cpu_to_le32(len));
	WRITE_ONCE(d->flags, cpu_to_le16(flags));
	WRITE_ONCE(d->next,
		   cpu_to_le16(chance(g, 80) ? below(g, count) : any(g)));
}

static const u32 commands[] = {
	VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
	VIRTIO_GPU_CMD_RESOURCE_UNREF,
	VIRTIO_GPU_CMD_SET_SCANOUT,
	VIRTIO_GPU_CMD_RESOURCE_FLUSH,
	VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
	VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
	VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
	VIRTIO_GPU_CMD_GET_CAPSET_INFO,
	VIRTIO_GPU_CMD_GET_CAPSET,
	VIRTIO_GPU_CMD_GET_EDID,
	VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
	VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
	VIRTIO_GPU_CMD_CTX_CREATE,
	VIRTIO_GPU_CMD_CTX_DESTROY,
	VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE,
	VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
	VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
	VIRTIO_GPU_CMD_SUBMIT_3D,
	VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
	VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
	VIRTIO_GPU_CMD_UPDATE_CURSOR,
	VIRTIO_GPU_CMD_MOVE_CURSOR,
};

/* A command in the pen that is one but for what is random: small numbers, so
 * that they meet. */
static u64 write_command(struct garbage *g, u32 *len)
{
	u32 at = below(g, PEN_SIZE / 512 - 1) * 512;
	__le32 *words = (__le32 *)(g->pen + at);
	u32 i;

	*len = 24 + below(g, 40) * 4;
	for (i = 0; i < 64; i++)
		words[i] = cpu_to_le32(chance(g, 70) ? below(g, 5) : any(g));
	words[0] =
		cpu_to_le32(chance(g, 95) ?
				    commands[below(g, ARRAY_SIZE(commands))] :
				    any(g));
	words[1] = cpu_to_le32(below(g, 4)); /* flags: with a fence or not */
	/* of guest memory that the device may write, in a list of it: the pen */
	if (le32_to_cpu(words[0]) == VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING ||
	    le32_to_cpu(words[0]) == VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB) {
		for (i = 6; i + 3 < 64; i += 2) {
			u64 to = chance(g, 80) ?
					 g->pen_at + below(g, PEN_SIZE / 2) :
					 nowhere(g);

			words[i] = cpu_to_le32((u32)to);
			words[i + 1] = cpu_to_le32((u32)(to >> 32));
			if (i % 4 == 0) {
				words[i] = cpu_to_le32(below(g, PEN_SIZE / 2));
				words[i + 1] = 0;
			}
		}
		words[6] = cpu_to_le32(below(g, 5));
		words[7] = cpu_to_le32(below(g, 6));
	}
	return g->pen_at + at;
}

/* A chain of two descriptors as drivers make them. */
static void write_chain(struct garbage *g, const struct vring *v, u32 head)
{
	struct vring_desc *d = v->desc;
	u32 len, next = (head + 1) % v->num;
	u64 addr = write_command(g, &len);

	d[head].addr = cpu_to_le64(addr);
	d[head].len = cpu_to_le32(len);
	d[head].flags = cpu_to_le16(VRING_DESC_F_NEXT);
	d[head].next = cpu_to_le16(next);
	d[next].addr = cpu_to_le64(g->pen_at + below(g, PEN_SIZE - 4096));
	d[next].len = cpu_to_le32(below(g, 2) ? 24 : 2048);
	d[next].flags = cpu_to_le16(VRING_DESC_F_WRITE);
	d[next].next = 0;
}

static void offer(struct garbage *g, const struct vring *v, u16 head)
{
	u16 idx = le16_to_cpu(v->avail->idx);

	v->avail->ring[idx % v->num] = cpu_to_le16(head);
	virtio_wmb(false);
	WRITE_ONCE(v->avail->idx, cpu_to_le16(idx + 1));
}

static void round_commands(struct garbage *g, const struct vring *v)
{
	u32 n = 1 + below(g, 8), i;

	for (i = 0; i < n; i++) {
		write_chain(g, v, i * 2 % v->num);
		offer(g, v, i * 2 % v->num);
	}
}

static void round_descriptors(struct garbage *g, const struct vring *v)
{
	u32 i;

	for (i = 0; i < v->num; i++)
		write_desc(g, &v->desc[i], v->num);
	for (i = below(g, 16); i; i--)
		offer(g, v, chance(g, 90) ? below(g, v->num) : any(g));
}

/* Tables in the pen, tables in tables, and whatever else lies there. */
static void round_tables(struct garbage *g, const struct vring *v)
{
	struct vring_desc *d = (struct vring_desc *)g->pen;
	u32 i, count = PEN_SIZE / sizeof(*d);

	for (i = 0; i < 2048; i++)
		write_desc(g, &d[below(g, count)], count);
	for (i = 0; i < 4; i++) {
		v->desc[i].addr =
			cpu_to_le64(g->pen_at + (below(g, PEN_SIZE) & ~15u));
		v->desc[i].len = cpu_to_le32(chance(g, 70) ? below(g, 64) * 16 :
							     length(g));
		v->desc[i].flags = cpu_to_le16(VRING_DESC_F_INDIRECT);
		v->desc[i].next = cpu_to_le16(any(g));
		offer(g, v, i);
	}
}

static void round_rings(struct garbage *g, const struct vring *v)
{
	u32 i;

	for (i = 0; i < v->num; i++)
		v->avail->ring[i] = cpu_to_le16(any(g));
	v->avail->flags = cpu_to_le16(any(g));
	if (chance(g, 50))
		v->used->idx = cpu_to_le16(any(g));
	if (chance(g, 50))
		prandom_bytes_state(&g->rnd, (void *)v->used->ring,
				    v->num * sizeof(v->used->ring[0]));
	WRITE_ONCE(v->avail->idx, cpu_to_le16(any(g)));
}

/* What was right when it was offered is something else by the time that it is
 * read. */
static void round_changes(struct garbage *g, const struct vring *v,
			  struct virtqueue *vq)
{
	u32 i;

	round_commands(g, v);
	virtqueue_notify(vq);
	for (i = 0; i < 20000; i++) {
		u32 at = below(g, PEN_SIZE / 512 - 1) * 512 + below(g, 16) * 4;

		if (i % 64 == 0)
			write_desc(g, &v->desc[below(g, 16)], v->num);
		if (at % 512) /* not into another command */
			WRITE_ONCE(*(u32 *)(g->pen + at), below(g, 8));
	}
}

static void one_round(struct garbage *g)
{
	struct virtqueue *vq = g->vq[chance(g, 80) ? 0 : 1];
	const struct vring *v = virtqueue_get_vring(vq);
	u16 was = le16_to_cpu(v->used->idx);

	switch (below(g, 16)) {
	case 0:
	case 1:
		round_descriptors(g, v);
		break;
	case 2:
	case 3:
		round_tables(g, v);
		break;
	case 4:
		round_rings(g, v);
		break;
	case 5:
	case 6:
	case 7:
		round_changes(g, v, vq);
		break;
	default:
		round_commands(g, v);
		break;
	}
	virtqueue_notify(vq);
	usleep_range(1000, 3000);
	if (le16_to_cpu(v->used->idx) != was)
		g->answered++;
}

static int take_queues(struct garbage *g)
{
	struct virtqueue_info info[QUEUES] = { { "control", NULL },
					       { "cursor", NULL } };
	int ret = virtio_find_vqs(g->vdev, QUEUES, g->vq, info, NULL);

	if (!ret)
		virtio_device_ready(g->vdev);
	return ret;
}

/* As virtio's core does when a driver leaves and another one comes. */
static int begin_anew(struct garbage *g)
{
	struct virtio_device *vdev = g->vdev;

	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_DRIVER);
	vdev->config->finalize_features(vdev);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	g->resets++;
	return take_queues(g);
}

static int garbage_thread(void *data)
{
	struct garbage *g = data;
	uint left = 0;
	int ret = 0;

	while (!kthread_should_stop() && !ret && g->done < rounds) {
		bool broken = g->vdev->config->get_status(g->vdev) &
			      VIRTIO_CONFIG_S_NEEDS_RESET;

		g->broken += broken;
		if (!left || broken) {
			left = 1 + below(g, ROUNDS_MAX);
			ret = begin_anew(g);
			continue;
		}
		one_round(g);
		left--;
		g->done++;
	}
	pr_info("vgpu_garbage: seed %u: %u rounds, %u resets, %u times the device was broken, %u rounds were answered, status %d\n",
		seed, g->done, g->resets, g->broken, g->answered, ret);
	WRITE_ONCE(g->over, true);
	while (!kthread_should_stop())
		msleep(20);
	return 0;
}

static int garbage_probe(struct virtio_device *vdev)
{
	struct garbage *g = kzalloc(sizeof(*g), GFP_KERNEL);
	int ret = -ENOMEM;

	if (!g)
		return ret;
	g->vdev = vdev;
	g->pen = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, PEN_ORDER);
	if (!g->pen)
		goto free;
	g->pen_at = virt_to_phys(g->pen);
	prandom_seed_state(&g->rnd, seed);
	vdev->priv = g;
	ret = take_queues(g);
	if (ret)
		goto free_pen;
	g->task = kthread_run(garbage_thread, g, "vgpu_garbage");
	if (!IS_ERR(g->task))
		return 0;
	ret = PTR_ERR(g->task);
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
free_pen:
	free_pages((unsigned long)g->pen, PEN_ORDER);
free:
	kfree(g);
	return ret;
}

static void garbage_remove(struct virtio_device *vdev)
{
	struct garbage *g = vdev->priv;

	kthread_stop(g->task);
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
	free_pages((unsigned long)g->pen, PEN_ORDER);
	kfree(g);
}

static const struct virtio_device_id garbage_ids[] = {
	{ VIRTIO_ID_GPU, VIRTIO_DEV_ANY_ID },
	{},
};

/* All that stock drivers take, so that more of the device can be reached. */
static const unsigned int garbage_features[] = {
	VIRTIO_GPU_F_VIRGL,	    VIRTIO_GPU_F_EDID,
	VIRTIO_GPU_F_RESOURCE_UUID, VIRTIO_GPU_F_RESOURCE_BLOB,
	VIRTIO_GPU_F_CONTEXT_INIT,
};

static struct virtio_driver garbage_driver = {
	.feature_table = garbage_features,
	.feature_table_size = ARRAY_SIZE(garbage_features),
	.driver.name = "vgpu_garbage",
	.id_table = garbage_ids,
	.probe = garbage_probe,
	.remove = garbage_remove,
};
module_virtio_driver(garbage_driver);

MODULE_DESCRIPTION("vgpu's tests: a guest's driver that writes rubbish");
MODULE_LICENSE("GPL");
