/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that play renderers: each with a lease of a real Leases, through the real client. */
#ifndef TEST_LEASE_PLAYER_H
#define TEST_LEASE_PLAYER_H

#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sched/lease.h"
#include "vgpud/leases.h"

#define MS      1000000ull
#define GRANTED VGPU_LEASE_GRANTED
#define WANTED  VGPU_LEASE_WANTED
#define YIELD   VGPU_LEASE_YIELD
#define USERS   VGPU_LEASE_USERS_MASK

/* Long enough for a machine that does other things too; only a failure waits for it. */
#define DEADLINE_US (20 * G_USEC_PER_SEC)

typedef struct Player {
    int page_fd, call, wake; /* the renderer's */
    struct vgpu_lease *page;
    LeaseClient *client;
    Lease *lease; /* vgpud's */

    GThread *thread;
    uint64_t batch_us; /* work sleeps that long */
    bool lies;         /* claims next to nothing */
    gint quit;         /* atomic */
    gint worked_us;    /* atomic: in batches */
} Player;

static inline LeaseSettings player_settings(double share)
{
    return (LeaseSettings){
        .params = { .share_ppm = (uint32_t)(share * 1000000), .priority = SCHED_PRIORITY_NORMAL, .width = 1 },
    };
}

/* The other side of it, like a vgpud that finds this renderer. */
static inline void player_attach(Player *p, Leases *l, pid_t pid, const LeaseSettings *s)
{
    g_autoptr(GError) error = NULL;

    p->lease = leases_add(l, "gpu0", dup(p->page_fd), dup(p->call), dup(p->wake), pid, s, p, &error);
    g_assert_no_error(error);
    g_assert_nonnull(p->lease);
}

static inline void player_open(Player *p, Leases *l, const LeaseSettings *s)
{
    g_autoptr(GError) error = NULL;

    memset(p, 0, sizeof(*p));
    g_assert_true(leases_make_fds(&p->page_fd, &p->call, &p->wake, &error));
    g_assert_no_error(error);
    p->page = mmap(NULL, VGPU_LEASE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, p->page_fd, 0);
    g_assert_true(p->page != MAP_FAILED);
    p->client = lease_new(p->page_fd, p->call, p->wake);
    g_assert_nonnull(p->client);
    if (l) {
        player_attach(p, l, getpid(), s);
    }
}

static inline void player_close(Player *p)
{
    if (p->lease) {
        leases_remove(p->lease);
    }
    lease_free(p->client);
    munmap(p->page, VGPU_LEASE_SIZE);
    close(p->page_fd);
    close(p->call);
    close(p->wake);
}

static inline uint32_t player_state(const Player *p)
{
    return __atomic_load_n(&p->page->state, __ATOMIC_ACQUIRE);
}

static inline LeaseFigures player_figures(Player *p)
{
    LeaseFigures f;

    leases_figures(p->lease, &f);
    return f;
}

/* Always has work. */
static inline gpointer player_run(gpointer data)
{
    Player *p = data;
    uint32_t ticket;

    while (!g_atomic_int_get(&p->quit) && lease_enter(p->client, &ticket)) {
        do {
            gint64 start = g_get_monotonic_time();

            g_usleep(p->batch_us);
            g_atomic_int_add(&p->worked_us, (gint)(g_get_monotonic_time() - start));
            if (!p->lies) {
                lease_progress(p->client, 1);
            }
        } while (!g_atomic_int_get(&p->quit) && !lease_over(p->client, ticket));
        lease_leave(p->client, ticket, p->lies ? 1 : 0);
    }
    return NULL;
}

static inline void player_start(Player *p, uint64_t batch_us)
{
    p->batch_us = batch_us;
    g_atomic_int_set(&p->quit, 0);
    p->thread = g_thread_new("player", player_run, p);
}

static inline void player_stop(Player *p)
{
    g_atomic_int_set(&p->quit, 1);
    lease_interrupt(p->client);
    g_thread_join(p->thread);
    p->thread = NULL;
}

/* A file of the thread that serves leases, under /proc; to free. */
static inline char *leases_thread(const char *file)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    const char *tid;
    char *text;

    while ((tid = g_dir_read_name(dir))) {
        g_autofree char *comm = g_strdup_printf("/proc/self/task/%s/comm", tid), *name = NULL;
        g_autofree char *path = g_strdup_printf("/proc/self/task/%s/%s", tid, file);

        if (g_file_get_contents(comm, &name, NULL, NULL) && g_str_equal(g_strstrip(name), "leases") &&
            g_file_get_contents(path, &text, NULL, NULL)) {
            return text;
        }
    }
    g_assert_not_reached();
}

/* Until it is so; the main context runs meanwhile. */
#define WAIT_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        gint64 wait_end = g_get_monotonic_time() + DEADLINE_US;                                              \
        while (!(condition)) {                                                                               \
            g_assert_cmpint(g_get_monotonic_time(), <, wait_end);                                            \
            while (g_main_context_iteration(NULL, FALSE)) {                                                  \
            }                                                                                                \
            g_usleep(500);                                                                                   \
        }                                                                                                    \
    } while (0)

#endif
