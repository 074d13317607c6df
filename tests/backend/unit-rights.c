/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unit-rights UNIT PROGRAM [ARGUMENT...]: runs a program with the rights that a
 * systemd unit leaves it, as far as they can be had without systemd: bounding
 * set, no new privileges, the filters of system calls, namespaces and address
 * families, and a read-only file system but for /dev, /proc, /sys, /tmp and
 * /run.  Exit status 77: this process has not the rights to take rights away.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/mount.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SKIP 77

static G_NORETURN void fail(int status, const char *what)
{
    fprintf(stderr, "unit-rights: %s: %s\n", what, g_strerror(errno));
    exit(status);
}

/* All values of a key, one after the other, as systemd joins them. */
static GStrv values_of(const char *unit, const char *key)
{
    g_autoptr(GStrvBuilder) all = g_strv_builder_new();
    g_auto(GStrv) lines = g_strsplit(unit, "\n", -1);
    g_autofree char *start = g_strconcat(key, "=", NULL);

    for (unsigned i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], start)) {
            g_auto(GStrv) words = g_strsplit(lines[i] + strlen(start), " ", -1);

            g_strv_builder_addv(all, (const char **)words);
        }
    }
    return g_strv_builder_end(all);
}

static bool contains(GStrv words, const char *word)
{
    return g_strv_contains((const char *const *)words, word);
}

static void drop_capabilities(const char *unit)
{
    static const struct {
        const char *name;
        int number;
    } kept[] = { { "CAP_CHOWN", 0 },       { "CAP_SETGID", 6 },
                 { "CAP_SETUID", 7 },      { "CAP_SYS_ADMIN", 21 },
                 { "CAP_SYS_PTRACE", 19 }, { "CAP_SYS_NICE", 23 },
                 { "CAP_SETFCAP", 31 },    { "CAP_CHECKPOINT_RESTORE", 40 } };
    g_auto(GStrv) keep = values_of(unit, "CapabilityBoundingSet");
    unsigned found = 0;

    for (int cap = 0; cap < 64; cap++) {
        bool stays = false;

        for (unsigned i = 0; i < G_N_ELEMENTS(kept); i++) {
            stays |= kept[i].number == cap && contains(keep, kept[i].name);
        }
        found += stays;
        if (!stays && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL) {
            fail(SKIP, "dropping capabilities");
        }
    }
    if (!found || found != g_strv_length(keep)) {
        errno = EINVAL;
        fail(1, "the unit names a capability that this program does not know");
    }
}

static void make_read_only(const char *unit)
{
    static const char *const writable[] = { "/dev", "/proc", "/sys", "/tmp", "/run" };
    struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };

    if (!strstr(unit, "\nProtectSystem=strict\n")) {
        return;
    }
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        fail(SKIP, "making a mount namespace");
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(writable); i++) {
        if (mount(writable[i], writable[i], NULL, MS_BIND | MS_REC, NULL) < 0) {
            fail(SKIP, writable[i]);
        }
    }
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &ro, sizeof(ro)) < 0) {
        fail(SKIP, "making all mounts read-only");
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(writable); i++) {
        struct mount_attr rw = { .attr_clr = MOUNT_ATTR_RDONLY };

        if (syscall(SYS_mount_setattr, AT_FDCWD, writable[i], AT_RECURSIVE, &rw, sizeof(rw)) < 0) {
            fail(SKIP, writable[i]);
        }
    }
}

static void deny(scmp_filter_ctx ctx, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);

    if (number >= 0 && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), number, 0) < 0) {
        fail(1, name);
    }
}

