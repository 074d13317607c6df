/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host_files.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 1024

typedef struct HostFile {
    char *path;
    uint64_t id[4]; /* device, inode, size, time of change in ns; all 0: it is not there */
} HostFile;

struct HostFiles {
    GArray *files; /* HostFile */
};

static void file_clear(gpointer p)
{
    g_free(((HostFile *)p)->path);
}

static HostFiles *files_make(void)
{
    HostFiles *f = g_new0(HostFiles, 1);

    f->files = g_array_new(FALSE, FALSE, sizeof(HostFile));
    g_array_set_clear_func(f->files, file_clear);
    return f;
}

void host_files_free(HostFiles *f)
{
    if (f) {
        g_array_unref(f->files);
        g_free(f);
    }
}

static bool identify(const char *path, uint64_t id[4], struct stat *st)
{
    memset(id, 0, 4 * sizeof(id[0]));
    if (stat(path, st) < 0) {
        return false;
    }
    id[0] = st->st_dev;
    id[1] = st->st_ino;
    id[2] = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size;
    id[3] = (uint64_t)st->st_mtim.tv_sec * 1000000000ull + (uint64_t)st->st_mtim.tv_nsec;
    return true;
}

static void add(HostFiles *f, const char *path)
{
    HostFile file = { .path = g_strdup(path) };
    struct stat st;

    identify(path, file.id, &st);
    g_array_append_val(f->files, file);
}

static bool is_library(const char *path)
{
    struct stat st;

    /* /etc/ld.so.cache is none */
    return g_path_is_absolute(path) && !g_str_has_prefix(path, "/etc/") && strstr(path, ".so") &&
           !strstr(path, "/../") && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           (st.st_uid == 0 || st.st_uid == geteuid());
}

HostFiles *host_files_new(char *const *paths, const char *renderer)
{
    /* what is put there decides which driver is loaded */
    static const char *const folders[] = { "/usr/share/glvnd/egl_vendor.d", "/etc/glvnd/egl_vendor.d",
                                           "/usr/share/drirc.d", "/etc/ld.so.cache" };
    HostFiles *f = files_make();

    add(f, renderer ? renderer : "/");
    for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++) {
        add(f, folders[i]);
    }
    for (char *const *p = paths; *p && f->files->len < FILES_MAX; p++) {
        if (is_library(*p)) {
            add(f, *p);
        }
    }
    return f;
}

char **host_files_text(const HostFiles *f)
{
    g_autoptr(GStrvBuilder) b = g_strv_builder_new();

    for (guint i = 0; i < f->files->len; i++) {
        const HostFile *file = &g_array_index(f->files, HostFile, i);

        g_strv_builder_take(b,
                            g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                                            " %" G_GUINT64_FORMAT " %s",
                                            file->id[0], file->id[1], file->id[2], file->id[3], file->path));
    }
    return g_strv_builder_end(b);
}

HostFiles *host_files_parse(char *const *lines)
{
    HostFiles *f = files_make();

    for (char *const *l = lines; *l; l++) {
        g_auto(GStrv) words = g_strsplit(*l, " ", 5);
        HostFile file = { 0 };
        bool ok = g_strv_length(words) == 5 && g_path_is_absolute(words[4]) && f->files->len < FILES_MAX;

        for (unsigned i = 0; ok && i < 4; i++) {
            ok = g_ascii_string_to_unsigned(words[i], 10, 0, G_MAXUINT64, &file.id[i], NULL);
        }
        if (!ok) {
            host_files_free(f);
            return NULL;
        }
        file.path = g_strdup(words[4]);
        g_array_append_val(f->files, file);
    }
    if (!f->files->len) {
        g_clear_pointer(&f, host_files_free);
    }
    return f;
}

bool host_files_same(const HostFiles *f)
{
    for (guint i = 0; i < f->files->len; i++) {
        const HostFile *file = &g_array_index(f->files, HostFile, i);
        uint64_t id[4];
        struct stat st;

        identify(file->path, id, &st);
        if (memcmp(id, file->id, sizeof(id)) != 0) {
            return false;
        }
    }
    return true;
}

void host_files_libraries(const HostFiles *f, GPtrArray *paths)
{
    for (guint i = 0; i < f->files->len; i++) {
        char *path = g_array_index(f->files, HostFile, i).path;

        if (is_library(path) && !g_ptr_array_find_with_equal_func(paths, path, g_str_equal, NULL)) {
            g_ptr_array_add(paths, path);
        }
    }
}
