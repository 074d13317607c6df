/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpu-probe: tries the host's graphics as the renderer would use them, for
 * vgpuctl doctor, which loads no driver itself.  One subject a process, so that
 * a driver that crashes or hangs takes nothing else with it.
 *
 * Each finding is a line on stdout, its fields divided by tabs:
 *   pass|warn|fail  CHECK  what was found  what to do (may be empty)
 */
#include <dlfcn.h>
#include <epoxy/gl.h>
#include <stdio.h>
#include <string.h>
#include <virglrenderer.h>

#include "egl.h"
#include "log.h"
#include "ops.h"

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#define CAPSET_VENUS 4
#define DEVICES_MAX  16
#define LAYERS_MAX   64
#define LAYER_NAME   "VK_LAYER_VGPU_quota" /* as its manifest has it */

static int say(const char *result, const char *check, const char *remedy, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* The exit status. */
static int say(const char *result, const char *check, const char *remedy, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_strdelimit(text, "\t\n", ' ');
    printf("%s\t%s\t%s\t%s\n", result, check, text, remedy ? remedy : "");
    fflush(stdout);
    return g_str_equal(result, "fail");
}

static bool any_byte(const void *data, size_t size)
{
    const char *p = data;

    for (size_t i = 0; i < size; i++) {
        if (p[i]) {
            return true;
        }
    }
    return false;
}

/* ---- OpenGL ---- */

static int probe_egl(const char *node)
{
    g_autoptr(GError) error = NULL;
    Egl *egl = egl_open(node, &error);
    const char *version;

    if (!egl) {
        return say("fail", "OpenGL", NULL, "%s", error->message);
    }
    version = (const char *)glGetString(GL_VERSION);
    say("pass", "OpenGL", NULL, "%s, OpenGL %s", egl_description(egl), version ? version : "of no version");
    if (node && strstr(egl_description(egl), "llvmpipe")) {
        say("warn", "OpenGL", "install the driver of this GPU",
            "%s has a driver of its own, but Mesa renders in software", node);
    }
    egl_close(egl);
    return 0;
}

/* ---- virglrenderer ---- */

static void on_fence_done(void *opaque, uint64_t fence)
{
}

/* Where the library lies that is used: its name says which version it is. */
static char *library_of(void *symbol)
{
    Dl_info info;
    char *real;
    char *name;

    if (!dladdr(symbol, &info) || !info.dli_fname) {
        return g_strdup("libvirglrenderer");
    }
    real = realpath(info.dli_fname, NULL);
    name = g_path_get_basename(real ? real : info.dli_fname);
    free(real);
    return name;
}

static int check_capsets(Renderer *r)
{
    const RendererOps *ops = &renderer_virgl_ops;
    g_autofree char *library = library_of((void *)virgl_renderer_init);
    g_autoptr(GString) found = g_string_new(NULL);
    uint32_t id, version, size;

    for (uint32_t i = 0; ops->capset_info(r, i, &id, &version, &size); i++) {
        g_autofree void *caps = g_malloc0(size);

        if (!ops->capset(r, id, version, caps, size) || !any_byte(caps, size)) {
            return say("fail", "virglrenderer", "install another version of libvirglrenderer1",
                       "%s (built for %s) gives an empty capset %u: guests would have no OpenGL", library,
                       VIRGL_VERSION, id);
        }
        g_string_append_printf(found, ", capset %u version %u (%u bytes)", id, version, size);
    }
    if (!found->len) {
        return say("fail", "virglrenderer", "install libvirglrenderer1 as Debian builds it",
                   "%s has no virgl capset: guests would have no OpenGL", library);
    }
    return say("pass", "virglrenderer", NULL, "%s, built for %s%s", library, VIRGL_VERSION, found->str);
}

static int probe_virgl(const char *node)
{
    struct vgpu_stats page = { 0 };
    Ledger ledger;
    RendererConfig config = {
        .vm_name = "probe", .render_node = node, .gl = true, .ledger = &ledger, .fence_done = on_fence_done
    };
    g_autoptr(GError) error = NULL;
    Renderer *r;
    int status;

    ledger_init(&ledger, 256ull << 20, &page);
    r = renderer_virgl_ops.create(&config, &error);
    if (!r) {
        return say("fail", "virglrenderer", NULL, "%s", error->message);
    }
    status = check_capsets(r);
    renderer_virgl_ops.destroy(r);
    return status;
}

static void on_fence(void *opaque, uint32_t fence)
{
}

static void on_context_fence(void *opaque, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence)
{
}

/* Vulkan in guests: the capset alone proves nothing, a context needs the render server to live. */
static int probe_venus(const char *unused)
{
    struct virgl_renderer_callbacks callbacks = {
        .version = 3,
        .write_fence = on_fence,
        .write_context_fence = on_context_fence,
    };
    uint32_t version = 0, size = 0;
    g_autofree void *caps = NULL;
    int ret =
        virgl_renderer_init(&callbacks,
                            VIRGL_RENDERER_VENUS | VIRGL_RENDERER_RENDER_SERVER | VIRGL_RENDERER_NO_VIRGL |
                                VIRGL_RENDERER_THREAD_SYNC | VIRGL_RENDERER_ASYNC_FENCE_CB,
                            &callbacks);

    if (ret) {
        return say("fail", "venus", "install a libvirglrenderer1 that is built with venus",
                   "virglrenderer does not start venus (%s)", g_strerror(ret < 0 ? -ret : ret));
    }
    virgl_renderer_get_cap_set(CAPSET_VENUS, &version, &size);
    if (size) {
        caps = g_malloc0(size);
        virgl_renderer_fill_caps(CAPSET_VENUS, version, caps);
    }
    if (!size || !any_byte(caps, size)) {
        return say("fail", "venus", "install a libvirglrenderer1 that is built with venus",
                   "the venus capset is empty: Vulkan cannot be given to guests");
    }
    ret = virgl_renderer_context_create_with_flags(1, CAPSET_VENUS, strlen("probe"), "probe");
    if (ret) {
        return say("fail", "venus", "install virgl-server",
                   "virglrenderer's render server gives no context (%s)", g_strerror(ret < 0 ? -ret : ret));
    }
    virgl_renderer_context_destroy(1);
    return say("pass", "venus", NULL, "capset %d (%u bytes), and the render server gives a context",
               CAPSET_VENUS, size);
}

/* ---- Vulkan ---- */

typedef struct Vulkan {
    PFN_vkGetInstanceProcAddr get;
    VkInstance instance;
} Vulkan;

#define VK(v, name) ((PFN_##name)(v)->get((v)->instance, #name))

static const char *const needed[] = { VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME };

/* Without these what a guest draws with Vulkan cannot be shown without a copy. */
static const char *const wanted[] = {
    VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME,
    VK_EXT_IMAGE_DRM_FORMAT_MODIFIER_EXTENSION_NAME,
    VK_EXT_QUEUE_FAMILY_FOREIGN_EXTENSION_NAME,
};

static char *missing(const VkExtensionProperties *have, uint32_t count, const char *const *names, size_t n)
{
    GString *s = g_string_new(NULL);

    for (size_t i = 0; i < n; i++) {
        uint32_t k = 0;

        while (k < count && !g_str_equal(have[k].extensionName, names[i])) {
            k++;
        }
        if (k == count) {
            g_string_append_printf(s, "%s%s", s->len ? ", " : "", names[i]);
        }
    }
    return g_string_free(s, FALSE);
}

static int check_device(const Vulkan *v, VkPhysicalDevice device)
{
    PFN_vkEnumerateDeviceExtensionProperties enumerate = VK(v, vkEnumerateDeviceExtensionProperties);
    VkPhysicalDeviceProperties p;
    g_autofree VkExtensionProperties *extensions = NULL;
    g_autofree char *without = NULL, *poorer = NULL, *name = NULL;
    uint32_t count = 0;

    VK(v, vkGetPhysicalDeviceProperties)(device, &p);
    enumerate(device, NULL, &count, NULL);
    extensions = g_new0(VkExtensionProperties, count + 1);
    enumerate(device, NULL, &count, extensions);
    name = g_strdup_printf("%s, Vulkan %u.%u", p.deviceName, VK_API_VERSION_MAJOR(p.apiVersion),
                           VK_API_VERSION_MINOR(p.apiVersion));
    without = missing(extensions, count, needed, G_N_ELEMENTS(needed));
    poorer = missing(extensions, count, wanted, G_N_ELEMENTS(wanted));
    if (p.apiVersion < VK_API_VERSION_1_1) {
        return say("fail", "Vulkan", "install a newer Vulkan driver", "%s: venus needs 1.1", name);
    }
    if (*without) {
        return say("fail", "Vulkan", "install a newer Vulkan driver", "%s lacks %s, which venus needs", name,
                   without);
    }
    if (*poorer) {
        return say("warn", "Vulkan",
                   "a newer driver, or that of a GPU, may have it; without, Vulkan in guests can render "
                   "off-screen only",
                   "%s lacks %s", name, poorer);
    }
    return say("pass", "Vulkan", NULL, "%s, with all that venus wants", name);
}

static bool open_vulkan(Vulkan *v)
{
    VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .apiVersion = VK_API_VERSION_1_1,
    };
    VkInstanceCreateInfo create = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &app,
    };
    void *library = dlopen("libvulkan.so.1", RTLD_NOW);
    VkResult result;

    v->get = library ? (PFN_vkGetInstanceProcAddr)dlsym(library, "vkGetInstanceProcAddr") : NULL;
    if (!v->get) {
        say("fail", "Vulkan", "install libvulkan1 and mesa-vulkan-drivers", "there is no Vulkan loader");
        return false;
    }
    result = VK(v, vkCreateInstance)(&create, NULL, &v->instance);
    if (result != VK_SUCCESS) {
        say("fail", "Vulkan", "install mesa-vulkan-drivers", "no Vulkan driver starts (error %d)", result);
        return false;
    }
    return true;
}

