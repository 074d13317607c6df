/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host's GPUs and drivers can do.  vgpu-probe loads the drivers, one
 * process for each subject; its lines are findings, its crash is one too.
 */
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vgpud/nvidia.h"
#include "doctor.h"
#include "text.h"

#define DRI           "/dev/dri"
#define RENDER_SERVER "/usr/libexec/virgl_render_server" /* where sandboxes have it */
#define LAYER         "libVkLayer_vgpu.so"

/* Reports the findings among the lines; how many there were. */
static unsigned report(Doctor *d, const char *out, const char *where)
{
    static const char *const names[] = {
        [DOCTOR_PASS] = "pass", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "fail"
    };
    g_auto(GStrv) lines = g_strsplit(out, "\n", -1);
    unsigned count = 0;

    for (unsigned i = 0; lines[i]; i++) {
        g_auto(GStrv) fields = g_strsplit(lines[i], "\t", -1);
        unsigned r = 0;

        if (g_strv_length(fields) != 4) {
            continue; /* a driver's chatter */
        }
        while (r < G_N_ELEMENTS(names) && !g_str_equal(names[r], fields[0])) {
            r++;
        }
        if (r < G_N_ELEMENTS(names)) {
            g_autofree char *check = text_clean(fields[1]), *remedy = text_clean(fields[3]);

            doctor_say(d, r, check, remedy, "%s%s%s", where ? where : "", where ? ": " : "", fields[2]);
            count++;
        }
    }
    return count;
}

/* One subject of vgpu-probe, of a render node, a file or NULL; false when it failed. */
static bool probe(Doctor *d, const char *subject, const char *check, const char *what)
{
    /* as vgpud starts renderers: what one guest compiled no other finds */
    static const char *const environment[] = { "MESA_SHADER_CACHE_DISABLE=true", NULL };
    const char *named = g_getenv("VGPU_PROBE");
    g_autofree char *program = named && *named ? g_strdup(named) : doctor_program("vgpu-probe");
    const char *argv[] = { program, subject, what, NULL };
    g_autoptr(Child) c = child_run(argv, environment, d->deadline_s);
    unsigned findings = report(d, c->out, what && !strstr(what, LAYER) ? what : NULL);

    if (c->ending && c->started) {
        doctor_say(d, DOCTOR_FAIL, check, "update the host's graphics driver (Mesa), or name another GPU",
                   "%s%sthe driver's trial %s", what ? what : "", what ? ": " : "", c->ending);
        return false;
    }
    if (!findings || (c->status && c->status != 1)) {
        doctor_say(d, DOCTOR_FAIL, check, "install vgpu's programs and the libraries they need", "%s: %s",
                   program,
                   c->ending             ? c->ending
                   : *child_complaint(c) ? child_complaint(c)
                                         : "it says nothing");
        return false;
    }
    return c->status == 0;
}

