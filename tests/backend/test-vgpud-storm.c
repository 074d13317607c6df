/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A number of actors play QEMUs that behave as badly as they can: a step of one
 * is a random thing to do in the state that it is in, and the actors take steps
 * in random order for a minute, or VGPU_TEST_STORM=SECONDS.
 *
 *   AWAY -- connect --> CONNECTED -- REQUEST --> ASKED -- ACCEPTED --> ATTACHED
 *    ^                     |                       |          |          |  ^
 *    +------- nonsense, half a packet, hang up at any time ---+----------+  | REJOIN
 *                                                                EVENT -----+
 *
 * Meanwhile renderers are killed and stopped, the API is asked, and, in one of
 * the tests, vgpud itself is killed and started again.  Each actor is one VM:
 * the next QEMU of a VM comes while vgpud still clears away its last one.
 *
 * What must hold meanwhile: vgpud lives, each good request is answered, no
 * answer is a 5xx.  And afterwards: nothing is left (census.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "census.h"
#include "gpu_cmd.h"
#include "http.h"
#include "qemu.h"

#define ACTORS   24
#define CELLS    16 /* fewer than actors: some are refused */
#define CLIENTS  6  /* of the API */
#define LEAK_KIB 768
#define SOON     20000 /* ms */

typedef enum State { AWAY, CONNECTED, ASKED, ATTACHED, STATES } State;

typedef struct Actor {
    unsigned number;
    char name[16];
    State state;
    int fd;
    bool sound;    /* all that was sent on this connection was as it should be */
    int64_t asked; /* when */
    FrontendFds fds;
    FrontendFds old; /* of a renderer whose QEMU has closed its connection only */
} Actor;

typedef struct Client {
    int fd;
    bool whole; /* the request: an answer comes */
    GByteArray *got;
} Client;

typedef struct Storm {
    Vgpud *d;
    Qemu *qemu; /* of all of them */
    Actor actor[ACTORS];
    Client client[CLIENTS];
    /* what happened, to show that everything did */
    unsigned accepted, refused, events, kills, stops, answers, nonsense, cut, restarts;
    unsigned codes[16];
    int64_t slowest; /* us, to an answer */
    unsigned hits;   /* per thousand steps: renderers killed or stopped */
} Storm;

static const FrontendFds no_fds = { -1, -1, -1, -1 };

static bool chance(unsigned percent)
{
    return g_test_rand_int_range(0, 100) < (gint32)percent;
}

static unsigned below(unsigned n)
{
    return (unsigned)g_test_rand_int_range(0, (gint32)n);
}

/* ---- actors ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void close_fds(FrontendFds *f)
{
    close_fd(&f->vhost);
    close_fd(&f->channel);
    close_fd(&f->stats);
    close_fd(&f->objects);
}

static void go_away(Actor *a)
{
    close_fd(&a->fd);
    close_fds(&a->fds);
    a->state = AWAY;
}

/* The renderer has its QEMU still, which has lost vgpud. */
static void leave_behind(Actor *a)
{
    close_fds(&a->old);
    a->old = a->fds;
    a->fds = no_fds;
}

static void ask(Storm *s, Actor *a, uint32_t flags)
{
    struct vgpu_attach_request r = attach_request(chance(95) ? "cell" : "no-such", a->name, a->number);

    r.flags = flags;
    r.max_outputs = 1 + below(16);
    if (chance(5)) { /* the device of another VM */
        memcpy(r.uuid, &s->actor[below(ACTORS)].number, sizeof(unsigned));
    }
    a->asked = g_get_monotonic_time();
    a->state = ASKED;
    if (!attach_send(a->fd, &r, sizeof(r), NULL, 0)) {
        a->sound = false; /* it was refused already: the answer is there */
    }
}

/* A good packet with something wrong in it, or none at all; what comes is of no interest. */
static void send_nonsense(Storm *s, Actor *a)
{
    struct {
        struct vgpu_attach_request r;
        char more[300];
    } p = { .r = attach_request("cell", a->name, a->number) };
    struct vgpu_attach_lost lost = {
        .hdr = { VGPU_ATTACH_MAGIC, VGPU_ATTACH_VERSION, VGPU_ATTACH_LOST, sizeof(lost), 0 },
        .cause = below(6),
    };
    uint8_t *bytes = (uint8_t *)&p;

    a->sound = false;
    a->state = a->state == CONNECTED ? ASKED : a->state;
    a->asked = g_get_monotonic_time();
    s->nonsense++;
    switch (below(7)) {
    case 0: /* half a packet, or nothing at all */
        attach_send(a->fd, &p, below(sizeof(p.r)), NULL, 0);
        break;
    case 1: /* and a longer one */
        attach_send(a->fd, &p, sizeof(p.r) + 1 + below(sizeof(p.more) - 1), NULL, 0);
        break;
    case 2: /* a few bytes turned */
        for (unsigned i = 0; i < 4; i++) {
            bytes[below(sizeof(p.r))] = below(256);
        }
        attach_send(a->fd, &p, sizeof(p.r), NULL, 0);
        break;
    case 3: /* noise */
        for (unsigned i = 0; i < sizeof(p); i++) {
            bytes[i] = below(256);
        }
        attach_send(a->fd, &p, sizeof(p), NULL, 0);
        break;
    case 4: /* a descriptor, if the kernel lets it pass */
        if (!attach_send(a->fd, &p, sizeof(p.r), &s->d->log_fd, 1)) {
            attach_send(a->fd, &p, 1, NULL, 0);
        }
        break;
    case 5: /* LOST, though nothing was, perhaps */
        attach_send(a->fd, &lost, sizeof(lost), NULL, 0);
        break;
    case 6: /* twice the same, and no more */
        attach_send(a->fd, &p, sizeof(p.r), NULL, 0);
        attach_send(a->fd, &p, sizeof(p.r), NULL, 0);
        shutdown(a->fd, SHUT_WR);
        break;
    }
}

static void hear(Storm *s, Actor *a)
{
    struct pollfd p = { .fd = a->fd, .events = POLLIN };
    AttachPacket packet;

    if (poll(&p, 1, 0) <= 0) {
        if (a->state == ASKED && g_get_monotonic_time() - a->asked > SOON * 1000ll) {
            if (a->sound) {
                g_test_fail_printf("%s asked %u s ago and hears nothing", a->name, SOON / 1000);
            }
            go_away(a);
        }
        return;
    }
    if (!attach_receive_any(a->fd, &packet, &a->fds, 0)) {
        if (a->sound && a->state == ASKED && !s->restarts) {
            g_test_fail_printf("%s asked, and its connection was closed without an answer", a->name);
        }
        if (a->state == ATTACHED && s->restarts && chance(70)) {
            leave_behind(a); /* its VM runs on without vgpud */
        }
        go_away(a);
        return;
    }
    if (attach_is_changed(&packet)) {
        return; /* of before it asked again, perhaps: the answer comes */
    }
    if (a->state == ASKED) {
        s->slowest = MAX(s->slowest, g_get_monotonic_time() - a->asked);
    }
    switch (packet.hdr.type) {
    case VGPU_ATTACH_ACCEPTED:
        s->accepted++;
        a->state = ATTACHED;
        break;
    case VGPU_ATTACH_REFUSED:
        s->refused++;
        s->codes[MIN(packet.refused.code, G_N_ELEMENTS(s->codes) - 1)]++;
        go_away(a);
        break;
    case VGPU_ATTACH_EVENT:
        s->events++;
        close_fds(&a->fds);
        if (a->state == ASKED) {
            break; /* and the answer comes */
        }
        if (chance(70)) {
            ask(s, a, VGPU_ATTACH_F_REJOIN);
        } else {
            go_away(a);
        }
        break;
    }
}

static void step_away(Storm *s, Actor *a)
{
    a->fd = qemu_connect(s->qemu);
    a->sound = true;
    if (a->fd >= 0) {
        a->state = CONNECTED;
    } else if (!s->restarts) {
        g_test_fail_printf("vgpud takes no connection: %s", g_strerror(errno));
    }
    if (chance(50)) {
        close_fds(&a->old); /* else its last renderer lives until vgpud ends it */
    }
}

static void step_connected(Storm *s, Actor *a)
{
    unsigned r = below(100);

    if (r < 75) {
        ask(s, a, chance(a->old.vhost >= 0 ? 60 : 10) ? VGPU_ATTACH_F_REJOIN : 0);
    } else if (r < 90) {
        send_nonsense(s, a);
    } else {
        s->cut++;
        go_away(a);
    }
}

static void step_asked(Storm *s, Actor *a)
{
    unsigned r = below(100);

    if (r < 94) {
        hear(s, a);
    } else if (r < 97) {
        s->cut++; /* whether ACCEPTED with its descriptors lies there or not */
        go_away(a);
    } else if (r < 98) {
        send_nonsense(s, a);
    }
}

static void send_lost(Actor *a)
{
    struct vgpu_attach_lost lost = {
        .hdr = { VGPU_ATTACH_MAGIC, VGPU_ATTACH_VERSION, VGPU_ATTACH_LOST, sizeof(lost), 0 },
        .cause = below(VGPU_LOST_PROTOCOL + 1),
    };

    attach_send(a->fd, &lost, sizeof(lost), NULL, 0);
}

static void step_attached(Storm *s, Actor *a)
{
    unsigned r = below(1000);

    if (r < 940) {
        hear(s, a);
    } else if (r < 965) { /* as QEMU leaves */
        close_fds(&a->fds);
        go_away(a);
    } else if (r < 975) { /* and as it is killed */
        go_away(a);
    } else if (r < 980) { /* something of it holds the sockets */
        leave_behind(a);
        go_away(a);
    } else if (r < 985) {
        send_lost(a);
    } else if (r < 990) { /* its renderer sees the end of a socket first */
        close_fds(&a->fds);
    } else if (r < 995) {
        close_fds(&a->fds);
        ask(s, a, VGPU_ATTACH_F_REJOIN);
    } else {
        send_nonsense(s, a);
    }
}

static void step(Storm *s, Actor *a)
{
    static void (*const steps[STATES])(Storm *, Actor *) = { step_away, step_connected, step_asked,
                                                             step_attached };

    steps[a->state](s, a);
}

/* ---- who kills ---- */

static bool is_child(pid_t pid, pid_t parent)
{
    g_autofree char *of = proc_status(pid, "PPid");

    return of && g_ascii_strtoull(of, NULL, 10) == (guint64)parent;
}

/* Any process below vgpud, whether it is a renderer already or not. */
static void hit_renderer(Storm *s)
{
    g_autoptr(GArray) all = proc_children(s->d->pid);
    bool stop = chance(10);
    int pidfd;
    pid_t pid;

    if (!all->len) {
        return;
    }
    pid = g_array_index(all, pid_t, below(all->len));
    pidfd = syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0 && is_child(pid, s->d->pid)) {
        syscall(SYS_pidfd_send_signal, pidfd, stop ? SIGSTOP : SIGKILL, NULL, 0);
        s->kills += !stop;
        s->stops += stop;
    }
    close_fd(&pidfd);
}