static void deny_group(scmp_filter_ctx ctx, const char *group)
{
    const char *argv[] = { "systemd-analyze", "syscall-filter", "--no-pager", group, NULL };
    g_autofree char *out = NULL;
    g_auto(GStrv) lines = NULL;
    int status = -1;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, &status,
                      NULL) ||
        status != 0) {
        fail(SKIP, "systemd-analyze");
    }
    lines = g_strsplit(out, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        char *name = g_strstrip(lines[i]);

        if (*name == '@' && !g_str_equal(name, group)) {
            deny_group(ctx, name);
        } else if (*name && *name != '#' && *name != '@') {
            deny(ctx, name);
        }
    }
}

static void filter_calls(scmp_filter_ctx ctx, const char *unit)
{
    g_auto(GStrv) words = values_of(unit, "SystemCallFilter");

    for (unsigned i = 0; words[i]; i++) {
        const char *name = words[i] + (*words[i] == '~');

        if (*name == '@') {
            deny_group(ctx, name);
        } else {
            deny(ctx, name);
        }
    }
}

static void filter_namespaces(scmp_filter_ctx ctx, const char *unit)
{
    static const struct {
        const char *name;
        uint64_t flag;
    } types[] = { { "user", CLONE_NEWUSER },    { "mnt", CLONE_NEWNS },  { "pid", CLONE_NEWPID },
                  { "net", CLONE_NEWNET },      { "ipc", CLONE_NEWIPC }, { "uts", CLONE_NEWUTS },
                  { "cgroup", CLONE_NEWCGROUP } };
    g_auto(GStrv) words = values_of(unit, "RestrictNamespaces");

    for (unsigned i = 0; words[0] && i < G_N_ELEMENTS(types); i++) {
        const uint64_t flag = types[i].flag;

        if (contains(words, types[i].name)) {
            continue;
        }
        seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                         SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
        seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 1,
                         SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
    }
    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static void filter_families(scmp_filter_ctx ctx, const char *unit)
{
    static const struct {
        const char *name;
        unsigned number;
    } families[] = { { "AF_UNIX", AF_UNIX }, { "AF_INET", AF_INET }, { "AF_INET6", AF_INET6 } };
    g_auto(GStrv) words = values_of(unit, "RestrictAddressFamilies");

    for (unsigned family = 0; words[0] && family < AF_MAX; family++) {
        bool stays = false;

        for (unsigned i = 0; i < G_N_ELEMENTS(families); i++) {
            stays |= families[i].number == family && contains(words, families[i].name);
        }
        if (!stays) {
            seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_EQ, family));
        }
    }
}

/* RestrictRealtime, LockPersonality, RestrictSUIDSGID in part. */
static void filter_others(scmp_filter_ctx ctx, const char *unit)
{
    if (strstr(unit, "\nRestrictRealtime=yes\n")) {
        seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(sched_setscheduler), 1,
                         SCMP_A1(SCMP_CMP_EQ, SCHED_FIFO));
        seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(sched_setscheduler), 1,
                         SCMP_A1(SCMP_CMP_EQ, SCHED_RR));
    }
    if (strstr(unit, "\nLockPersonality=yes\n")) {
        deny(ctx, "personality");
    }
    if (strstr(unit, "\nRestrictSUIDSGID=yes\n")) {
        seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fchmodat), 1,
                         SCMP_A2(SCMP_CMP_MASKED_EQ, 06000, 04000));
        seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(chmod), 1,
                         SCMP_A1(SCMP_CMP_MASKED_EQ, 06000, 04000));
    }
}

int main(int argc, char **argv)
{
    g_autofree char *unit = NULL;
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

    if (argc < 3 || !g_file_get_contents(argv[1], &unit, NULL, NULL)) {
        fprintf(stderr, "unit-rights UNIT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    if (getuid() != 0) {
        return SKIP;
    }
    filter_calls(ctx, unit);
    filter_namespaces(ctx, unit);
    filter_families(ctx, unit);
    filter_others(ctx, unit);
    make_read_only(unit);
    drop_capabilities(unit);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_load(ctx) < 0) {
        fail(SKIP, "loading the filter");
    }
    execvp(argv[2], argv + 2);
    fail(1, argv[2]);
}
