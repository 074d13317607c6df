/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's next renderer: after a loss with the blame where it belongs, and on
 * purpose (POST .../restart), whether vgpud has heard of the VM's QEMU or not.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "gpu_cmd.h"
#include "http.h"
#include "proc.h"

#define MIB  (1ull << 20)
#define SOON 10000

static char *text(Vgpud *d, const char *member)
{
    g_autoptr(HttpReply) r = http_ask(d, "GET", "/v1/vms/one", NULL, NULL);
    JsonObject *o = http_expect_object(r);

    return g_strdup(o ? json_object_get_string_member_with_default(o, member, "") : "");
}

static void expect_text(Vgpud *d, const char *member, const char *part)
{
    g_autofree char *is = text(d, member);

    if (!strstr(is, part)) {
        g_test_fail_printf("%s is '%s' and has no '%s'", member, is, part);
    }
}

static void state_becomes(Vgpud *d, const char *wanted)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;
    g_autofree char *is = NULL;

    do {
        g_free(is);
        is = vgpud_state(d, "one");
        g_usleep(10000);
    } while (!g_str_equal(is, wanted) && g_get_monotonic_time() < end);
    g_assert_cmpstr(is, ==, wanted);
}

static double resets(Vgpud *d, const char *cause)
{
    g_autoptr(HttpReply) r = http_ask(d, "GET", "/metrics", NULL, NULL);
    g_autofree char *label = g_strdup_printf("cause=\"%s\"", cause);
    g_auto(GStrv) lines = g_strsplit(r->body, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], "vgpu_resets_total{") && strstr(lines[i], label)) {
            return g_ascii_strtod(strrchr(lines[i], ' '), NULL);
        }
    }
    return -1;
}

static void expect_logged(Vgpud *d, const char *part)
{
    g_autofree char *log = http_log(d);

    g_assert_nonnull(strstr(log, part));
}

/* What QEMU does when it has lost its renderer: the next one, in service. */
static Frontend *rejoin(int fd, bool lost)
{
    struct vgpu_attach_request r = attach_request("quarter", "one", 1);
    struct vgpu_attach_lost l = {
        .hdr = { VGPU_ATTACH_MAGIC, VGPU_ATTACH_VERSION, VGPU_ATTACH_LOST, sizeof(l), 0 },
        .cause = VGPU_LOST_CLOSED,
    };
    FrontendOptions o = { .ram = 32 * MIB };
    AttachPacket p;
    FrontendFds fds;

    r.flags = VGPU_ATTACH_F_REJOIN;
    if (lost) {
        g_assert_true(attach_send(fd, &l, sizeof(l), NULL, 0));
    }
    g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
    do {
        if (!attach_receive(fd, &p, &fds, ATTACH_DEADLINE)) {
            g_test_fail_printf("vgpud does not answer");
            return NULL;
        }
    } while (p.hdr.type == VGPU_ATTACH_EVENT);
    if (p.hdr.type != VGPU_ATTACH_ACCEPTED) {
        g_test_fail_printf("no new renderer: %s", p.refused.message);
        return NULL;
    }
    return frontend_adopt(&o, &fds);
}

static void leave(Frontend *f)
{
    f->dead = true;
    frontend_free(f);
}

/* QEMU is faster than the kernel: it hears of closed sockets, and asks for the next one at once. */
static void test_blame_of_a_crash(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);

    kill(vgpud_renderer_pid(d, "one"), SIGKILL);
    leave(f);
    f = rejoin(fd, true);
    g_assert_nonnull(f);
    g_assert_true(gpu_still_works(f));
    g_assert_cmpfloat(resets(d, "crash"), ==, 1);
    g_assert_cmpfloat(resets(d, "qemu"), ==, 0);
    expect_logged(d, "was killed by signal 9");
    frontend_free(f);
    close(fd);
}

/* One that has closed its sockets and lives on is ended all the same. */
static void test_blame_of_the_undead(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);

    kill(vgpud_renderer_pid(d, "one"), SIGSTOP);
    leave(f);
    f = rejoin(fd, true);
    g_assert_nonnull(f);
    g_assert_cmpfloat(resets(d, "crash"), ==, 1);
    expect_logged(d, "it closed a socket");
    frontend_free(f);
    close(fd);
}

