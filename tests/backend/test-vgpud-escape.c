/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tenants from inside: every way out of escape/ways.c, one line each, tried by a
 * renderer that a real vgpud started for its guest.  Four times:
 *
 *   open      with neither box nor filter: the way is one, and this test would see it
 *   box       with the box alone: what is stopped whatever the filter lets through
 *   renderer  as it is, from the thread that runs the guest's commands
 *   vulkan    as it is, from the process of a Vulkan context
 */
#include "escape/escape.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attach.h"
#include "http.h"
#include "venus.h"

#define ABSTRACT "vgpu-escape"

typedef struct Place {
    const char *name, *kind, *conf;
    enum EscapePlace where;
    unsigned need, without; /* flags of the ways that are tried */
    bool filtered;
} Place;

static const Place places[] = {
    { "open", "null", "sandbox = off\n", ESCAPE_RENDERER, OPEN, 0, false },
    { "box", "null\nenvironment = " ESCAPE_NO_FILTER "=1", NULL, ESCAPE_RENDERER, BOX, 0, false },
    /* GL need not be loaded to die */
    { "renderer", "null", NULL, ESCAPE_RENDERER, DIES_RENDERER, 0, true },
    { "renderer", "virgl", NULL, ESCAPE_RENDERER, 0, DIES_RENDERER, true },
    { "vulkan", "virgl", NULL, ESCAPE_CONTEXT, 0, 0, true },
};

/* Of the place where the last way was tried. */
static struct {
    const Place *place; /* NULL: nowhere yet */
    Vgpud *d;
    Frontend *f, *other; /* f NULL: its renderer is dead */
    int fd, other_fd;
    pid_t renderer, neighbour;
    unsigned vms, deaths, contexts;
} now;

typedef struct Case {
    const Place *place;
    unsigned way;
} Case;

/* ---- VMs ---- */

static void leave_vm(void)
{
    if (now.f) {
        frontend_free(now.f);
        close(now.fd);
        now.f = NULL;
    }
}

static void leave(void)
{
    if (now.place) {
        leave_vm();
        frontend_free(now.other);
        close(now.other_fd);
        vgpud_free(now.d);
    }
    memset(&now, 0, sizeof(now));
}

static void enter(const Place *p)
{
    if (now.place == p) {
        return;
    }
    leave();
    now.place = p;
    now.d = vgpud_new(p->kind, p->conf);
    now.other = attach_vm(now.d, "eighth", "other", 1, &now.other_fd);
    now.neighbour = vgpud_renderer_pid(now.d, "other");
    now.vms = 1;
}

static void enter_vm(void)
{
    g_autofree char *name = g_strdup_printf("vm%u", ++now.vms);

    if (!now.f) {
        now.f = attach_vm(now.d, "eighth", name, now.vms, &now.fd);
        now.renderer = vgpud_renderer_pid(now.d, name);
    }
}

static const EscapePage *page(void)
{
    return (const EscapePage *)(const void *)((const uint8_t *)now.f->stats + ESCAPE_OFFSET);
}

/* vgpud says of each what it died of; so many times until now. */
static bool died_of_filter(unsigned times)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;

    do {
        g_autofree char *log = http_log(now.d);
        unsigned n = 0;

        for (const char *s = log; (s = strstr(s, "killed by signal 31")); s++) {
            n++;
        }
        if (n >= times) {
            return n == times;
        }
        g_usleep(5000);
    } while (g_get_monotonic_time() < end);
    return false;
}

static bool hung_up(int fd)
{
    struct pollfd p = { .fd = fd };

    return poll(&p, 1, 5) > 0 && p.revents & (POLLHUP | POLLERR);
}

/* ---- one way ---- */

/* The renderer has what it is to do, and has done it if it is its own to do. */
static void give_order(unsigned way)
{
    struct EscapeCommand c = { .hdr.type = ESCAPE_COMMAND,
                               .page = { .way = way,
                                         .place = now.place->where,
                                         .state = ESCAPE_ORDERED,
                                         .vgpud = now.d->pid,
                                         .qemu = getpid(),
                                         .other = now.neighbour,
                                         .abstract = ABSTRACT } };
    int64_t end = g_get_monotonic_time() + FRONTEND_COMMAND_DEADLINE * 1000ll;
    Pending *p;

    g_strlcpy(c.page.folder, now.d->folder, sizeof(c.page.folder));
    p = frontend_send(now.f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    g_assert_nonnull(p);
    while (!frontend_collect(now.f, p) && !hung_up(now.f->channel.fd)) {
        if (g_get_monotonic_time() >= end) {
            g_test_fail_printf("the renderer neither answers nor dies");
            break;
        }
    }
    if (p->done) {
        pending_free(p);
    }
}

/* A process of its own for each: it tries before it serves anybody. */
static void run_context(void)
{
    uint32_t id = ++now.contexts;
    int64_t end = g_get_monotonic_time() + FRONTEND_COMMAND_DEADLINE * 1000ll;
    pid_t server = venus_child_of(now.renderer);

    gpu_context_create(now.f, id, VENUS);
    while (page()->state < ESCAPE_DONE && venus_contexts(server) && g_get_monotonic_time() < end) {
        g_usleep(500);
    }
    gpu_context_destroy(now.f, id);
    venus_wait_contexts(now.f, server, 0);
}

static bool refusal(int result)
{
    static const int refusals[] = { EPERM,  EACCES, ENOENT,       EROFS,       ESRCH,       ENXIO,
                                    ENODEV, ENOSYS, ECONNREFUSED, ENETUNREACH, EAFNOSUPPORT };

    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        if (result == -refusals[i]) {
            return true;
        }
    }
    return false;
}

