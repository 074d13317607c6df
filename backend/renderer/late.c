/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See late.h for the theory. */
#include "late.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../vgpud/nvidia.h"
#include "command.h"
#include "egl.h"
#include "isolation.h"
#include "log.h"
#include "render.h"
#include "resource.h"
#include "scanout.h"
#include "vgpu/virtio.h"

#define CAPSET_VENUS 4 /* in virtio_gpu.h of newer kernels */

/* What was missing (memory, descriptors) may be there again; stock drivers wait for 5 s. */
#define MAKE_WAY_US G_USEC_PER_SEC

bool late_begin(Device *d, GError **error)
{
    const Options *o = d->options;
    RendererConfig config;

    if (!o->facts || (strcmp(o->renderer, "auto") != 0 && strcmp(o->renderer, "virgl") != 0) ||
        (!o->gl && !d->render_server)) {
        return false;
    }
    if (!facts_parse(&d->facts, o->facts)) {
        log_say("what is known of this host's OpenGL is of another release: it is started now");
        return false;
    }
    render_config(d, &config);
    d->ops = &renderer_2d_ops;
    d->renderer = d->ops->create(&config, error);
    d->late = d->renderer != NULL;
    return d->late;
}

/* ---- what is told ---- */

bool late_capset_info(Device *d, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size)
{
    if (!d->late) {
        return d->ops->capset_info(d->renderer, index, id, version, size);
    }
    for (unsigned i = 0; i < d->facts.capsets; i++) {
        if (d->facts.capset[i].id == CAPSET_VENUS && !d->render_server) {
            continue; /* the probe had one */
        }
        if (index-- == 0) {
            *id = d->facts.capset[i].id;
            *version = d->facts.capset[i].version;
            *size = d->facts.capset[i].size;
            return true;
        }
    }
    return false;
}

bool late_capset_is_remote(Device *d, uint32_t capset_id)
{
    if (!d->late) {
        return d->ops->capset_is_remote && d->ops->capset_is_remote(d->renderer, capset_id);
    }
    return capset_id == CAPSET_VENUS && d->render_server;
}

const char *late_description(Device *d)
{
    return d->late ? d->facts.description : d->ops->description(d->renderer);
}

const char *late_gl_version(Device *d)
{
    if (d->late) {
        return d->facts.gl_version;
    }
    return d->ops->gl_version ? d->ops->gl_version(d->renderer) : NULL;
}

/* ---- moving over ---- */

/* The pixels of a picture, from the renderer that has them to one that has made it. */
static bool move_pixels(Device *d, Renderer *to, const Resource *r)
{
    uint64_t size = (uint64_t)r->shape.width * r->shape.height * 4;
    g_autofree void *pixels = g_try_malloc(size);
    struct iovec iov = { pixels, size };
    RendererTransfer t = {
        .resource_id = r->id,
        .box = { 0, 0, 0, r->shape.width, r->shape.height, 1 },
    };
    uint32_t fourcc;
    bool ok;

    if (!pixels || d->ops->read_pixels(d->renderer, r->id, 0, 0, r->shape.width, r->shape.height, pixels,
                                       r->shape.width * 4, &fourcc) != VIRTIO_GPU_RESP_OK_NODATA) {
        return false;
    }
    ok = renderer_virgl_ops.backing_attach(to, r->id, &iov, 1) == VIRTIO_GPU_RESP_OK_NODATA &&
         renderer_virgl_ops.transfer_to_host(to, &t) == VIRTIO_GPU_RESP_OK_NODATA;
    renderer_virgl_ops.backing_detach(to, r->id);
    return ok;
}

static bool move_picture(Device *d, Renderer *to, const Resource *r)
{
    if (renderer_virgl_ops.resource_create(to, r->id, &r->shape) != VIRTIO_GPU_RESP_OK_NODATA ||
        !move_pixels(d, to, r)) {
        return false;
    }
    return !r->has_backing ||
           renderer_virgl_ops.backing_attach(to, r->id, r->iov, r->iov_count) == VIRTIO_GPU_RESP_OK_NODATA;
}

/* Of guest memory: the 2D renderer did not know it. */
static bool move_blob(Renderer *to, Resource *r)
{
    const RendererBlob blob = {
        .resource_id = r->id,
        .mem = r->blob->mem,
        .flags = r->blob->flags,
        .size = r->blob->size,
        .iov = r->iov,
        .iov_count = r->iov_count,
    };

    r->in_renderer = renderer_virgl_ops.blob_create(to, &blob) == VIRTIO_GPU_RESP_OK_NODATA;
    return r->in_renderer;
}

static void move_all(Device *d, Renderer *to)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, d->resources);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Resource *r = value;

        if (!(r->blob ? move_blob(to, r) : move_picture(d, to, r))) {
            log_say("resource %u does not come over to OpenGL whole", r->id);
        }
    }
}

