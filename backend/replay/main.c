/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpu-replay: looks into a recording of vgpu-renderer, or plays it. */
#include <stdio.h>
#include <stdlib.h>

#include "bare.h"
#include "player.h"
#include "reader.h"
#include "words.h"

static bool print_json(const Recording *r, const char *node, unsigned times, GError **error)
{
    if (!bare_start(node, error)) {
        return false;
    }
    for (unsigned i = 0; i < times; i++) {
        PlayerResult result;

        player_play(r, &result);
        printf("{\"name\": \"replay\", \"unit\": \"ms\", \"value\": %.3f, \"commands\": %" G_GUINT64_FORMAT
               ", \"submits\": %" G_GUINT64_FORMAT ", \"refused\": %" G_GUINT64_FORMAT "}\n",
               result.seconds * 1000, result.commands, result.submits, result.refused);
    }
    return true;
}

int main(int argc, char **argv)
{
    gboolean info = FALSE, streams = FALSE, version = FALSE;
    g_autofree char *node = NULL;
    const GOptionEntry entries[] = {
        { "info", 0, 0, G_OPTION_ARG_NONE, &info, "Tell what is in it, command by command", NULL },
        { "streams", 0, 0, G_OPTION_ARG_NONE, &streams, "With --info: look into OpenGL's command streams too",
          NULL },
        { "render-node", 0, 0, G_OPTION_ARG_FILENAME, &node, "Play on this GPU (default: software)", "PATH" },
        { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Show the version", NULL },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new("FILE");
    g_autoptr(GError) error = NULL;
    g_autoptr(Recording) r = NULL;

    g_option_context_set_summary(context,
                                 "Plays a recording of what a VM sent to its GPU into libvirglrenderer, "
                                 "or tells what is in it.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "vgpu-replay: %s\n", error->message);
        return 2;
    }
    if (version) {
        printf("vgpu-replay %s\n", VGPU_VERSION);
        return 0;
    }
    if (argc != 2) {
        fprintf(stderr, "vgpu-replay: name one recording, made with record= in [renderer] of vgpud.conf\n");
        return 2;
    }
    r = recording_read(argv[1], &error);
    if (r && info) {
        words_print(r, streams);
        return 0;
    }
    if (!r || !print_json(r, node, 1, &error)) {
        fprintf(stderr, "vgpu-replay: %s\n", error->message);
        return 1;
    }
    return 0;
}
