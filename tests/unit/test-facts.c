/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one renderer writes of this host's OpenGL, and another reads; and whether files are what they were. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <utime.h>

#include "renderer/facts.h"
#include "vgpud/host_files.h"

static void test_there_and_back(void)
{
    Facts f = { .capsets = 2, .capset = { { 1, 1, 308 }, { 2, 2, 1376 } } }, got;
    g_autofree char *text = NULL;

    g_strlcpy(f.description, "llvmpipe\t(LLVM\n19)", sizeof(f.description));
    g_strlcpy(f.gl_version, "4.5 \xff", sizeof(f.gl_version));
    text = facts_text(&f);
    g_assert_null(strchr(text, '\n'));
    g_assert_true(g_utf8_validate(text, -1, NULL));
    g_assert_true(facts_parse(&got, text));
    g_assert_cmpuint(got.capsets, ==, 2);
    g_assert_cmpuint(got.capset[1].id, ==, 2);
    g_assert_cmpuint(got.capset[1].version, ==, 2);
    g_assert_cmpuint(got.capset[1].size, ==, 1376);
    g_assert_cmpstr(got.description, ==, "llvmpipe (LLVM 19)");
}

static void test_damaged(void)
{
    static const char *const bad[] = {
        "",
        "vgpu",
        "vgpu-0.0.0\t1:1:308\tx\ty",
        "vgpu-" VGPU_VERSION "\t\tx\ty",
        "vgpu-" VGPU_VERSION "\t1:1\tx\ty",
        "vgpu-" VGPU_VERSION "\t1:1:308,2\tx\ty",
        "vgpu-" VGPU_VERSION "\t1:1:99999999999\tx\ty",
        "vgpu-" VGPU_VERSION "\t-1:1:308\tx\ty",
        "vgpu-" VGPU_VERSION "\t1:1:308\tx",
        "vgpu-" VGPU_VERSION "\t1:1:308\tx\ty\tz",
        "vgpu-" VGPU_VERSION "\t1:1:308\t\xff\ty",
        "vgpu-" VGPU_VERSION "\t1:1:1,1:1:1,1:1:1,1:1:1,1:1:1,1:1:1,1:1:1,1:1:1,1:1:1\tx\ty",
    };
    g_autofree char *text = g_strnfill(200, 'x'), *longer = NULL;
    Facts f;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        if (facts_parse(&f, bad[i])) {
            g_test_fail_printf("'%s' is taken for facts", bad[i]);
        }
    }
    longer = g_strdup_printf("vgpu-" VGPU_VERSION "\t1:1:308\t%s\ty", text);
    g_assert_false(facts_parse(&f, longer));
    g_assert_true(facts_parse(&f, "vgpu-" VGPU_VERSION "\t1:1:308\tx\ty"));
}

static void test_files(void)
{
    g_autofree char *folder = g_dir_make_tmp("facts-XXXXXX", NULL);
    g_autofree char *library = g_build_filename(folder, "libx.so.1", NULL);
    g_autofree char *program = g_build_filename(folder, "program", NULL);
    g_autofree char *relative = g_strdup("libx.so.1"), *none = g_build_filename(folder, "none.so", NULL);
    char *paths[] = { library, relative, program, none, NULL };
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    g_auto(GStrv) text = NULL;
    HostFiles *f, *back;

    g_assert_true(g_file_set_contents(library, "1", 1, NULL));
    g_assert_true(g_file_set_contents(program, "1", 1, NULL));
    f = host_files_new(paths, program);
    g_assert_true(host_files_same(f));
    host_files_libraries(f, found);
    host_files_libraries(f, found);
    g_assert_cmpuint(found->len, ==, 1);
    g_assert_cmpstr(found->pdata[0], ==, library);
    text = host_files_text(f);
    back = host_files_parse(text);
    g_assert_true(host_files_same(back));
    /* another one in its place, of the same size and time */
    {
        g_autofree char *other = g_build_filename(folder, "other", NULL);
        GStatBuf st;
        struct utimbuf times;

        g_assert_cmpint(g_stat(library, &st), ==, 0);
        times = (struct utimbuf){ st.st_atime, st.st_mtime };
        g_assert_true(g_file_set_contents(other, "2", 1, NULL));
        g_assert_cmpint(g_utime(other, &times), ==, 0);
        g_assert_cmpint(g_rename(other, library), ==, 0);
    }
    g_assert_false(host_files_same(f));
    g_assert_false(host_files_same(back));
    host_files_free(back);
    host_files_free(f);
    f = host_files_new(paths, program);
    g_assert_true(host_files_same(f));
    g_unlink(program);
    g_assert_false(host_files_same(f));
    host_files_free(f);
    g_unlink(library);
    g_rmdir(folder);
}

static void test_files_damaged(void)
{
    static const char *const bad[] = { "", "1 2 3 4", "1 2 3 4 libx.so", "1 2 3 x /libx.so",
                                       "-1 2 3 4 /libx.so" };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        char *lines[] = { (char *)"1 2 3 4 /libx.so", (char *)bad[i], NULL };

        g_assert_null(host_files_parse(lines));
    }
    g_assert_null(host_files_parse((char *[]){ NULL }));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/facts/there-and-back", test_there_and_back);
    g_test_add_func("/facts/damaged", test_damaged);
    g_test_add_func("/facts/files", test_files);
    g_test_add_func("/facts/files-damaged", test_files_damaged);
    return g_test_run();
}
