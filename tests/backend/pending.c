/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands on their way: from the ring to the answer. */
#include "bar.h"

#include <poll.h>
#include <string.h>

static Pending *track(Frontend *f, unsigned queue, int head)
{
    Pending *p = g_new0(Pending, 1);

    p->f = f;
    p->queue = queue;
    f->by_head[queue][head] = p;
    return p;
}

Pending *frontend_send_raw(Frontend *f, unsigned queue, const VringBuf *out, unsigned n_out,
                           const VringBuf *in, unsigned n_in)
{
    int head;

    if (f->dead) {
        return NULL;
    }
    head = vring_add(f->ring[queue], out, n_out, in, n_in);
    if (head < 0) {
        return NULL;
    }
    vring_kick(f->ring[queue]);
    return track(f, queue, head);
}

Pending *frontend_send(Frontend *f, unsigned queue, const void *out, uint32_t out_len, const void *data,
                       uint32_t data_len, uint32_t in_len)
{
    VringBuf o[2], i;
    unsigned n_out = 0;
    Pending *p;

    if (f->dead) {
        return NULL;
    }
    o[n_out++] = (VringBuf){ ram_dup(f->ram, out, out_len), out_len };
    if (data) {
        o[n_out++] = (VringBuf){ ram_dup(f->ram, data, data_len), data_len };
    }
    i = (VringBuf){ in_len ? ram_alloc(f->ram, in_len) : 0, in_len };
    if (in_len) {
        /* an answer that never came is told from one of zeros */
        memset(ram_ptr(f->ram, i.gpa), 0xa5, in_len);
    }
    p = frontend_send_raw(f, queue, o, n_out, &i, in_len ? 1 : 0);
    if (!p) {
        ram_release(f->ram, o[0].gpa);
        if (data) {
            ram_release(f->ram, o[1].gpa);
        }
        ram_release(f->ram, i.gpa);
        return NULL;
    }
    p->out_gpa = o[0].gpa;
    p->data_gpa = data ? o[1].gpa : 0;
    p->in_gpa = i.gpa;
    p->in_len = in_len;
    return p;
}

void pending_free(Pending *p)
{
    if (!p) {
        return;
    }
    for (unsigned h = 0; !p->done && h < G_N_ELEMENTS(p->f->by_head[0]); h++) {
        if (p->f->by_head[p->queue][h] == p) {
            p->f->by_head[p->queue][h] = NULL;
        }
    }
    if (p->done) {
        /* what is not done may still be written to: it stays taken */
        ram_release(p->f->ram, p->out_gpa);
        ram_release(p->f->ram, p->data_gpa);
        ram_release(p->f->ram, p->in_gpa);
    }
    g_free(p);
}

bool frontend_collect(Frontend *f, const Pending *p)
{
    for (unsigned q = 0; q < f->queues; q++) {
        uint16_t head;
        uint32_t len;

        while (f->ring[q] && vring_pop(f->ring[q], &head, &len)) {
            Pending *d = f->by_head[q][head];

            f->completed[q]++;
            if (d) {
                d->done = true;
                d->used_len = len;
                d->order = f->completed[q];
                f->by_head[q][head] = NULL;
            }
        }
    }
    return p && p->done;
}

bool frontend_wait(Frontend *f, const Pending *p, int timeout)
{
    int64_t deadline = g_get_monotonic_time() + timeout * 1000ll;

    while (!f->dead && !frontend_collect(f, p)) {
        int64_t left = (deadline - g_get_monotonic_time() + 999) / 1000;
        struct pollfd fds[FRONTEND_QUEUES + 1];
        bool more = false;

        if (left <= 0) {
            return false;
        }
        for (unsigned q = 0; q < f->queues; q++) {
            fds[q] = (struct pollfd){ .fd = f->ring[q]->call_fd, .events = POLLIN };
            more |= !vring_want_call(f->ring[q]);
        }
        if (more) {
            continue;
        }
        fds[f->queues] = (struct pollfd){ .fd = f->channel.failed ? -1 : f->channel.fd, .events = POLLIN };
        poll(fds, f->queues + 1, left);
        screen_pump(&f->screen, 0);
        if (f->bar) {
            bar_pump(f->bar);
        }
        if (f->channel.failed && (!f->pid || !proc_alive(f->pid))) {
            frontend_collect(f, p);
            if (!p || !p->done) {
                frontend_fail(f, "the renderer ended while a command was in flight");
            }
        }
    }
    return p && p->done;
}
