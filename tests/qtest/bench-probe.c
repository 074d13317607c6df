/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "bench-probe.h"
#include "bench-figures.h"
#include "qemu/bswap.h"

#include <sys/socket.h>
#include <sys/un.h>

#define PAUSE_US 2000

static void give_up(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static int connect_to(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpuint(strlen(path), <, sizeof(addr.sun_path));
    strcpy(addr.sun_path, path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        give_up(path);
    }
    return fd;
}

/* Errors show at the next get(). */
static void put(int fd, const void *data, size_t size)
{
    (void)!send(fd, data, size, MSG_NOSIGNAL);
}

/* False when the other end closed, or was shut down. */
static bool get(int fd, void *data, size_t size)
{
    uint8_t *at = data;

    while (size) {
        ssize_t n = recv(fd, at, size, 0);

        if (n <= 0) {
            return false;
        }
        at += n;
        size -= n;
    }
    return true;
}

/* ---- QMP ---- */

struct QmpProbe {
    GThread *thread;
    GArray *took;
    int fd;
    gint quit;
};

/* Reads lines until one that is an answer; events are passed over. */
static void answer(int fd)
{
    char line[4096];
    size_t n = 0;

    while (n < sizeof(line) - 1 && get(fd, line + n, 1)) {
        if (line[n++] == '\n') {
            line[n] = 0;
            if (strstr(line, "\"return\"") || strstr(line, "\"error\"") || strstr(line, "\"QMP\"")) {
                return;
            }
            n = 0;
        }
    }
    give_up("QMP ended");
}

static void *ask(void *opaque)
{
    static const char query[] = "{\"execute\": \"query-status\"}\n";
    QmpProbe *p = opaque;

    while (!g_atomic_int_get(&p->quit)) {
        int64_t start = bench_now_ns();

        put(p->fd, query, sizeof(query) - 1);
        answer(p->fd);
        start = bench_now_ns() - start;
        g_array_append_val(p->took, start);
        g_usleep(PAUSE_US);
    }
    return NULL;
}

QmpProbe *qmp_probe_start(const char *socket_path)
{
    static const char hello[] = "{\"execute\": \"qmp_capabilities\"}\n";
    QmpProbe *p = g_new0(QmpProbe, 1);

    p->took = g_array_new(false, false, sizeof(int64_t));
    p->fd = connect_to(socket_path);
    answer(p->fd);
    put(p->fd, hello, sizeof(hello) - 1);
    answer(p->fd);
    p->thread = g_thread_new("qmp-probe", ask, p);
    return p;
}

GArray *qmp_probe_stop(QmpProbe *p)
{
    GArray *took = p->took;

    g_atomic_int_set(&p->quit, 1);
    g_thread_join(p->thread);
    close(p->fd);
    g_free(p);
    return took;
}

/* ---- VNC: RFC 6143 ---- */

struct VncProbe {
    GThread *thread;
    int fd;
    gint updates;
    uint16_t width, height;
};

static bool skip(int fd, size_t size)
{
    g_autofree uint8_t *buffer = g_malloc(1 << 20);

    while (size) {
        size_t n = MIN(size, 1 << 20);

        if (!get(fd, buffer, n)) {
            return false;
        }
        size -= n;
    }
    return true;
}

static void ask_update(VncProbe *p, bool incremental)
{
    uint8_t ask_for[10] = { 3, incremental };

    stw_be_p(ask_for + 6, p->width);
    stw_be_p(ask_for + 8, p->height);
    put(p->fd, ask_for, sizeof(ask_for));
}

static bool handshake(VncProbe *p)
{
    static const uint8_t encodings[] = { 2, 0, 0, 1, 0, 0, 0, 0 }; /* raw */
    uint8_t buffer[24];

    if (!get(p->fd, buffer, 12)) {
        return false;
    }
    put(p->fd, "RFB 003.008\n", 12);
    if (!get(p->fd, buffer, 1) || !skip(p->fd, buffer[0])) {
        return false;
    }
    put(p->fd, "\1", 1); /* no password */
    if (!get(p->fd, buffer, 4)) {
        return false;
    }
    put(p->fd, "\1", 1); /* shared */
    if (!get(p->fd, buffer, 24) || !skip(p->fd, ldl_be_p(buffer + 20))) {
        return false;
    }
    p->width = lduw_be_p(buffer);
    p->height = lduw_be_p(buffer + 2);
    put(p->fd, encodings, sizeof(encodings));
    ask_update(p, false);
    return true;
}

static void *view(void *opaque)
{
    VncProbe *p = opaque;
    uint8_t type, head[3], rectangle[12];

    while (get(p->fd, &type, 1) && type == 0 && get(p->fd, head, 3)) {
        unsigned count = lduw_be_p(head + 1);
        bool pixels = false;

        while (count--) {
            size_t size;

            if (!get(p->fd, rectangle, 12)) {
                return NULL;
            }
            size = (size_t)lduw_be_p(rectangle + 4) * lduw_be_p(rectangle + 6) * 4;
            pixels |= size > 0;
            if (!skip(p->fd, size)) {
                return NULL;
            }
        }
        g_atomic_int_add(&p->updates, pixels);
        ask_update(p, true);
    }
    return NULL;
}

VncProbe *vnc_probe_start(const char *socket_path)
{
    VncProbe *p = g_new0(VncProbe, 1);

    p->fd = connect_to(socket_path);
    if (!handshake(p)) {
        give_up("the VNC server hung up");
    }
    p->thread = g_thread_new("vnc-probe", view, p);
    return p;
}

unsigned vnc_probe_updates(VncProbe *p)
{
    return g_atomic_int_get(&p->updates);
}

void vnc_probe_stop(VncProbe *p)
{
    shutdown(p->fd, SHUT_RDWR);
    g_thread_join(p->thread);
    close(p->fd);
    g_free(p);
}