/* ---- who asks the API ---- */

static void client_ask(Storm *s, Client *c)
{
    static const struct {
        const char *method, *path, *body;
    } ways[] = {
        { "GET", "/v1/vms", NULL },
        { "GET", "/v1/gpus", NULL },
        { "GET", "/v1/profiles", NULL },
        { "GET", "/metrics", NULL },
        { "GET", "/v1/vms/vm3", NULL },
        { "PATCH", "/v1/vms/vm1", "{\"share\":0.3,\"priority\":\"high\"}" },
        { "PATCH", "/v1/vms/vm2", "{\"memory\":\"24M\"}" },
        { "PATCH", "/v1/vms/vm3", "{\"memory\":\"-1\"}" },
        { "PATCH", "/v1/vms/vm4", "{\"profile\":\"cell\"}" },
        { "PATCH", "/v1/gpus/software0", "{\"policy\":\"equal-share\"}" },
        { "PATCH", "/v1/gpus/software0", "{\"policy\":\"best-effort\"}" },
        { "POST", "/v1/vms/vm5/stop", NULL },
        { "POST", "/v1/vms/vm5/allow", NULL },
    };
    unsigned i = below(G_N_ELEMENTS(ways));
    g_autofree char *text =
        http_request(ways[i].method, ways[i].path, ways[i].body ? JSON_TYPE : NULL, ways[i].body, NULL);
    size_t size = strlen(text);

    c->fd = http_connect(s->d);
    if (c->fd < 0) {
        return;
    }
    c->whole = chance(80);
    g_byte_array_set_size(c->got, 0);
    http_send(c->fd, text, c->whole ? size : below(size));
    if (!c->whole) {
        shutdown(c->fd, chance(50) ? SHUT_WR : SHUT_RDWR);
    }
}

