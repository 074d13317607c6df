/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ini.h"
#include "vgpu/attach.h"

#define SYSTEMD_FIRST_FD 3

static char *default_socket(bool embedded)
{
    const char *runtime = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *user = NULL;

    if (geteuid() == 0 && (!embedded || !runtime || !*runtime)) {
        return g_strdup(VGPU_SOCKET_SYSTEM);
    }
    if (runtime && *runtime) {
        return g_build_filename(runtime, VGPU_SOCKET_USER, NULL);
    }
    user = g_strdup_printf("/run/user/%u", geteuid());
    if (access(user, W_OK) == 0) {
        return g_build_filename(user, VGPU_SOCKET_USER, NULL);
    }
    return g_strdup_printf("/tmp/vgpu-%u/vgpud.sock", geteuid());
}

Listen *listen_new(const char *wanted, bool embedded)
{
    Listen *l = g_new0(Listen, 1);
    g_autofree char *stem = NULL;

    l->lock_fd = -1;
    l->attach_fd = -1;
    l->api_fd = -1;
    l->socket = wanted ? g_canonicalize_filename(wanted, NULL) : default_socket(embedded);
    stem = g_strdup(l->socket);
    if (g_str_has_suffix(stem, ".sock")) {
        stem[strlen(stem) - strlen(".sock")] = 0;
    }
    l->api = g_strconcat(stem, "-api.sock", NULL);
    l->lock = g_strconcat(stem, ".lock", NULL);
    l->state = g_strconcat(stem, ".state", NULL);
    l->log = g_strconcat(stem, ".log", NULL);
    return l;
}

void listen_free(Listen *l)
{
    int fds[] = { l->lock_fd, l->attach_fd, l->api_fd };

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    g_free(l->socket);
    g_free(l->api);
    g_free(l->lock);
    g_free(l->state);
    g_free(l->log);
    g_free(l);
}

static bool group_id(const char *name, gid_t *gid)
{
    struct group *g = geteuid() == 0 ? getgrnam(name) : NULL;

    if (g) {
        *gid = g->gr_gid;
    }
    return g != NULL;
}

bool listen_prepare_folder(const Listen *l, const char *group, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(l->socket);
    struct stat st;
    gid_t gid;

    if (mkdir(folder, 0700) == 0) {
        if (group_id(group, &gid) && (chown(folder, 0, gid) < 0 || chmod(folder, 0750) < 0)) {
            g_warning("cannot give %s to group %s: %s", folder, group, g_strerror(errno));
        }
        return true;
    }
    if (errno != EEXIST || lstat(folder, &st) < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot make the folder %s: %s", folder, g_strerror(errno));
        return false;
    }
    /* e.g. a folder that somebody else made in /tmp under our name */
    if (!S_ISDIR(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) ||
        ((st.st_mode & 0022) && !(st.st_mode & S_ISVTX))) {
        g_set_error(error, VGPUD_ERROR, 0,
                    "%s is not a folder that only this user can write: remove it, or give another --socket",
                    folder);
        return false;
    }
    return true;
}

ListenLock listen_lock(Listen *l, GError **error)
{
    g_autofree char *pid = NULL;

    if (l->lock_fd < 0) {
        l->lock_fd = open(l->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (l->lock_fd < 0 || (flock(l->lock_fd, LOCK_EX | LOCK_NB) < 0 && errno != EWOULDBLOCK)) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot lock %s: %s", l->lock, g_strerror(errno));
        return LISTEN_LOCK_FAILED;
    }
    return flock(l->lock_fd, LOCK_EX | LOCK_NB) == 0 ? LISTEN_LOCK_OURS : LISTEN_LOCK_THEIRS;
}

static bool fill_address(const char *path, struct sockaddr_un *addr, GError **error)
{
    *addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(addr->sun_path)) {
        g_set_error(error, VGPUD_ERROR, 0,
                    "the socket's path %s is longer than %zu bytes: choose a shorter one with --socket", path,
                    sizeof(addr->sun_path) - 1);
        return false;
    }
    strcpy(addr->sun_path, path);
    return true;
}

bool listen_is_served(const Listen *l)
{
    struct sockaddr_un addr;
    bool served = false;
    int fd;

    if (fill_address(l->socket, &addr, NULL)) {
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        served = fd >= 0 && (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 || errno == EAGAIN);
        if (fd >= 0) {
            close(fd);
        }
    }
    return served;
}

static int open_socket(const char *path, int type, const char *group, GError **error)
{
    struct sockaddr_un addr;
    mode_t mask;
    gid_t gid;
    int fd, rc;

    if (!fill_address(path, &addr, error)) {
        return -1;
    }
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(path); /* we hold the lock: nobody serves it */
    mask = umask(0117);
    rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&addr, sizeof(addr));
    umask(mask);
    if (rc < 0 || listen(fd, 128) < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot listen on %s: %s", path, g_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    if (group_id(group, &gid) && chown(path, 0, gid) < 0) {
        g_warning("cannot give %s to group %s: %s", path, group, g_strerror(errno));
    }
    return fd;
}

/* systemd's protocol: LISTEN_FDS descriptors from 3 up, told apart by type. */
static bool take_inherited(Listen *l)
{
    const char *pid = g_getenv("LISTEN_PID"), *fds = g_getenv("LISTEN_FDS");
    int count = fds ? atoi(fds) : 0;

    if (!pid || atoi(pid) != getpid() || count < 1) {
        return false;
    }
    for (int fd = SYSTEMD_FIRST_FD; fd < SYSTEMD_FIRST_FD + count; fd++) {
        int type = 0;
        socklen_t size = sizeof(type);

        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
        if (type == SOCK_SEQPACKET && l->attach_fd < 0) {
            l->attach_fd = fd;
        } else if (type == SOCK_STREAM && l->api_fd < 0) {
            l->api_fd = fd;
        }
    }
    g_unsetenv("LISTEN_PID");
    g_unsetenv("LISTEN_FDS");
    g_unsetenv("LISTEN_FDNAMES");
    l->inherited = l->attach_fd >= 0;
    return l->inherited;
}

bool listen_open(Listen *l, const char *group, GError **error)
{
    if (!take_inherited(l)) {
        l->attach_fd = open_socket(l->socket, SOCK_SEQPACKET, group, error);
        if (l->attach_fd < 0) {
            return false;
        }
    }
    if (l->api_fd < 0) {
        l->api_fd = open_socket(l->api, SOCK_STREAM, group, error);
    }
    return l->api_fd >= 0;
}

void listen_unlink(const Listen *l)
{
    if (!l->inherited) {
        unlink(l->socket);
        unlink(l->api);
    }
}

bool listen_pending(const Listen *l)
{
    struct pollfd p = { .fd = l->attach_fd, .events = POLLIN };

    return poll(&p, 1, 0) > 0;
}
