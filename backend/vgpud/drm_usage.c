/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Each open of a render node is a client of the driver, with a number of its
 * own and the time that each engine has worked for it.  A copied descriptor is
 * the same client, and counts once.  A client that is gone takes its figures
 * along: so what counts is what each has gained since the last look.  (One that
 * comes and goes between two looks is not seen, but a renderer that serves its
 * guest may open no device any more: isolation.c.)
 *
 * Engines work side by side, and a lease is for all of them: the time that a VM
 * used is that of its busiest engine.
 *
 * Drivers that count cycles (xe) and those that tell nothing (nouveau) are
 * left out: their VMs are charged by what their renderers claim and hold.
 */
#include "drm_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENGINES_MAX 32
#define CLIENTS_MAX 4096
#define TEXT_MAX    8192
#define DRM_MAJOR   226

#define ENGINE   "drm-engine-"
#define CAPACITY "drm-engine-capacity-"

typedef struct Client {
    uint64_t engine[ENGINES_MAX]; /* ns, ever */
    bool seen;                    /* in this look */
} Client;

struct DrmUsage {
    char *pci;
    char *names[ENGINES_MAX];
    unsigned engines;
    uint32_t capacity[ENGINES_MAX]; /* how many there are of it */
    GHashTable *clients;            /* number -> Client */
    uint64_t gained[ENGINES_MAX];   /* in this look */
    uint64_t total;
    bool begun; /* the first look: what was used before counts not */
};

DrmUsage *drm_usage_new(const char *pci)
{
    DrmUsage *u = g_new0(DrmUsage, 1);

    u->pci = g_strdup(pci);
    u->clients = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    return u;
}

void drm_usage_free(DrmUsage *u)
{
    if (u) {
        for (unsigned i = 0; i < u->engines; i++) {
            g_free(u->names[i]);
        }
        g_hash_table_unref(u->clients);
        g_free(u->pci);
        g_free(u);
    }
}

/* The value of a line "key:   value"; NULL when there is none.  *length: of it. */
static const char *value_of(const char *text, const char *key, size_t *length)
{
    size_t n = strlen(key);

    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, n) == 0 && line[n] == ':') {
            const char *v = line + n + 1 + strspn(line + n + 1, " \t");

            *length = strcspn(v, "\n");
            return v;
        }
    }
    return NULL;
}

static bool number_of(const char *text, const char *key, uint64_t *number)
{
    size_t length;
    const char *v = value_of(text, key, &length);
    char *end;

    if (!v || !g_ascii_isdigit(*v)) {
        return false;
    }
    *number = g_ascii_strtoull(v, &end, 10);
    return end <= v + length;
}

static bool is_of_gpu(const DrmUsage *u, const char *text)
{
    size_t length;
    const char *v = value_of(text, "drm-pdev", &length);

    return !u->pci || !v || (strlen(u->pci) == length && g_ascii_strncasecmp(v, u->pci, length) == 0);
}

/* ENGINES_MAX: there are too many. */
static unsigned engine_of(DrmUsage *u, const char *name, size_t length)
{
    unsigned i = 0;

    while (i < u->engines && (strlen(u->names[i]) != length || strncmp(u->names[i], name, length) != 0)) {
        i++;
    }
    if (i == u->engines && i < ENGINES_MAX) {
        u->names[i] = g_strndup(name, length);
        u->capacity[i] = 1;
        u->engines++;
    }
    return i;
}

static Client *client_of(DrmUsage *u, uint64_t number)
{
    gint64 key = (gint64)number;
    Client *c = g_hash_table_lookup(u->clients, &key);

    if (!c && g_hash_table_size(u->clients) < CLIENTS_MAX) {
        c = g_new0(Client, 1);
        g_hash_table_insert(u->clients, g_memdup2(&key, sizeof(key)), c);
    }
    return c;
}

void drm_usage_begin(DrmUsage *u)
{
    GHashTableIter it;
    gpointer client;

    memset(u->gained, 0, sizeof(u->gained));
    g_hash_table_iter_init(&it, u->clients);
    while (g_hash_table_iter_next(&it, NULL, &client)) {
        ((Client *)client)->seen = false;
    }
}