static void client_read(Storm *s, Client *c)
{
    guint8 buf[16384];
    ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

    if (n > 0) {
        g_byte_array_append(c->got, buf, n);
    } else if (n == 0 || errno != EAGAIN) {
        g_autoptr(HttpReply) r = http_parse((const char *)c->got->data, c->got->len);

        if (c->whole && n == 0 && !s->restarts && (r->status < 200 || r->status >= 500)) {
            g_test_fail_printf("the API answers with status %u: %s", r->status, r->body ? r->body : "");
        }
        s->answers += r->status != 0;
        close_fd(&c->fd);
    }
}

static void client_step(Storm *s, Client *c)
{
    if (c->fd < 0) {
        client_ask(s, c);
    } else if (chance(1)) {
        close_fd(&c->fd); /* it does not want to know any more */
    } else {
        client_read(s, c);
    }
}

/* ---- all of them ---- */

static Storm *storm_new(void)
{
    Storm *s = g_new0(Storm, 1);

    s->d = census_vgpud("null", CELLS);
    s->hits = 10;
    for (unsigned i = 0; i < ACTORS; i++) {
        s->actor[i] = (Actor){ .number = i, .fd = -1, .fds = no_fds, .old = no_fds };
        g_snprintf(s->actor[i].name, sizeof(s->actor[i].name), "vm%u", i);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        s->client[i] = (Client){ .fd = -1, .got = g_byte_array_new() };
    }
    return s;
}

