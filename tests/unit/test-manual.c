/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manual pages: well formed, and as complete as the programs. */
#include <glib.h>
#include <string.h>

#include "vgpuctl/change.h"
#include "vgpuctl/command.h"
#include "vgpuctl/top_model.h"
#include "vgpud/config.h"
#include "vgpud/profile.h"

/* vgpu-smi's is with the guest driver. */
static char *page_path(const char *name)
{
    const char *folder = g_getenv(g_str_equal(name, "vgpu-smi.1") ? "VGPU_SMI_MAN" : "VGPU_MAN");

    return g_build_filename(folder, name, NULL);
}

static char *page(const char *name)
{
    g_autofree char *path = page_path(name);
    char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static void expect_line(const char *text, const char *name, const char *line)
{
    g_autofree char *wanted = g_strdup_printf("\n%s", line);

    if (!strstr(text, wanted)) {
        g_test_fail_printf("%s has no line that begins '%s'", name, line);
    }
}

/* What a text says after a word, up to the line's end, cut at commas. */
static GStrv list_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);

    g_assert_nonnull(at);
    return g_strsplit(at + strlen(word), ", ", -1);
}

/* Every ".It Ic KEY" is a key that there is: GStrv and nothing else. */
static void expect_no_others(const char *text, const char *name, char *const *keys)
{
    for (const char *at = text; (at = strstr(at, "\n.It Ic ")); at++) {
        const char *key = at + strlen("\n.It Ic ");
        g_autofree char *word = g_strndup(key, strcspn(key, " \n"));

        if (!g_strv_contains((const char *const *)keys, word)) {
            g_test_fail_printf("%s describes '%s', which there is not", name, word);
        }
    }
}

static void expect_keys(const char *text, const char *name, char *const *keys)
{
    g_assert_cmpuint(g_strv_length((char **)keys), >, 0);
    for (char *const *k = keys; *k; k++) {
        g_autofree char *line = g_strdup_printf(".It Ic %s Ns = ", *k);

        expect_line(text, name, line);
    }
    expect_no_others(text, name, keys);
}

/* The sentence for a file that has a key nobody knows. */
static char *complaint(bool profile, const char *group)
{
    g_autofree char *text = g_strdup_printf("[%s]\nno-such-key=1\n", group);
    g_autoptr(GError) error = NULL;
    g_autoptr(Ini) ini = ini_parse("test", text, strlen(text), &error);
    g_autoptr(ProfileSet) set = profile_set_new();
    g_autoptr(Config) config = config_new();

    g_assert_no_error(error);
    g_assert_false(profile ? profile_set_add(set, ini, &error) : config_add(config, ini, &error));
    return g_strdup(error->message);
}

static void test_profile_keys(void)
{
    g_autofree char *text = page("vgpu-profile.5"), *why = complaint(true, "desk");
    g_auto(GStrv) keys = list_after(why, "the keys are: ");

    expect_keys(text, "vgpu-profile.5", keys);
}

static void test_config_keys(void)
{
    g_autofree char *text = page("vgpud.conf.5"), *groups = complaint(false, "no-such-group");
    unsigned count = 0;

    /* "... the groups are [vgpud], [renderer] and [gpu NAME]; ..." */
    for (const char *at = strstr(groups, "the groups are"); at && (at = strchr(at, '[')); at++) {
        g_autofree char *group = g_strndup(at + 1, strcspn(at + 1, "]"));
        g_autofree char *title = g_strdup_printf(".Ss [%s]\n", group), *section = NULL, *why = NULL,
                        *where = NULL;
        g_auto(GStrv) keys = NULL;
        const char *begin = strstr(text, title), *end;

        if (!begin) {
            g_test_fail_printf("vgpud.conf.5 has no section [%s]", group);
            continue;
        }
        end = strstr(begin + 1, "\n.S");
        section = g_strndup(begin, end - begin);
        why = complaint(false, group);
        keys = list_after(why, "the keys are: ");
        where = g_strdup_printf("[%s] of vgpud.conf.5", group);
        expect_keys(section, where, keys);
        count++;
    }
    g_assert_cmpuint(count, >=, 3);
    for (const char *at = text; (at = strstr(at, "\n.Ss [")); at++) {
        g_autofree char *group = g_strndup(at + 5, strcspn(at + 5, "]") + 1);

        g_assert_nonnull(strstr(groups, group));
    }
}

