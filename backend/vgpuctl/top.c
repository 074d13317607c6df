/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpuctl top: who uses the GPUs now.
 *
 * On a terminal a main loop waits for keys, for the next second and for
 * vgpud's answers, so that keys work while vgpud does not answer.  Elsewhere
 * one table, or as many as were asked for.
 */
#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <unistd.h>

#include "command.h"
#include "top_model.h"
#include "top_screen.h"

#define INTERVAL_S     1.0
#define INTERVAL_MIN_S 0.1
#define INTERVAL_MAX_S 3600.0

typedef struct TopRun {
    Client *client;
    Top *top;
    TopView view;
    GMainLoop *loop;
    GCancellable *cancellable;
    JsonNode *vms; /* answered, while the GPUs are asked for */
    int64_t vms_at_us;
    bool asking;
    int rounds; /* left; 0: no end */
} TopRun;

/* ---- in tables ---- */

static Top *look(Client *client, const Top *before, GError **error)
{
    g_autoptr(JsonNode) vms = client_get_array(client, "/v1/vms", error);
    int64_t at = g_get_monotonic_time();
    g_autoptr(JsonNode) gpus = vms ? client_get_array(client, "/v1/gpus", error) : NULL;

    return gpus ? top_new(json_node_get_array(vms), json_node_get_array(gpus), at, before) : NULL;
}

static void print_table(const Top *t)
{
    g_autoptr(GPtrArray) cells = g_ptr_array_new();

    for (guint i = 0; i < t->gpus->len; i++) {
        const TopGpu *g = t->gpus->pdata[i];

        printf("%s: ", g->name);
        if (g->busy >= 0) { /* not NAN */
            printf("%.1f %% busy%s, ", g->busy * 100, g->own ? " with your VMs" : "");
        }
        printf("%s%s%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " MiB booked\n", g->policy ? g->policy : "",
               g->policy ? ", " : "", (guint64)(g->booked >> 20), (guint64)(g->memory >> 20));
    }
    if (!t->vms->len) {
        printf("no VM has a slice of a GPU\n");
        return;
    }
    for (guint i = 0; i < t->vms->len; i++) {
        for (unsigned c = 0; c < TOP_COLUMNS; c++) {
            g_ptr_array_add(cells, ((TopVm *)t->vms->pdata[i])->text[c]);
        }
    }
    table_print_cells(stdout, cells, top_columns, TOP_COLUMNS);
    if (t->cpu_time) {
        printf("GPU time on a software GPU is the CPU time of the renderers.\n");
    }
}

static int run_plain(const Ctl *ctl, Client *client, const TopView *view)
{
    g_autoptr(Top) before = NULL;
    g_autoptr(GError) error = NULL;
    int rounds = ctl->count ? ctl->count : 1;

    before = look(client, NULL, &error);
    for (int i = 0; before && i < rounds; i++) {
        Top *now;

        g_usleep((gulong)(view->interval * G_USEC_PER_SEC));
        now = look(client, before, &error);
        g_clear_pointer(&before, top_free);
        before = now;
        if (!now) {
            break;
        }
        top_sort(now, view->sort, view->reverse);
        if (ctl->json) {
            g_autoptr(JsonNode) root = top_json(now);
            g_autofree char *line = json_to_string(root, FALSE);

            printf("%s\n", line);
        } else {
            printf(i ? "\n" : "");
            print_table(now);
        }
        fflush(stdout);
    }
    return before ? CTL_OK : command_fail(CTL_FAILED, "%s", error->message);
}

/* ---- on a terminal ---- */

static void redraw(TopRun *r)
{
    if (r->top) {
        top_sort(r->top, r->view.sort, r->view.reverse);
    }
    top_screen_draw(r->top, &r->view);
    if (r->view.quit) {
        g_main_loop_quit(r->loop);
    }
}

/* Keeps what is shown, and says why it is not newer. */
static void looked(TopRun *r, GError *error)
{
    g_clear_pointer(&r->vms, json_node_unref);
    r->asking = false;
    g_clear_pointer(&r->view.message, g_free);
    if (error) {
        r->view.message = g_strdup(error->message);
    } else if (r->rounds) {
        r->rounds--;
        r->view.quit |= !r->rounds;
    }
    redraw(r);
}

