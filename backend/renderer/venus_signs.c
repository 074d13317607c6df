/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  What a guest's Mesa takes for a sign of life, and when it
 * gives its program up without one, is told in venus_ring.c.  virglrenderer's thread
 * that gives it says of the context process no more than that it is there; but it
 * shares locks with threads that work for the guest.  Where a host has more to do
 * than it has CPUs, one of those may get no CPU for seconds while it has the lock
 * (see vgpud/signs.c): then that thread waits with it, whatever it was promised.
 *
 * Whether a process is there is known here too, by its leash.  So a thread of our
 * own gives signs as well, in the first ring that a context makes, the one that Mesa
 * looks at.  It waits for nobody: who takes a ring away from it waits until it has
 * looked away, and vgpud sees to it that it has its CPU time.
 *
 * A ring must be all zero when the context process takes it up.  So the first sign
 * is the process' own: here is none before there is something in the status or the
 * head.  After its end the guest uses the memory for something else.
 *
 * The memory comes from a process that the guest may have taken over: it is touched
 * only if it cannot get shorter.
 */
#include "venus.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PERIOD_US 250000
/* Mesa's rings have 128 KiB, virglrenderer's can have 16 MiB. */
#define FILE_MAX (32 * 1024 * 1024)
/* Of the venus protocol. */
#define STATUS_ALIVE 4u

static void give(VenusSign *sign)
{
    /* no write where nobody took the last one away */
    if (sign->begun || __atomic_load_n(sign->head, __ATOMIC_RELAXED) ||
        __atomic_load_n(sign->status, __ATOMIC_RELAXED)) {
        sign->begun = true;
        if (!(__atomic_load_n(sign->status, __ATOMIC_SEQ_CST) & STATUS_ALIVE)) {
            __atomic_fetch_or(sign->status, STATUS_ALIVE, __ATOMIC_SEQ_CST);
        }
    }
}

static bool give_all(VenusSigns *s)
{
    bool any = false;

    __atomic_fetch_add(&s->looks, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < G_N_ELEMENTS(s->signs); i++) {
        VenusSign *sign = __atomic_load_n(&s->signs[i], __ATOMIC_SEQ_CST);

        if (sign) {
            any = true;
            give(sign);
        }
    }
    __atomic_fetch_add(&s->looks, 1, __ATOMIC_SEQ_CST);
    return any;
}

static gpointer signs_thread(gpointer signs)
{
    VenusSigns *s = signs;

    while (!__atomic_load_n(&s->quit, __ATOMIC_ACQUIRE)) {
        if (give_all(s)) {
            struct timespec until;

            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_nsec += PERIOD_US * 1000;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            sem_clockwait(&s->wake, CLOCK_MONOTONIC, &until);
        } else {
            sem_wait(&s->wake);
        }
    }
    return NULL;
}

bool venus_signs_start(VenusSigns *s, GError **error)
{
    sem_init(&s->wake, 0, 0);
    s->thread = g_thread_try_new(VGPU_VULKAN_SIGNS, signs_thread, s, error);
    return s->thread != NULL;
}

void venus_signs_stop(VenusSigns *s)
{
    if (!s->thread) {
        return;
    }
    __atomic_store_n(&s->quit, true, __ATOMIC_RELEASE);
    sem_post(&s->wake);
    g_thread_join(s->thread);
    sem_destroy(&s->wake);
}

/* Both words; NULL: it is no memory to be touched. */
static VenusSign *sign_new(const VenusRing *ring)
{
    uint32_t type = 0;
    struct stat st;
    VenusSign *sign = NULL;
    uint8_t *base;
    int fd, seals;

    if (virgl_renderer_resource_export_blob(ring->resource_id, &type, &fd)) {
        return NULL;
    }
    seals = type == VIRGL_RENDERER_BLOB_FD_TYPE_SHM ? fcntl(fd, F_GET_SEALS) : -1;
    if (seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 && st.st_size <= FILE_MAX &&
        st.st_size >= 4 && ring->status <= (uint64_t)st.st_size - 4 &&
        ring->head <= (uint64_t)st.st_size - 4 && (ring->status | ring->head) % 4 == 0) {
        base = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base != MAP_FAILED) {
            sign = g_new0(VenusSign, 1);
            sign->base = base;
            sign->size = (size_t)st.st_size;
            sign->head = (uint32_t *)(base + ring->head);
            sign->status = (uint32_t *)(base + ring->status);
        }
    }
    close(fd);
    return sign;
}

void venus_signs_begin(VenusSigns *s, VenusContext *ctx, const VenusRing *ring)
{
    if (ctx->sign || !g_hash_table_contains(ctx->attached, GUINT_TO_POINTER(ring->resource_id))) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(s->signs); i++) {
        if (!s->signs[i]) {
            ctx->sign = sign_new(ring);
            ctx->ring = *ring;
            __atomic_store_n(&s->signs[i], ctx->sign, __ATOMIC_SEQ_CST);
            sem_post(&s->wake);
            return;
        }
    }
}

void venus_signs_end(VenusSigns *s, VenusContext *ctx)
{
    unsigned looks;

    if (!ctx->sign) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(s->signs); i++) {
        if (s->signs[i] == ctx->sign) {
            __atomic_store_n(&s->signs[i], NULL, __ATOMIC_SEQ_CST);
        }
    }
    looks = __atomic_load_n(&s->looks, __ATOMIC_SEQ_CST);
    while (looks % 2 && __atomic_load_n(&s->looks, __ATOMIC_SEQ_CST) == looks) {
        g_usleep(10);
    }
    munmap(ctx->sign->base, ctx->sign->size);
    g_free(ctx->sign);
    ctx->sign = NULL;
}
