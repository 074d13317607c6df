/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vring.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VRING_TABLE_MAX 1024 /* entries of one indirect table */

static uint16_t *used_event(Vring *vr)
{
    return &vr->avail->ring[vr->num];
}

static uint16_t avail_event(Vring *vr)
{
    uint16_t *p = (uint16_t *)(void *)&vr->used->ring[vr->num];

    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

void vring_reset(Vring *vr)
{
    memset(vr->desc, 0, sizeof(*vr->desc) * vr->num);
    memset(vr->avail, 0, 6 + 2 * vr->num);
    memset(vr->used, 0, 6 + sizeof(struct vring_used_elem) * vr->num);
    for (unsigned i = 0; i < vr->num; i++) {
        vr->desc[i].next = i + 1;
        if (vr->table_gpa[i]) {
            ram_release(vr->ram, vr->table_gpa[i]);
            vr->table_gpa[i] = 0;
        }
    }
    vr->free_head = 0;
    vr->free_count = vr->num;
    vr->avail_idx = vr->last_used = 0;
}

Vring *vring_new(Ram *ram, uint16_t num, bool event_idx, bool indirect)
{
    Vring *vr = g_new0(Vring, 1);

    vr->ram = ram;
    vr->num = num;
    vr->event_idx = event_idx;
    vr->indirect = indirect;
    vr->desc_gpa = ram_alloc(ram, MAX(4096, sizeof(*vr->desc) * num));
    vr->avail_gpa = ram_alloc(ram, MAX(4096, 6 + 2 * num));
    vr->used_gpa = ram_alloc(ram, MAX(4096, 6 + sizeof(struct vring_used_elem) * num));
    vr->desc = ram_ptr(ram, vr->desc_gpa);
    vr->avail = ram_ptr(ram, vr->avail_gpa);
    vr->used = ram_ptr(ram, vr->used_gpa);
    vr->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vr->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vr->chain_len = g_new0(uint16_t, num);
    vr->table_gpa = g_new0(uint64_t, num);
    vring_reset(vr);
    return vr;
}

void vring_free(Vring *vr)
{
    if (!vr) {
        return;
    }
    close(vr->kick_fd);
    close(vr->call_fd);
    g_free(vr->chain_len);
    g_free(vr->table_gpa);
    g_free(vr);
}

static void put_desc(struct vring_desc *d, const VringBuf *b, bool write)
{
    d->addr = b->gpa;
    d->len = b->len;
    d->flags = write ? VRING_DESC_F_WRITE : 0;
}

/* The whole chain in a table of its own, one descriptor in the ring. */
static int add_indirect(Vring *vr, const VringBuf *out, unsigned n_out, const VringBuf *in, unsigned n_in)
{
    unsigned n = n_out + n_in;
    uint16_t head = vr->free_head;
    struct vring_desc *table;

    if (!vr->free_count) {
        return -1;
    }
    g_assert_cmpuint(n, <=, VRING_TABLE_MAX);
    vr->table_gpa[head] = ram_alloc(vr->ram, sizeof(*table) * n);
    table = ram_ptr(vr->ram, vr->table_gpa[head]);
    for (unsigned i = 0; i < n; i++) {
        put_desc(&table[i], i < n_out ? &out[i] : &in[i - n_out], i >= n_out);
        if (i + 1 < n) {
            table[i].flags |= VRING_DESC_F_NEXT;
            table[i].next = i + 1;
        }
    }
    vr->free_head = vr->desc[head].next;
    vr->free_count--;
    vr->chain_len[head] = 1;
    vr->desc[head].addr = vr->table_gpa[head];
    vr->desc[head].len = sizeof(*table) * n;
    vr->desc[head].flags = VRING_DESC_F_INDIRECT;
    return head;
}

static int add_direct(Vring *vr, const VringBuf *out, unsigned n_out, const VringBuf *in, unsigned n_in)
{
    unsigned n = n_out + n_in;
    uint16_t head = vr->free_head, at = head, last = head;

    if (vr->free_count < n) {
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        uint16_t next = vr->desc[at].next;

        put_desc(&vr->desc[at], i < n_out ? &out[i] : &in[i - n_out], i >= n_out);
        if (i + 1 < n) {
            vr->desc[at].flags |= VRING_DESC_F_NEXT;
        }
        last = at;
        at = next;
    }
    vr->free_head = vr->desc[last].next;
    vr->free_count -= n;
    vr->chain_len[head] = n;
    return head;
}

int vring_add(Vring *vr, const VringBuf *out, unsigned n_out, const VringBuf *in, unsigned n_in)
{
    int head = vr->indirect && n_out + n_in > 1 ? add_indirect(vr, out, n_out, in, n_in)
                                                : add_direct(vr, out, n_out, in, n_in);

    if (head >= 0) {
        vring_offer(vr, head);
    }
    return head;
}

void vring_offer(Vring *vr, uint16_t head)
{
    vr->avail->ring[vr->avail_idx % vr->num] = head;
    vr->avail_idx++;
    __atomic_store_n(&vr->avail->idx, vr->avail_idx, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void vring_kick_now(Vring *vr)
{
    eventfd_write(vr->kick_fd, 1);
}

void vring_kick(Vring *vr)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (vr->event_idx) {
        /* told for every chain: "old" is the one before the newest */
        if (!vring_need_event(avail_event(vr), vr->avail_idx, (uint16_t)(vr->avail_idx - 1))) {
            return;
        }
    } else if (__atomic_load_n(&vr->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY) {
        return;
    }
    vring_kick_now(vr);
}

static void free_chain(Vring *vr, uint16_t head)
{
    uint16_t at = head;

    g_assert_cmpuint(vr->chain_len[head], >, 0);
    for (unsigned i = 1; i < vr->chain_len[head]; i++) {
        at = vr->desc[at].next;
    }
    vr->desc[at].next = vr->free_head;
    vr->free_head = head;
    vr->free_count += vr->chain_len[head];
    vr->chain_len[head] = 0;
    if (vr->table_gpa[head]) {
        ram_release(vr->ram, vr->table_gpa[head]);
        vr->table_gpa[head] = 0;
    }
}

bool vring_pop(Vring *vr, uint16_t *head, uint32_t *len)
{
    struct vring_used_elem *e;

    if (__atomic_load_n(&vr->used->idx, __ATOMIC_ACQUIRE) == vr->last_used) {
        return false;
    }
    e = &vr->used->ring[vr->last_used % vr->num];
    *head = e->id;
    *len = e->len;
    vr->last_used++;
    g_assert_cmpuint(e->id, <, vr->num);
    if (e->id < vr->num && vr->chain_len[e->id]) {
        free_chain(vr, e->id);
    }
    return true;
}

bool vring_want_call(Vring *vr)
{
    eventfd_t n;

    eventfd_read(vr->call_fd, &n);
    if (vr->event_idx) {
        __atomic_store_n(used_event(vr), vr->last_used, __ATOMIC_RELAXED);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&vr->used->idx, __ATOMIC_ACQUIRE) == vr->last_used;
}