static void on_gpus(GObject *source, GAsyncResult *result, gpointer opaque)
{
    TopRun *r = opaque;
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) gpus = client_get_array_finish(r->client, result, &error);

    if (gpus && !r->view.paused) {
        Top *now = top_new(json_node_get_array(r->vms), json_node_get_array(gpus), r->vms_at_us, r->top);

        top_free(r->top);
        r->top = now;
    }
    looked(r, error);
}

static void on_vms(GObject *source, GAsyncResult *result, gpointer opaque)
{
    TopRun *r = opaque;
    g_autoptr(GError) error = NULL;

    r->vms = client_get_array_finish(r->client, result, &error);
    r->vms_at_us = g_get_monotonic_time();
    if (!r->vms) {
        looked(r, error);
        return;
    }
    client_get_array_async(r->client, "/v1/gpus", r->cancellable, on_gpus, r);
}

static gboolean on_interval(gpointer opaque)
{
    TopRun *r = opaque;

    if (!r->asking && !r->view.paused) {
        r->asking = true;
        client_get_array_async(r->client, "/v1/vms", r->cancellable, on_vms, r);
    } else {
        redraw(r); /* the clock */
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_typed(int fd, GIOCondition condition, gpointer opaque)
{
    TopRun *r = opaque;

    if (top_screen_keys(r->top, &r->view)) {
        redraw(r);
    } else if (condition & (G_IO_HUP | G_IO_ERR)) { /* the terminal is gone */
        g_main_loop_quit(r->loop);
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_resized(gpointer opaque)
{
    top_screen_resize();
    redraw(opaque);
    return G_SOURCE_CONTINUE;
}

static gboolean on_quit(gpointer opaque)
{
    g_main_loop_quit(((TopRun *)opaque)->loop);
    return G_SOURCE_CONTINUE;
}

static void run_screen(TopRun *r)
{
    const int quits[] = { SIGINT, SIGTERM, SIGHUP };

    r->loop = g_main_loop_new(NULL, FALSE);
    r->cancellable = g_cancellable_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(quits); i++) {
        g_unix_signal_add(quits[i], on_quit, r);
    }
    g_unix_signal_add(SIGWINCH, on_resized, r);
    g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_typed, r);
    g_timeout_add((guint)(r->view.interval * 1000), on_interval, r);
    redraw(r);
    on_interval(r);
    g_main_loop_run(r->loop);
    top_screen_close();
    /* what is under way ends before what it writes to is gone */
    g_cancellable_cancel(r->cancellable);
    while (r->asking) {
        g_main_context_iteration(NULL, TRUE);
    }
}

int top_run(const Ctl *ctl)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Client) client = NULL;
    TopRun r = { .view = { .sort = TOP_TIME, .interval = ctl->interval == 0 ? INTERVAL_S : ctl->interval } };
    int status = CTL_OK;

    /* so written that NAN is refused */
    if (!(r.view.interval >= INTERVAL_MIN_S && r.view.interval <= INTERVAL_MAX_S)) {
        return command_fail(CTL_USAGE, "--interval=%g is not between %g and %g seconds", ctl->interval,
                            INTERVAL_MIN_S, INTERVAL_MAX_S);
    }
    if (ctl->count < 0) {
        return command_fail(CTL_USAGE, "--count=%d is not a number of tables", ctl->count);
    }
    if (ctl->sort && (r.view.sort = top_column(ctl->sort)) == TOP_COLUMNS) {
        g_autofree char *all = g_strjoinv(", ", (char **)top_column_names());

        return command_fail(CTL_USAGE, "there is no column '%s'; the columns are %s", ctl->sort, all);
    }
    client = client_new(&ctl->where, &error);
    if (!client) {
        return command_fail(CTL_FAILED, "%s", error->message);
    }
    r.client = client;
    r.rounds = ctl->count;
    if (ctl->json || !top_screen_open()) {
        status = run_plain(ctl, client, &r.view);
    } else {
        run_screen(&r);
    }
    top_free(r.top);
    g_free(r.view.selected);
    g_free(r.view.message);
    g_clear_pointer(&r.loop, g_main_loop_unref);
    g_clear_object(&r.cancellable);
    return status;
}
