/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

#define DEADLINE_S 30 /* the first start of a GL driver on a busy host takes seconds */

static const struct {
    const char *name, *upper, *colour;
} results[DOCTOR_RESULTS] = {
    [DOCTOR_PASS] = { "pass", "PASS", "\033[32m" },
    [DOCTOR_WARN] = { "warn", "WARN", "\033[33m" },
    [DOCTOR_FAIL] = { "fail", "FAIL", "\033[31m" },
    [DOCTOR_SKIP] = { "skip", "SKIP", "\033[2m" },
};

static bool use_colour(void)
{
    const char *no_color = g_getenv("NO_COLOR"), *term = g_getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && !g_str_equal(term, "dumb");
}

void doctor_say(Doctor *d, DoctorResult result, const char *check, const char *remedy, const char *format,
                ...)
{
    g_autofree char *text = NULL, *clean = NULL;
    bool colour = use_colour();
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    clean = text_clean(text);
    if (result == DOCTOR_FAIL && d->optional) {
        result = DOCTOR_WARN;
    }
    d->count[result]++;
    if (d->json) {
        JsonObject *o = json_object_new();

        json_object_set_string_member(o, "check", check);
        json_object_set_string_member(o, "result", results[result].name);
        json_object_set_string_member(o, "detail", clean);
        if (remedy && *remedy) {
            json_object_set_string_member(o, "remedy", remedy);
        } else {
            json_object_set_null_member(o, "remedy");
        }
        json_array_add_object_element(d->json, o);
        return;
    }
    printf("%s%s%s  %-16s %s\n", colour ? results[result].colour : "", results[result].upper,
           colour ? "\033[0m" : "", check, clean);
    if (remedy && *remedy) {
        printf("      %-16s -> %s\n", "", remedy);
    }
    fflush(stdout);
}

char *doctor_program(const char *name)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = g_path_get_dirname(self ? self : "/");
    g_autofree char *relative = g_build_filename("../renderer", name, NULL);
    char *built = g_canonicalize_filename(relative, folder);

    if (access(built, X_OK) == 0) {
        return built;
    }
    g_free(built);
    return g_build_filename(VGPU_LIBEXECDIR, name, NULL);
}

/* ---- vgpud and the renderer ---- */

static void check_vgpud(Doctor *d)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Client) client = client_new(&d->ctl->where, &error);
    g_autoptr(JsonNode) gpus = client ? client_get_array(client, "/v1/gpus", &error) : NULL;
    const char *release;

    if (gpus) {
        release = client_release(client);
        if (g_strcmp0(release, "vgpud/" VGPU_VERSION)) {
            doctor_say(d, DOCTOR_WARN, "vgpud", "restart it: VMs run on meanwhile",
                       "on %s is %s, vgpuctl is of " VGPU_VERSION, client_server(client),
                       release ? release : "of an unknown release");
        } else {
            doctor_say(d, DOCTOR_PASS, "vgpud", NULL, "%s answers on %s and shares %u GPUs", release,
                       client_server(client), json_array_get_length(json_node_get_array(gpus)));
        }
    } else if (!client && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
        doctor_say(d, DOCTOR_SKIP, "vgpud",
                   "systemctl enable --now vgpud.socket, for libvirt and for a production host",
                   "none runs; a VM starts one for its user");
    } else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED)) {
        doctor_say(d, DOCTOR_WARN, "vgpud", "run the doctor as root, or join the group vgpu", "%s",
                   error->message);
    } else {
        doctor_say(d, DOCTOR_FAIL, "vgpud", "look into its log: journalctl -u vgpud", "%s", error->message);
    }
}

static void check_renderer(Doctor *d)
{
    const char *named = g_getenv("VGPU_RENDERER");
    g_autofree char *program = named && *named ? g_strdup(named) : doctor_program("vgpu-renderer");
    const char *argv[] = { program, "--version", NULL };
    g_autoptr(Child) c = child_run(argv, NULL, d->deadline_s);

    g_strchomp(c->out);
    if (c->ending || c->status) {
        doctor_say(d, DOCTOR_FAIL, "renderer", "install vgpu's renderer with the libraries it needs", "%s %s",
                   program, c->ending ? c->ending : child_complaint(c));
    } else if (!g_str_equal(c->out, "vgpu-renderer " VGPU_VERSION)) {
        doctor_say(d, DOCTOR_WARN, "renderer", "install vgpud, vgpuctl and the renderer of one release",
                   "%s says it is '%s', vgpuctl is of " VGPU_VERSION, program, c->out);
    } else {
        doctor_say(d, DOCTOR_PASS, "renderer", NULL, "%s " VGPU_VERSION, program);
    }
}

int doctor_run(const Ctl *ctl)
{
    static void (*const checks[])(Doctor *d) = {
        check_vgpud,       check_renderer,      doctor_check_kernel, doctor_check_limits, doctor_check_memory,
        doctor_check_gpus, doctor_check_vulkan, doctor_check_kvm,    doctor_check_qemu,
    };
    Doctor d = { .ctl = ctl, .deadline_s = ctl->timeout ? (unsigned)ctl->timeout : DEADLINE_S };

    if (ctl->timeout < 0 || ctl->timeout > 3600) {
        return command_fail(CTL_USAGE, "--timeout=%d is not between 1 and 3600 seconds", ctl->timeout);
    }
    d.json = ctl->json ? json_array_new() : NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(checks); i++) {
        checks[i](&d);
    }
    if (d.json) {
        g_autoptr(JsonNode) root = json_node_init_array(json_node_alloc(), d.json);

        command_print_json(root);
        json_array_unref(d.json);
    } else {
        printf("%u passed, %u warnings, %u failed, %u skipped\n", d.count[DOCTOR_PASS], d.count[DOCTOR_WARN],
               d.count[DOCTOR_FAIL], d.count[DOCTOR_SKIP]);
    }
    return d.count[DOCTOR_FAIL] ? CTL_FAILED : CTL_OK;
}