static bool check_node(Doctor *d, const char *path)
{
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *link = g_strdup_printf("/sys/class/drm/%s/device/driver", name);
    g_autofree char *target = g_file_read_link(link, NULL);
    g_autofree char *driver = g_path_get_basename(target ? target : "a driver unknown");
    struct stat st;
    struct group *group;

    if (access(path, R_OK | W_OK) == 0) {
        doctor_say(d, DOCTOR_PASS, "render node", NULL, "%s, of %s", path, driver);
        return true;
    }
    group = stat(path, &st) == 0 ? getgrgid(st.st_gid) : NULL;
    {
        g_autofree char *remedy = g_strdup_printf("let the user that runs vgpud join the group %s",
                                                  group ? group->gr_name : "render");

        doctor_say(d, DOCTOR_WARN, "render node", remedy, "%s, of %s, cannot be used by user %u: %s", path,
                   driver, geteuid(), g_strerror(EACCES));
    }
    return false;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* How a GPU of NVIDIA's driver may not be usable: its driver alone makes none of its files. */
static bool check_nvidia(Doctor *d, const NvidiaGpu *gpu, const char *path)
{
    g_autofree char *remedy = NULL;
    int error = access(path, R_OK | W_OK) ? errno : access("/dev/nvidiactl", R_OK | W_OK) ? errno : 0;

    if (!error) {
        doctor_say(d, DOCTOR_PASS, "NVIDIA GPU", NULL, "%s, %s at %s", path,
                   gpu->model ? gpu->model : "of no known model", gpu->pci);
        return true;
    }
    remedy =
        g_strdup_printf("'nvidia-modprobe -c %u' as root, at each boot, makes the device files; a container "
                        "has to be given them",
                        gpu->minor);
    doctor_say(d, DOCTOR_WARN, "NVIDIA GPU", remedy,
               "%s (%s) or /dev/nvidiactl cannot be used by user %u: %s", path, gpu->pci, geteuid(),
               g_strerror(error));
    return false;
}

/* True: one of them renders. */
static bool check_nvidias(Doctor *d)
{
    g_autoptr(GPtrArray) gpus = nvidia_list("/proc");
    bool renders = false;

    for (guint i = 0; i < gpus->len; i++) {
        const NvidiaGpu *gpu = gpus->pdata[i];
        g_autofree char *path = nvidia_node("/dev", gpu->minor);

        if (check_nvidia(d, gpu, path) && probe(d, "egl", "OpenGL", path)) {
            probe(d, "virgl", "virglrenderer", path);
            renders = true;
        }
    }
    return renders;
}

static bool check_nodes(Doctor *d)
{
    bool renders = check_nvidias(d);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(DRI, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        /* NVIDIA's are not used: see check_nvidias */
        if (g_str_has_prefix(name, "renderD") && !nvidia_has_render_node("/sys", name)) {
            g_ptr_array_add(paths, g_build_filename(DRI, name, NULL));
        }
    }
    g_ptr_array_sort(paths, by_name);
    if (!paths->len && !renders) {
        doctor_say(
            d, DOCTOR_WARN, "render node",
            "install the GPU's kernel driver and firmware; on a host without a GPU there is nothing to do",
            "none in " DRI ": VMs are rendered by the host's CPUs");
    }
    for (guint i = 0; i < paths->len; i++) {
        if (check_node(d, paths->pdata[i]) && probe(d, "egl", "OpenGL", paths->pdata[i])) {
            probe(d, "virgl", "virglrenderer", paths->pdata[i]);
            renders = true;
        }
    }
    return renders;
}

void doctor_check_gpus(Doctor *d)
{
    d->optional = check_nodes(d); /* who has a GPU need not have Mesa's software drivers */
    if (probe(d, "egl", "OpenGL", NULL)) {
        probe(d, "virgl", "virglrenderer", NULL);
    } else {
        doctor_say(d, DOCTOR_SKIP, "virglrenderer", NULL, "needs OpenGL");
    }
    d->optional = false;
}

/* Where vgpud finds it, unless vgpud.conf names another. */
static char *find_layer(void)
{
    const char *named = g_getenv("VGPU_VULKAN_LAYER");
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = g_path_get_dirname(self ? self : "/");
    g_autofree char *built = g_canonicalize_filename("../vulkan-layer/" LAYER, folder);

    return g_strdup(named && *named ? named : access(built, R_OK) == 0 ? built : VGPU_LIBDIR "/" LAYER);
}

static void check_layer(Doctor *d)
{
    g_autofree char *path = find_layer();

    if (access(path, R_OK) == 0) {
        probe(d, "layer", "Vulkan layer", path);
    } else {
        doctor_say(d, DOCTOR_FAIL, "Vulkan layer",
                   "install vgpu's Vulkan layer, or name it by vulkan-layer= in [renderer] of vgpud.conf",
                   "%s: %s", path, g_strerror(errno));
    }
}

/* Without any of this guests have OpenGL. */
void doctor_check_vulkan(Doctor *d)
{
    bool server = access(RENDER_SERVER, X_OK) == 0;

    d->optional = true;
    if (server) {
        doctor_say(d, DOCTOR_PASS, "render server", NULL, RENDER_SERVER);
    } else {
        doctor_say(d, DOCTOR_FAIL, "render server", "install virgl-server", RENDER_SERVER ": %s",
                   g_strerror(errno));
    }
    if (probe(d, "vulkan", "Vulkan", NULL) && server) {
        probe(d, "venus", "venus", NULL);
    } else {
        doctor_say(d, DOCTOR_SKIP, "venus", NULL, "needs Vulkan and the render server");
    }
    check_layer(d);
    d->optional = false;
}
