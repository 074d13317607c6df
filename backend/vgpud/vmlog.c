/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmlog.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"
#include "units.h"

#define LINE_MAX_BYTES 1000
/* A compromised renderer may log without end: lines in one period of a log. */
#define LINES_PER_PERIOD 200
#define PERIOD_US        (60 * G_USEC_PER_SEC)

struct VmLog {
    int fd;
    guint source;
    char *name;
    char line[LINE_MAX_BYTES + 1];
    size_t used;
    char *last;
    gint64 period;    /* when it began */
    unsigned lines;   /* passed on in it */
    unsigned dropped; /* not passed on in it */
};

static void end_line(VmLog *log)
{
    g_autofree char *text = NULL;
    gint64 now = g_get_monotonic_time();

    log->line[log->used] = 0;
    log->used = 0;
    text = units_clean_text(log->line);
    if (!*text) {
        return;
    }
    if (now - log->period > PERIOD_US) {
        if (log->dropped) {
            g_message("%s: %u more lines of its renderer are left out", log->name, log->dropped);
        }
        log->period = now;
        log->lines = 0;
        log->dropped = 0;
    }
    if (log->lines++ < LINES_PER_PERIOD) {
        g_message("%s: %s", log->name, text);
    } else {
        log->dropped++;
    }
    g_free(log->last);
    log->last = g_steal_pointer(&text);
}

/* True when there may be more. */
static bool read_some(VmLog *log)
{
    char buf[4096];
    ssize_t n = read(log->fd, buf, sizeof(buf));

    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return false;
        }
        close(log->fd);
        log->fd = -1;
        return false;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] == '\n' || log->used == LINE_MAX_BYTES) {
            end_line(log);
        }
        if (buf[i] != '\n') {
            log->line[log->used++] = buf[i] ? buf[i] : '?';
        }
    }
    return true;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer opaque)
{
    VmLog *log = opaque;

    read_some(log); /* one piece, so that one VM does not keep the loop */
    if (log->fd < 0) {
        log->source = 0;
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

VmLog *vmlog_new(int fd, const char *vm_name)
{
    VmLog *log = g_new0(VmLog, 1);

    log->fd = fd;
    log->name = g_strdup(vm_name);
    log->last = g_strdup("");
    log->period = g_get_monotonic_time();
    log->source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_readable, log);
    return log;
}

/* The renderer may have put anything in its place: what is no pipe is not opened. */
int vmlog_take_back(int pidfd)
{
    int end = process_get_fd(pidfd, STDERR_FILENO), fd = -1;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", end);
    struct stat st;

    if (end >= 0 && fstat(end, &st) == 0 && S_ISFIFO(st.st_mode)) {
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
    if (end >= 0) {
        close(end);
    }
    return fd;
}

void vmlog_drain(VmLog *log)
{
    /* a pipe holds 16 such pieces; a child of the renderer may still write */
    for (unsigned i = 0; i < 16 && log->fd >= 0 && read_some(log); i++) {
    }
    if (log->used) {
        end_line(log);
    }
}

const char *vmlog_last(const VmLog *log)
{
    return log->last;
}

void vmlog_free(VmLog *log)
{
    if (log) {
        if (log->source) {
            g_source_remove(log->source);
        }
        if (log->fd >= 0) {
            close(log->fd);
        }
        g_free(log->name);
        g_free(log->last);
        g_free(log);
    }
}