static int probe_vulkan(const char *unused)
{
    Vulkan v = { 0 };
    VkPhysicalDevice devices[DEVICES_MAX];
    uint32_t count = DEVICES_MAX;
    int status = 0;

    if (!open_vulkan(&v)) {
        return 1;
    }
    if (VK(&v, vkEnumeratePhysicalDevices)(v.instance, &count, devices) < 0 || !count) {
        return say("fail", "Vulkan", "install mesa-vulkan-drivers", "Vulkan finds no device");
    }
    for (uint32_t i = 0; i < count; i++) {
        status |= check_device(&v, devices[i]);
    }
    VK(&v, vkDestroyInstance)(v.instance, NULL);
    return status;
}

/* The loader has to find the layer by its manifest, and it has to load. */
static int probe_layer(const char *path)
{
    static const char remedy[] = "install vgpu's Vulkan layer of the same release, its manifest beside it";
    g_autofree char *folder = g_path_get_dirname(path ? path : "");
    void *library = NULL, *layer;
    PFN_vkEnumerateInstanceLayerProperties enumerate;
    VkLayerProperties found[LAYERS_MAX];
    uint32_t count = LAYERS_MAX, i = 0;

    g_setenv("VK_LAYER_PATH", folder, TRUE);
    library = dlopen("libvulkan.so.1", RTLD_NOW);
    enumerate =
        library ? (PFN_vkEnumerateInstanceLayerProperties)dlsym(library, "vkEnumerateInstanceLayerProperties")
                : NULL;
    if (!enumerate || enumerate(&count, found) < 0) {
        return say("fail", "Vulkan layer", "install libvulkan1", "there is no Vulkan loader");
    }
    while (i < count && !g_str_equal(found[i].layerName, LAYER_NAME)) {
        i++;
    }
    if (i == count) {
        return say("fail", "Vulkan layer", remedy, "the Vulkan loader finds no " LAYER_NAME " in %s", folder);
    }
    layer = dlopen(path, RTLD_NOW);
    if (!layer || !dlsym(layer, "vkNegotiateLoaderLayerInterfaceVersion")) {
        return say("fail", "Vulkan layer", remedy, "%s does not load: %s", path, dlerror());
    }
    return say("pass", "Vulkan layer", NULL, "%s", path);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*probe)(const char *what);
    } probes[] = {
        { "egl", probe_egl },       { "virgl", probe_virgl }, { "venus", probe_venus },
        { "vulkan", probe_vulkan }, { "layer", probe_layer },
    };

    log_init("probe");
    for (unsigned i = 0; argc >= 2 && argc <= 3 && i < G_N_ELEMENTS(probes); i++) {
        if (g_str_equal(probes[i].name, argv[1])) {
            return probes[i].probe(argv[2]); /* NULL: in software */
        }
    }
    fprintf(stderr,
            "vgpu-probe is run by vgpuctl doctor: vgpu-probe egl|virgl|venus|vulkan [RENDER-NODE], or "
            "layer FILE\n");
    return 2;
}