/* Pixels come out of OpenGL in one order of bytes, whatever the picture's is. */
static void show_again(Device *d)
{
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        const Scanout *s = &d->scanout[i];
        Resource *r = s->resource_id && !s->frame.format ? resource_find(d, s->resource_id) : NULL;
        uint32_t fourcc;

        if (r &&
            d->ops->read_pixels(d->renderer, r->id, s->rect.x, s->rect.y, s->rect.w, s->rect.h, NULL, 0,
                                &fourcc) == VIRTIO_GPU_RESP_OK_NODATA &&
            fourcc != s->fourcc) {
            Rect rect = s->rect;

            scanout_set(d, i, r, &rect, NULL);
        }
    }
}

bool late_start(Device *d)
{
    g_autoptr(GError) error = NULL;
    RendererConfig config;
    Renderer *renderer;
    int64_t began = g_get_monotonic_time();

    if (!d->late) {
        return d->ops->context_create != NULL;
    }
    d->late = false; /* once */
    render_config(d, &config);
    renderer = renderer_virgl_ops.create(&config, &error);
    if (!renderer) {
        log_say("%s does not start, though it did when this host was tried (%s): the guest has 2D graphics "
                "only until it gets another renderer ('vgpuctl restart'); 'vgpuctl doctor' says what is "
                "wrong with this host",
                renderer_virgl_ops.name, error->message);
        g_clear_pointer(&d->render_server, render_server_free);
        return false;
    }
    move_all(d, renderer);
    d->ops->destroy(d->renderer);
    d->ops = &renderer_virgl_ops;
    d->renderer = renderer;
    render_watch(d, d->ops->poll_fd(renderer), VHOST_WORK_RENDERER);
    show_again(d);
    log_say("OpenGL started in %" G_GINT64_FORMAT " ms: %s", (g_get_monotonic_time() - began) / 1000,
            d->ops->description(renderer));
    return true;
}

/* A driver that knows our extension keeps no errors. */
static bool guest_asks_once(const Device *d)
{
    return vhost_has_feature(d->vhost, VIRTIO_GPU_F_VIRGL) && !vhost_has_feature(d->vhost, VGPU_F_EXTENSION);
}

void late_make_way(Device *d, uint32_t capset_id)
{
    static const char why[] =
        "the guest asks only once what OpenGL and Vulkan can do, and OpenGL does not start "
        "now: the next renderer tries again";

    if (d->ops != &renderer_2d_ops || !strcmp(d->options->renderer, "2d") || !capset_api(capset_id) ||
        !capset_allowed(d, capset_id) || !guest_asks_once(d)) {
        return;
    }
    log_say("%s", why);
    gpu_time_leave(d);
    g_usleep(MAKE_WAY_US);
    channel_fatal(d->channel, VGPU_FATAL_ERROR, why);
    _exit(1); /* the guest's objects, and this command, stay in the table */
}

/* ---- the probe ---- */

static bool find(const RendererOps *ops, Renderer *r, Facts *f)
{
    uint32_t id, version, size;

    for (uint32_t i = 0; ops->capset_info(r, i, &id, &version, &size); i++) {
        g_autofree void *caps = g_malloc0(size);

        if (f->capsets == FACTS_CAPSETS || !ops->capset(r, id, version, caps, size)) {
            return false;
        }
        f->capset[f->capsets].id = id;
        f->capset[f->capsets].version = version;
        f->capset[f->capsets].size = size;
        f->capsets++;
    }
    g_strlcpy(f->description, ops->description(r), sizeof(f->description));
    g_strlcpy(f->gl_version, ops->gl_version(r), sizeof(f->gl_version));
    return f->capsets > 0;
}

/* A line for each file of this process's code; what it has not mapped by now it needs not to start. */
static void append_files(GString *s)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *maps = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents("/proc/self/maps", &maps, NULL, NULL)) {
        return;
    }
    lines = g_strsplit(maps, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        const char *path = strchr(lines[i], '/');

        if (path && strstr(path, ".so") && g_hash_table_add(seen, g_strdup(path))) {
            g_string_append_printf(s, "\n%s", path);
        }
    }
}

bool late_probe(Device *d, int fd)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *line = NULL;
    g_autoptr(GString) text = NULL;
    RendererConfig config;
    Facts facts = { 0 };
    Renderer *r;

    if (!d->options->no_sandbox) {
        isolate_serving(nvidia_is_node(d->options->render_node));
    }
    render_config(d, &config);
    r = renderer_virgl_ops.create(&config, &error);
    if (!r || !find(&renderer_virgl_ops, r, &facts)) {
        log_say("OpenGL cannot be started late here: %s",
                error ? error->message : "a capset of virglrenderer's is empty");
        return false;
    }
    line = facts_text(&facts);
    text = g_string_new(line);
    append_files(text);
    if (write(fd, text->str, text->len) != (ssize_t)text->len) {
        log_say("nobody takes what was found: %s", g_strerror(errno));
        return false;
    }
    return true; /* the end of the process ends all else */
}
