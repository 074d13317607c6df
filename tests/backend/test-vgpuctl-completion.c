/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What bash and zsh make of TAB, on a terminal and with names that would like to be run. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "fake_vgpud.h"
#include "terminal.h"

typedef struct Shell {
    const char *name;
    const char *argv[4];
    const char *load;
} Shell;

static const Shell shells[] = {
    { "bash",
      { "bash", "--norc", "--noprofile", "-i" },
      "source $VGPU_COMPLETION/vgpuctl.bash; bind 'set bell-style none'" },
    { "zsh",
      { "zsh", "-f", "-i", NULL },
      "unset zle_bracketed_paste; unsetopt beep prompt_cr prompt_sp; fpath=($VGPU_COMPLETION $fpath); "
      "autoload -Uz "
      "compinit; "
      "compinit -u -D" },
};

#define PROMPT "ready> "

static Fake *make_fake(void)
{
    Fake *f = fake_new();
    g_autofree char *vms = NULL;

    vms = g_strdup_printf("[{\"vm\":\"desktop-7\",\"uuid\":\"u1\"},{\"vm\":\"win ten\",\"uuid\":\"u2\"},"
                          "{\"vm\":\"x$(touch %s/owned)`touch %s/owned`;touch %s/owned\",\"uuid\":\"u3\"}]",
                          fake_folder(f), fake_folder(f), fake_folder(f));
    fake_answer(f, "GET", "/v1/vms", 200, vms);
    fake_answer(f, "GET", "/v1/profiles", 200, "[{\"name\":\"workstation\"},{\"name\":\"quarter\"}]");
    fake_answer(f, "GET", "/v1/gpus", 200, "[{\"name\":\"gpu-left\"},{\"name\":\"other\"}]");
    return f;
}

/* A shell with the completion loaded and vgpuctl in its PATH; NULL: not on this machine. */
static Terminal *start(const Shell *shell)
{
    g_autofree char *folder = g_path_get_dirname(g_getenv("VGPUCTL"));
    g_autofree char *program = g_find_program_in_path(shell->name);
    /* ended by a word that the command line itself does not hold */
    g_autofree char *line =
        g_strdup_printf("PATH=%s:$PATH; %s; PS1='rea''dy> '; echo load''ed\n", folder, shell->load);
    const char *argv[] = { program, shell->argv[1], shell->argv[2], shell->argv[3], NULL };
    Terminal *t;

    if (!program) {
        return NULL;
    }
    t = terminal_new(argv, "vt100", 24, 300);
    terminal_type(t, line);
    terminal_shows(t, "loaded");
    terminal_shows(t, PROMPT);
    return t;
}

/* Types a line and TAB; the line shows what it should. */
static void expect(const Shell *shell, Fake *f, const char *before, const char *typed, const char *completed)
{
    g_autoptr(Terminal) t = start(shell);
    g_autofree char *line = g_strdup_printf("vgpuctl --socket=%s %s%s", fake_socket(f), before, typed);
    g_autofree char *wanted = g_strdup_printf("%s%s", before, completed);

    terminal_type(t, line);
    terminal_shows(t, typed);
    terminal_type(t, "\t");
    terminal_shows(t, wanted);
}

static void test_words(gconstpointer opaque)
{
    const Shell *shell = opaque;
    g_autoptr(Fake) f = make_fake();
    g_autofree char *program = g_find_program_in_path(shell->name);
    static const struct {
        const char *before, *typed, *completed;
    } cases[] = {
        { "", "sho", "show " },
        { "", "set-p", "set-profile " },
        { "show ", "desk", "desktop-7 " },
        { "stop ", "wi", "win\\ ten " },
        { "set-profile desktop-7 ", "work", "workstation " },
        { "policy ", "gpu-", "gpu-left " },
        { "policy gpu-left ", "fix", "fixed-share " },
        { "set desktop-7 ", "hang", "hang-timeout=" },
        { "set desktop-7 share=30 pri", "ority=hi", "ority=high " },
        { "set desktop-7 pro", "file=wor", "file=workstation " },
        { "--json ", "prof", "profiles " },
        { "top ", "--inter", "--interval=" },
        { "top --so", "rt=mem", "rt=memory " },
    };

    if (!program) {
        g_test_skip("this shell is not installed");
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        expect(shell, f, cases[i].before, cases[i].typed, cases[i].completed);
    }
}

/* It is completed, quoted, and neither that nor showing the choices runs it. */
static void test_hostile(gconstpointer opaque)
{
    const Shell *shell = opaque;
    g_autoptr(Fake) f = make_fake();
    g_autofree char *owned = g_build_filename(fake_folder(f), "owned", NULL);
    g_autofree char *program = g_find_program_in_path(shell->name);
    g_autofree char *line = g_strdup_printf("vgpuctl --socket=%s show ", fake_socket(f));

    if (!program) {
        g_test_skip("this shell is not installed");
        return;
    }
    expect(shell, f, "show ", "x", "x\\$\\(touch\\ ");
    {
        g_autoptr(Terminal) t = start(shell);

        terminal_type(t, line);
        terminal_shows(t, " show");
        terminal_type(t, "\t\t");
        terminal_shows(t, "desktop-7");
        terminal_shows(t, "touch");
    }
    g_assert_false(g_file_test(owned, G_FILE_TEST_EXISTS));
}

/* Nobody to ask: nothing is offered, nothing is said. */
static void test_nobody(gconstpointer opaque)
{
    const Shell *shell = opaque;
    g_autofree char *program = g_find_program_in_path(shell->name);
    g_autoptr(Terminal) t = NULL;

    if (!program) {
        g_test_skip("this shell is not installed");
        return;
    }
    t = start(shell);
    terminal_type(t, "vgpuctl --socket=/nonexistent/s show \t\t");
    terminal_type(t, "DONE");
    terminal_shows(t, "show DONE");
    g_assert_null(strstr(terminal_written(t), "listens"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    for (unsigned i = 0; i < G_N_ELEMENTS(shells); i++) {
        const struct {
            const char *name;
            GTestDataFunc run;
        } tests[] = { { "words", test_words }, { "hostile", test_hostile }, { "nobody", test_nobody } };

        for (unsigned k = 0; k < G_N_ELEMENTS(tests); k++) {
            g_autofree char *path = g_strdup_printf("/completion/%s/%s", shells[i].name, tests[k].name);

            g_test_add_data_func(path, &shells[i], tests[k].run);
        }
    }
    return g_test_run();
}