/* "render:  9288864723 ns", behind the prefix. */
static void read_engine(DrmUsage *u, Client *c, const char *line)
{
    size_t name = strcspn(line, ":\n");
    const char *v = line + name + (line[name] == ':');
    uint64_t ns;
    unsigned i;
    char *end;

    v += strspn(v, " \t");
    if (!name || line[name] != ':' || !g_ascii_isdigit(*v)) {
        return;
    }
    ns = g_ascii_strtoull(v, &end, 10);
    if (strncmp(end, " ns", 3) != 0) {
        return;
    }
    i = engine_of(u, line, name);
    if (i < ENGINES_MAX && ns > c->engine[i]) {
        u->gained[i] += ns - c->engine[i];
        c->engine[i] = ns;
    }
}

static void read_capacity(DrmUsage *u, const char *line)
{
    size_t name = strcspn(line, ":\n");
    uint64_t n = line[name] == ':' ? g_ascii_strtoull(line + name + 1, NULL, 10) : 0;
    unsigned i = engine_of(u, line, name);

    if (i < ENGINES_MAX && n >= 1 && n <= 1024) {
        u->capacity[i] = (uint32_t)n;
    }
}

bool drm_usage_text(DrmUsage *u, const char *text)
{
    uint64_t number;
    Client *c;

    if (!number_of(text, "drm-client-id", &number) || !is_of_gpu(u, text)) {
        return false;
    }
    c = client_of(u, number);
    if (!c || c->seen) {
        return c != NULL;
    }
    c->seen = true;
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (g_str_has_prefix(line, CAPACITY)) {
            read_capacity(u, line + strlen(CAPACITY));
        } else if (g_str_has_prefix(line, ENGINE)) {
            read_engine(u, c, line + strlen(ENGINE));
        }
    }
    return true;
}

static gboolean not_seen(gpointer key, gpointer client, gpointer opaque)
{
    return !((Client *)client)->seen;
}

uint64_t drm_usage_end(DrmUsage *u)
{
    uint64_t most = 0;

    g_hash_table_foreach_remove(u->clients, not_seen, NULL);
    for (unsigned i = 0; i < u->engines; i++) {
        most = MAX(most, u->gained[i] / u->capacity[i]);
    }
    if (u->begun) {
        u->total += most;
    }
    u->begun = true;
    return u->total;
}

/* Asks no file system: what a descriptor is may be anything. */
static bool is_drm(int fds, const char *name)
{
    struct statx st;

    return statx(fds, name, AT_STATX_DONT_SYNC, STATX_TYPE, &st) == 0 && S_ISCHR(st.stx_mode) &&
           st.stx_rdev_major == DRM_MAJOR;
}

static bool look_at(DrmUsage *u, pid_t pid)
{
    char path[48], text[TEXT_MAX];
    const struct dirent *e;
    bool told = false;
    int info;
    DIR *fds;

    snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
    info = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    fds = opendir(path);
    while (fds && info >= 0 && (e = readdir(fds))) {
        int fd = g_ascii_isdigit(*e->d_name) && is_drm(dirfd(fds), e->d_name)
                     ? openat(info, e->d_name, O_RDONLY | O_CLOEXEC)
                     : -1;
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

        if (fd >= 0) {
            close(fd);
        }
        if (n > 0) {
            text[n] = 0;
            told |= drm_usage_text(u, text);
        }
    }
    if (fds) {
        closedir(fds);
    }
    if (info >= 0) {
        close(info);
    }
    return told;
}

bool drm_usage_look(DrmUsage *u, const pid_t *pids, unsigned count, uint64_t *ns)
{
    bool told = false;

    drm_usage_begin(u);
    for (unsigned i = 0; i < count; i++) {
        told |= look_at(u, pids[i]);
    }
    *ns = drm_usage_end(u);
    return told && u->engines;
}
