/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef struct Wait {
    Child *child;
    GSubprocess *process;
    GCancellable *cancellable;
    bool done, late;
} Wait;

static char *text_of(GBytes *bytes)
{
    gsize size = bytes ? g_bytes_get_size(bytes) : 0;

    return size ? g_strndup(g_bytes_get_data(bytes, NULL), size) : g_strdup("");
}

static void on_done(GObject *source, GAsyncResult *result, gpointer opaque)
{
    Wait *w = opaque;
    g_autoptr(GBytes) out = NULL, err = NULL;

    g_subprocess_communicate_finish(w->process, result, &out, &err, NULL);
    w->child->out = text_of(out);
    w->child->err = text_of(err);
    w->done = true;
}

/* What it started may hold its pipes open, so the reading is given up as well. */
static gboolean on_deadline(gpointer opaque)
{
    Wait *w = opaque;
    const char *pid = g_subprocess_get_identifier(w->process);

    w->late = true;
    if (pid) {
        kill(-(pid_t)g_ascii_strtoll(pid, NULL, 10), SIGKILL);
    }
    g_subprocess_force_exit(w->process);
    g_cancellable_cancel(w->cancellable);
    return G_SOURCE_REMOVE;
}

/* In the child: a group of its own, so that all of it can be ended, and not beyond our own end. */
static void child_setup(gpointer unused)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void wait_for(Wait *w, unsigned deadline_s)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GSource) deadline = g_timeout_source_new_seconds(deadline_s);

    g_main_context_push_thread_default(context);
    g_source_set_callback(deadline, on_deadline, w, NULL);
    g_source_attach(deadline, context);
    g_subprocess_communicate_async(w->process, NULL, w->cancellable, on_done, w);
    while (!w->done) {
        g_main_context_iteration(context, TRUE);
    }
    g_source_destroy(deadline);
    g_subprocess_wait(w->process, NULL, NULL); /* it was killed, or closed its pipes to end */
    g_main_context_pop_thread_default(context);
}

Child *child_run(const char *const *argv, const char *const *environment, unsigned deadline_s)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GSubprocess) process = NULL;
    g_autoptr(GError) error = NULL;
    Wait w = { .child = g_new0(Child, 1), .cancellable = cancellable };

    for (; environment && *environment; environment++) {
        g_auto(GStrv) pair = g_strsplit(*environment, "=", 2);

        g_subprocess_launcher_setenv(launcher, pair[0], pair[1], TRUE);
    }
    g_subprocess_launcher_set_child_setup(launcher, child_setup, NULL, NULL);
    process = g_subprocess_launcher_spawnv(launcher, argv, &error);
    if (!process) {
        w.child->out = g_strdup("");
        w.child->err = g_strdup("");
        w.child->ending = g_strdup_printf("does not start: %s", error->message);
        return w.child;
    }
    w.process = process;
    w.child->started = true;
    wait_for(&w, deadline_s);
    if (w.late) {
        w.child->ending = g_strdup_printf("did not end within %u s", deadline_s);
    } else if (g_subprocess_get_if_signaled(process)) {
        w.child->ending = g_strdup_printf("crashed (%s)", strsignal(g_subprocess_get_term_sig(process)));
    } else {
        w.child->status = g_subprocess_get_exit_status(process);
    }
    return w.child;
}

void child_free(Child *c)
{
    if (c) {
        g_free(c->out);
        g_free(c->err);
        g_free(c->ending);
        g_free(c);
    }
}

const char *child_complaint(const Child *c)
{
    char *line;

    g_strchomp(c->err);
    line = strrchr(c->err, '\n');
    return line ? line + 1 : c->err;
}