static void storm_free(Storm *s)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        g_byte_array_unref(s->client[i].got);
    }
    vgpud_free(s->d);
    g_free(s);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Storm, storm_free)

static void storm_rage(Storm *s, int64_t ms)
{
    int64_t end = g_get_monotonic_time() + ms * 1000;

    if (!s->qemu) {
        s->qemu = qemu_new(s->d);
    }
    while (g_get_monotonic_time() < end && !g_test_failed()) {
        step(s, &s->actor[below(ACTORS)]);
        client_step(s, &s->client[below(CLIENTS)]);
        if (below(1000) < s->hits) {
            hit_renderer(s);
        }
        if (below(2000) == 0) { /* for vgpud they all ended, and their VMs are started again */
            qemu_free(s->qemu);
            s->qemu = qemu_new(s->d);
        }
        g_usleep(500);
    }
    g_assert_true(proc_alive(s->d->pid));
}

static void storm_calm(Storm *s)
{
    g_clear_pointer(&s->qemu, qemu_free);
    for (unsigned i = 0; i < ACTORS; i++) {
        go_away(&s->actor[i]);
        close_fds(&s->actor[i].old);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        close_fd(&s->client[i].fd);
    }
}

static void storm_report(const Storm *s)
{
    GString *codes = g_string_new(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(s->codes); i++) {
        if (s->codes[i]) {
            g_string_append_printf(codes, "%s%u with code %u", codes->len ? ", " : "", s->codes[i], i);
        }
    }
    g_test_message("%u attached, %u refused (%s), %u lost their renderer, %u killed, %u stopped, %u times "
                   "nonsense, %u cut short, %u answers of the API, %u restarts; slowest answer %.3f s",
                   s->accepted, s->refused, codes->str, s->events, s->kills, s->stops, s->nonsense, s->cut,
                   s->answers, s->restarts, (double)s->slowest / 1e6);
    g_string_free(codes, TRUE);
}

/* A VM comes, works, and has the user id that the first one had: its place in the books is free again. */
static uint64_t one_works(Storm *s)
{
    Qemu *q = qemu_new(s->d);
    int fd = qemu_connect(q);
    Frontend *f = attach_vm_over(fd, "cell", "proof", 1000);
    g_autofree char *uid = f ? proc_status(vgpud_renderer_pid(s->d, "proof"), "Uid") : NULL;

    g_assert_true(f && gpu_still_works(f));
    qemu_free(q);
    frontend_free(f);
    if (fd >= 0) {
        close(fd);
    }
    return uid ? g_ascii_strtoull(uid, NULL, 10) : 0;
}

/* Nothing is left; and what was set for VMs that left is forgotten with their QEMU, as others come and go. */
static uint64_t storm_over(Storm *s, const Census *before)
{
    uint64_t uid = one_works(s);

    census_settle(s->d, before);
    for (unsigned i = 0; i < ACTORS && census_remembers(s->d); i++) {
        one_works(s);
        census_settle(s->d, before);
    }
    census_expect_nothing(s->d, before);
    return uid;
}