static void expect_words(const char *text, const char *name, const char *macro, const char *const *words)
{
    for (; *words; words++) {
        g_autofree char *line = g_strdup_printf("%s%s", macro, *words);

        expect_line(text, name, line);
    }
}

static void test_commands(void)
{
    g_autofree char *text = page("vgpuctl.1");
    const char *const *columns = top_column_names();

    expect_words(text, "vgpuctl.1", ".It Cm ", command_names());
    expect_words(text, "vgpuctl.1", ".It Cm ", change_keys());
    expect_words(text, "vgpuctl.1", ".It Cm ", change_policies());
    for (; *columns; columns++) {
        g_autofree char *word = g_strdup_printf("\n.Cm %s", *columns);
        g_autofree char *in_list = g_strdup_printf(", %s", *columns);

        if (!strstr(text, word) && !strstr(text, in_list)) {
            g_test_fail_printf("vgpuctl.1 does not name the column %s", *columns);
        }
    }
}

/* What --help says there is, and what the page says. */
static void expect_options(const char *variable, const char *name)
{
    g_autofree char *text = page(name), *help = NULL;
    const char *argv[] = { g_getenv(variable), "--help", NULL };
    g_autoptr(GRegex) in_help = g_regex_new("^  (?:-., )?--([a-z-]+)", G_REGEX_MULTILINE, 0, NULL);
    g_autoptr(GRegex) in_page = g_regex_new("^\\.It Fl (?:. , )?-([a-z-]+)", G_REGEX_MULTILINE, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL, other = NULL;
    unsigned count = 0;

    g_assert_true(
        g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &help, NULL, NULL, NULL));
    for (g_regex_match(in_help, help, 0, &match); g_match_info_matches(match); count++) {
        g_autofree char *option = g_match_info_fetch(match, 1);
        g_autofree char *line = g_strdup_printf("^\\.It Fl (?:. , )?-%s\\b", option);

        if (!g_regex_match_simple(line, text, G_REGEX_MULTILINE, 0)) {
            g_test_fail_printf("%s does not describe --%s", name, option);
        }
        g_match_info_next(match, NULL);
    }
    g_assert_cmpuint(count, >=, 4);
    for (g_regex_match(in_page, text, 0, &other); g_match_info_matches(other);) {
        g_autofree char *option = g_match_info_fetch(other, 1);
        g_autofree char *flag = g_strdup_printf("--%s", option);

        if (!strstr(help, flag)) {
            g_test_fail_printf("%s describes %s, which there is not", name, flag);
        }
        g_match_info_next(other, NULL);
    }
}

static void test_options(void)
{
    expect_options("VGPUCTL", "vgpuctl.1");
    expect_options("VGPUD", "vgpud.8");
    expect_options("VGPU_SMI", "vgpu-smi.1");
}

static void test_form(void)
{
    g_autofree char *mandoc = g_find_program_in_path("mandoc");

    if (!mandoc) {
        g_test_skip("mandoc is not installed");
        return;
    }
    for (const char *const *name = (const char *const[]){ "vgpuctl.1", "vgpu-profile.5", "vgpud.conf.5",
                                                          "vgpud.8", "vgpu-smi.1", NULL };
         *name; name++) {
        g_autofree char *path = page_path(*name), *out = NULL;
        const char *argv[] = { mandoc, "-T", "lint", "-W", "warning", path, NULL };

        g_assert_true(
            g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, NULL, NULL, NULL));
        g_assert_cmpstr(out, ==, "");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/manual/form", test_form);
    g_test_add_func("/manual/profile-keys", test_profile_keys);
    g_test_add_func("/manual/config-keys", test_config_keys);
    g_test_add_func("/manual/commands", test_commands);
    g_test_add_func("/manual/options", test_options);
    return g_test_run();
}
