/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GLib's mutexes, conditions and queues as ThreadSanitizer is to see them.
 *
 * GLib is not built with it, and its GMutex and GCond are futexes of its own:
 * TSan would see no order at all between two threads that take one.  This
 * library stands before libglib in each program of the build with TSan, says
 * what happens, and lets GLib do it.  GRecMutex and GRWLock are pthread's, which
 * TSan knows; so are threads.
 */
#include <dlfcn.h>
#include <glib.h>
#include <sanitizer/tsan_interface.h>

#define QUEUE_ASK_US 200

#define REAL(type, name)                                                                                     \
    static type *real;                                                                                       \
    type *f = __atomic_load_n(&real, __ATOMIC_ACQUIRE);                                                      \
                                                                                                             \
    if (!f) {                                                                                                \
        f = (type *)dlsym(RTLD_NEXT, #name);                                                                 \
        __atomic_store_n(&real, f, __ATOMIC_RELEASE);                                                        \
    }

typedef void MutexFunction(GMutex *m);
typedef gboolean MutexTry(GMutex *m);
typedef void CondWait(GCond *c, GMutex *m);
typedef gboolean CondWaitUntil(GCond *c, GMutex *m, gint64 end);

/* GLib has macros of some of these names that look at who calls. */
#undef g_mutex_lock
#undef g_mutex_unlock
#undef g_mutex_trylock

void g_mutex_clear(GMutex *m)
{
    REAL(MutexFunction, g_mutex_clear)

    __tsan_mutex_destroy(m, 0);
    f(m);
}

void g_mutex_lock(GMutex *m)
{
    REAL(MutexFunction, g_mutex_lock)

    __tsan_mutex_pre_lock(m, 0);
    f(m);
    __tsan_mutex_post_lock(m, 0, 0);
}

gboolean g_mutex_trylock(GMutex *m)
{
    REAL(MutexTry, g_mutex_trylock)
    gboolean got;

    __tsan_mutex_pre_lock(m, __tsan_mutex_try_lock);
    got = f(m);
    __tsan_mutex_post_lock(m, got ? __tsan_mutex_try_lock : __tsan_mutex_try_lock_failed, 0);
    return got;
}

void g_mutex_unlock(GMutex *m)
{
    REAL(MutexFunction, g_mutex_unlock)

    __tsan_mutex_pre_unlock(m, 0);
    f(m);
    __tsan_mutex_post_unlock(m, 0);
}

/* A wait gives the mutex away and takes it again. */
static void wait_begin(GMutex *m)
{
    __tsan_mutex_pre_unlock(m, 0);
    __tsan_mutex_post_unlock(m, 0);
}

static void wait_end(GMutex *m)
{
    __tsan_mutex_pre_lock(m, 0);
    __tsan_mutex_post_lock(m, 0, 0);
}

void g_cond_wait(GCond *c, GMutex *m)
{
    REAL(CondWait, g_cond_wait)

    wait_begin(m);
    f(c, m);
    wait_end(m);
}

gboolean g_cond_wait_until(GCond *c, GMutex *m, gint64 end)
{
    REAL(CondWaitUntil, g_cond_wait_until)
    gboolean woken;

    wait_begin(m);
    woken = f(c, m, end);
    wait_end(m);
    return woken;
}

/*
 * A queue's lock is its own, and what it allocates for an element is freed where that
 * is taken: each is done under that lock, which says so, and a wait for the next one asks
 * again and again.
 */
static void queue_lock(GAsyncQueue *q)
{
    g_async_queue_lock(q);
    __tsan_acquire(q);
}

static void queue_unlock(GAsyncQueue *q)
{
    __tsan_release(q);
    g_async_queue_unlock(q);
}

void g_async_queue_push(GAsyncQueue *q, gpointer data)
{
    queue_lock(q);
    g_async_queue_push_unlocked(q, data);
    queue_unlock(q);
}

gpointer g_async_queue_pop(GAsyncQueue *q)
{
    for (;;) {
        gpointer data;

        queue_lock(q);
        data = g_async_queue_try_pop_unlocked(q);
        queue_unlock(q);
        if (data) {
            return data;
        }
        g_usleep(QUEUE_ASK_US);
    }
}