/* ms; part: of the minute. */
static int64_t duration(unsigned part)
{
    const char *given = g_getenv("VGPU_TEST_STORM");

    return (given ? atoi(given) * 1000ll : 60000) / part;
}

static void test_attach(void)
{
    g_autoptr(Storm) s = storm_new();
    Census before = census_at_rest(s->d);
    uint64_t uid = storm_over(s, &before);
    bool sanitized = g_getenv("VGPU_TEST_RENDERER_ARGS") != NULL;
    Census warm, after;

    storm_rage(s, duration(12));
    storm_calm(s);
    census_settle(s->d, &before);
    warm = census_at_rest(s->d);
    storm_rage(s, duration(1));
    storm_calm(s);
    storm_report(s);
    census_settle(s->d, &before);
    after = census_at_rest(s->d);
    if (!sanitized) {
        g_assert_cmpuint(after.rss_kib, <=, warm.rss_kib + LEAK_KIB);
    }
    g_assert_cmpuint(storm_over(s, &before), ==, uid);
    /* all of it happened */
    g_assert_cmpuint(s->accepted, >, 0);
    g_assert_cmpuint(s->events, >, 0);
    g_assert_cmpuint(s->kills, >, 0);
    g_assert_cmpuint(s->answers, >, 0);
    g_assert_cmpuint(s->codes[VGPU_REFUSED_MALFORMED], >, 0);
    g_assert_cmpuint(s->codes[VGPU_REFUSED_NO_PROFILE], >, 0);
}

/* ---- vgpud itself is killed ---- */

static void restart(Storm *s, int sig)
{
    s->restarts++;
    vgpud_end(s->d, sig);
    census_orphans(s->d); /* the host's init does so */
    for (unsigned i = below(20); i; i--) {
        step(s, &s->actor[below(ACTORS)]); /* nobody listens */
    }
    vgpud_run(s->d);
}

/* Whoever was in the middle of something comes to an end of it. */
static void storm_pause(Storm *s)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;
    bool busy;

    do {
        busy = false;
        for (unsigned i = 0; i < ACTORS; i++) {
            Actor *a = &s->actor[i];

            if (a->state == CONNECTED) {
                go_away(a);
            } else if (a->state == ASKED) {
                hear(s, a);
                busy |= a->state == ASKED;
            }
        }
        g_usleep(5000);
    } while (busy && g_get_monotonic_time() < end);
}

/* Whose renderer runs is in the books after a restart as before, and nobody else. */
static void expect_kept(Storm *s)
{
    g_autoptr(GHashTable) before = NULL, after = NULL;
    GHashTableIter it;
    gpointer uuid, value;
    unsigned kept = 0;

    storm_pause(s);
    before = census_books(s->d);
    restart(s, SIGKILL);
    after = census_books(s->d);
    g_hash_table_iter_init(&it, before);
    while (g_hash_table_iter_next(&it, &uuid, &value)) {
        const CensusVm *was = value, *is = g_hash_table_lookup(after, uuid);

        if (is) {
            g_assert_cmpint(is->pid, ==, was->pid);
            g_assert_cmpint(is->memory, ==, was->memory);
            kept++;
        } else if (was->running && proc_alive(was->pid)) {
            g_test_fail_printf("VM %s, process %d, is not in the books any more", (char *)uuid,
                               (int)was->pid);
        }
    }
    g_assert_cmpuint(g_hash_table_size(after), ==, kept);
    g_test_message("%u VMs of %u were taken back", kept, g_hash_table_size(before));
}

static void test_restarts(void)
{
    g_autoptr(Storm) s = storm_new();
    int64_t end = g_get_monotonic_time() + duration(4) * 1000;
    Census before = census_at_rest(s->d);

    s->restarts = 1; /* from now on connections may end without a word */
    s->hits = 2;
    while (g_get_monotonic_time() < end && !g_test_failed()) {
        storm_rage(s, 100 + below(1000));
        if (chance(40)) {
            expect_kept(s);
        } else {
            restart(s, chance(80) ? SIGKILL : SIGTERM);
        }
    }
    expect_kept(s);
    storm_calm(s);
    storm_report(s);
    census_settle(s->d, &before);
    storm_over(s, &before);
    g_assert_cmpuint(s->accepted, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    census_adopt_orphans();
    g_test_add_func("/vgpud/storm/attach", test_attach);
    g_test_add_func("/vgpud/storm/restarts", test_restarts);
    return g_test_run();
}