static void judge(const EscapeWay *w, const EscapePage *p, bool dies)
{
    if (p->state == ESCAPE_CRASHED || p->state < ESCAPE_TRYING) {
        g_test_fail_printf("%s: it was not tried: state %u", w->name, p->state);
    } else if (now.place->need == OPEN) {
        if (p->state != ESCAPE_DONE || p->result < 0) {
            g_test_fail_printf("%s: is no way out where nothing is in it: %s", w->name,
                               g_strerror(-p->result));
        }
    } else if (p->state == ESCAPE_DONE && p->result >= 0) {
        g_test_fail_printf("%s: IT IS OUT: %d, %s", w->name, p->result, p->said);
    } else if (dies != (p->state == ESCAPE_TRYING)) {
        g_test_fail_printf("%s: the filter %s the process", w->name, dies ? "did not end" : "has ended");
    } else if (p->state == ESCAPE_DONE && !refusal(p->result)) {
        g_test_fail_printf("%s: was not refused, but failed: %s", w->name, g_strerror(-p->result));
    } else if (p->state == ESCAPE_DONE) {
        g_test_message("%s%s%s", g_strerror(-p->result), *p->said ? ": " : "", p->said);
    } else {
        g_test_message("ended by the filter");
    }
}

static void bury(void)
{
    now.f->exit_unchecked = now.f->dead = true;
    leave_vm();
    now.deaths++;
    if (!died_of_filter(now.deaths)) {
        g_test_fail_printf("vgpud's log does not say of %u renderers that signal 31 killed them", now.deaths);
    }
}

static void test_way(gconstpointer data)
{
    const Case *c = data;
    const EscapeWay *w = &escape_ways[c->way];
    bool context = c->place->where == ESCAPE_CONTEXT;
    bool dies = c->place->filtered && w->flags & (context ? DIES_CONTEXT : DIES_RENDERER);
    EscapePage result;

    enter(c->place);
    enter_vm();
    if (!now.f || now.f->dead) {
        g_test_fail_printf("there is no renderer to try %s", w->name);
        return;
    }
    give_order(c->way);
    if (context) {
        run_context();
    }
    result = *page();
    judge(w, &result, dies);
    if (!context && result.state != ESCAPE_DONE) {
        bury();
    } else {
        g_assert_true(gpu_still_works(now.f));
    }
    g_assert_true(gpu_still_works(now.other));
}

static bool is_tried(const Place *p, const EscapeWay *w, bool last)
{
    unsigned other = p->where == ESCAPE_CONTEXT ? NOT_CONTEXT : NOT_RENDERER;

    if ((w->flags & p->need) != p->need || w->flags & (p->without | other) || last != !!(w->flags & LAST)) {
        return false;
    }
    return p->need != OPEN || !(w->flags & ROOT) || geteuid() == 0;
}

static void add_ways(const Place *p, bool last)
{
    for (unsigned i = 0; i < escape_way_count; i++) {
        if (is_tried(p, &escape_ways[i], last)) {
            g_autofree char *path = g_strdup_printf("/escape/%s/%s", p->name, escape_ways[i].name);
            Case *c = g_new0(Case, 1);

            *c = (Case){ p, i };
            g_test_add_data_func_full(path, c, test_way, g_free);
        }
    }
}

/* ---- what there is to reach ---- */

static int listen_abstract(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(a.sun_path + 1, ABSTRACT, strlen(ABSTRACT));
    g_assert_cmpint(
        bind(fd, (struct sockaddr *)&a, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(ABSTRACT)), ==,
        0);
    g_assert_cmpint(listen(fd, 8), ==, 0);
    return fd;
}

/* As a desktop's sound server has it: what vgpud has been given must not go on to renderers. */
static void allow_realtime(void)
{
    struct rlimit most = { 50, 50 }, nice = { 40, 40 };

    if (geteuid() == 0 && (setrlimit(RLIMIT_RTPRIO, &most) < 0 || setrlimit(RLIMIT_NICE, &nice) < 0)) {
        g_test_message("limits cannot be raised: %s", g_strerror(errno));
    }
}

int main(int argc, char **argv)
{
    g_autofree char *renderer = g_build_filename(g_getenv("VGPU_ESCAPE"), "vgpu-renderer", NULL);
    g_autofree char *layer = g_build_filename(g_getenv("VGPU_ESCAPE"), "libVkLayer_vgpu.so", NULL);
    bool vulkan = g_file_test("/usr/libexec/virgl_render_server", G_FILE_TEST_IS_EXECUTABLE);
    char *all[] = { argv[0], (char *)"-k", NULL }, **arguments = argc > 1 ? argv : all;
    int fd, segment, status, count = argc > 1 ? argc : 2;

    g_test_init(&count, &arguments, NULL); /* one way out hides no other */
    g_setenv("VGPU_RENDERER", renderer, TRUE);
    g_setenv("VGPU_VULKAN_LAYER", layer, TRUE);
    allow_realtime();
    fd = listen_abstract();
    segment = shmget(ESCAPE_SEGMENT, 4096, IPC_CREAT | 0666);
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        if (places[i].where == ESCAPE_RENDERER || vulkan) {
            add_ways(&places[i], false);
            add_ways(&places[i], true);
        }
    }
    status = g_test_run();
    leave();
    shmctl(segment, IPC_RMID, NULL);
    close(fd);
    return status;
}