static void test_restart(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    g_autoptr(HttpReply) asked = NULL, again = NULL;
    g_autoptr(ChannelMsg) last = NULL;
    AttachPacket p;
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);
    pid_t pid = vgpud_renderer_pid(d, "one");

    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, 64, 64), ==, OK_NODATA);
    asked = http_ask(d, "POST", "/v1/vms/one/restart", NULL, NULL);
    http_expect_object(asked);
    last = channel_find(&f->channel, VGPU_CHANNEL_FATAL, SOON);
    g_assert_nonnull(last);
    g_assert_cmpuint(last->fatal.cause, ==, VGPU_FATAL_PLANNED);
    g_assert_true(attach_receive(fd, &p, NULL, SOON));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_EVENT);
    g_assert_nonnull(strstr(p.event.message, "restarted by"));
    state_becomes(d, "lost");
    expect_text(d, "blame", "restart");
    again = http_ask(d, "POST", "/v1/vms/one/restart", NULL, NULL);
    g_assert_nonnull(strstr(http_expect_error(again, 409), "its next one is a new one"));
    leave(f);
    f = rejoin(fd, true);
    g_assert_nonnull(f);
    g_assert_cmpint(vgpud_renderer_pid(d, "one"), !=, pid);
    g_assert_true(gpu_still_works(f));
    g_assert_cmpfloat(resets(d, "restart"), ==, 1);
    g_assert_cmpfloat(resets(d, "crash"), ==, 0);
    expect_text(d, "kind", "2d");
    frontend_free(f);
    close(fd);
}

/* One that does not finish is killed, and its VM told. */
static void test_restart_of_a_stuck_one(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    g_autoptr(HttpReply) asked = NULL, again = NULL;
    AttachPacket p;
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);

    kill(vgpud_renderer_pid(d, "one"), SIGSTOP);
    asked = http_ask(d, "POST", "/v1/vms/one/restart", NULL, NULL);
    http_expect_object(asked);
    again = http_ask(d, "POST", "/v1/vms/one/restart", NULL, NULL);
    g_assert_nonnull(strstr(http_expect_error(again, 409), "already"));
    g_assert_true(attach_receive(fd, &p, NULL, SOON));
    g_assert_nonnull(strstr(p.event.message, "restarted by"));
    leave(f);
    close(fd);
}

/* Not held back as crashes are: an operator knows how often. */
static void test_restarts_in_a_row(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    int64_t began = g_get_monotonic_time();
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);

    for (unsigned i = 0; i < 12; i++) {
        g_autoptr(HttpReply) asked = http_ask(d, "POST", "/v1/vms/one/restart", NULL, NULL);

        http_expect_object(asked);
        leave(f);
        f = rejoin(fd, true);
        if (!f) {
            return;
        }
    }
    g_assert_cmpint(g_get_monotonic_time() - began, <, 9 * G_USEC_PER_SEC);
    frontend_free(f);
    close(fd);
}

/* vgpud was restarted, and the VM's QEMU has had no reason to call: its slice waits for it. */
static void test_restart_unheard(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    g_autoptr(HttpReply) asked = NULL;
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);

    vgpud_end(d, SIGKILL);
    close(fd);
    g_assert_true(vgpud_run(d));
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    asked = http_ask(d, "POST", "/v1/vms/one/restart", NULL, NULL);
    http_expect_object(asked);
    state_becomes(d, "lost");
    leave(f);
    fd = attach_connect(d);
    f = rejoin(fd, false);
    g_assert_nonnull(f);
    state_becomes(d, "running");
    frontend_free(f);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpud-renewal/blame-of-a-crash", test_blame_of_a_crash);
    g_test_add_func("/vgpud-renewal/blame-of-the-undead", test_blame_of_the_undead);
    g_test_add_func("/vgpud-renewal/restart", test_restart);
    g_test_add_func("/vgpud-renewal/restart-of-a-stuck-one", test_restart_of_a_stuck_one);
    g_test_add_func("/vgpud-renewal/restarts-in-a-row", test_restarts_in_a_row);
    g_test_add_func("/vgpud-renewal/restart-unheard", test_restart_unheard);
    return g_test_run();
}
