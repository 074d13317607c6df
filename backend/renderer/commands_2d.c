/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands every virtio-gpu has. */
#include <string.h>
#include <sys/random.h>

#include "command.h"
#include "format.h"
#include "late.h"
#include "log.h"
#include "resource.h"
#include "scanout.h"

/* Gallium's numbers for what a 2D resource is to virgl. */
#define PIPE_TEXTURE_2D    2
#define BIND_RENDER_TARGET (1u << 1)

/* A capset of any renderer; virgl's second is about 1.5 KiB. */
#define CAPSET_MAX (64u * 1024)

static Rect rect_of(const struct virtio_gpu_rect *r)
{
    return (Rect){ r->x, r->y, r->width, r->height };
}

static bool rect_in_resource(const Resource *r, const Rect *rect)
{
    if (!rect->w || !rect->h || !rect_within(rect, r->shape.width, r->shape.height)) {
        log_guest("resource %u is %ux%u: %ux%u+%u+%u is not within", r->id, r->shape.width, r->shape.height,
                  rect->w, rect->h, rect->x, rect->y);
        return false;
    }
    return true;
}

/* NULL and *code when there is no such resource. */
static Resource *resource_of(Device *d, uint32_t id, uint32_t *code)
{
    Resource *r = resource_find(d, id);

    if (!r) {
        log_guest("there is no resource %u", id);
        *code = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    return r;
}

uint32_t command_get_display_info(Device *d, Command *c)
{
    struct vgpu_channel_display_info info;

    channel_display_info(d->channel, &info);
    for (unsigned i = 0; i < MIN(info.count, (uint32_t)d->options->max_outputs); i++) {
        struct virtio_gpu_display_one *one = &c->out.display_info.pmodes[i];

        one->enabled = info.mode[i].enabled;
        one->r.x = info.mode[i].x;
        one->r.y = info.mode[i].y;
        one->r.width = info.mode[i].width;
        one->r.height = info.mode[i].height;
    }
    c->out_size = sizeof(c->out.display_info);
    return VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
}

uint32_t command_get_edid(Device *d, Command *c)
{
    struct vgpu_channel_edid edid;

    if (!scanout_exists(d, c->in.edid.scanout)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (!channel_edid(d->channel, c->in.edid.scanout, &edid)) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    G_STATIC_ASSERT(sizeof(c->out.edid.edid) == VGPU_CHANNEL_EDID_MAX);
    c->out.edid.size = edid.size;
    memcpy(c->out.edid.edid, edid.edid, edid.size);
    c->out_size = sizeof(c->out.edid);
    return VIRTIO_GPU_RESP_OK_EDID;
}

uint32_t command_create_2d(Device *d, Command *c)
{
    ResourceShape shape = {
        .target = PIPE_TEXTURE_2D,
        .format = c->in.create_2d.format,
        .bind = BIND_RENDER_TARGET,
        .width = c->in.create_2d.width,
        .height = c->in.create_2d.height,
        .depth = 1,
        .array_size = 1,
        .flags = VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP,
    };
    const Resource *r;

    r = c->replay ? resource_find(d, c->in.create_2d.resource_id) : NULL;
    if (r && r->is_2d && !memcmp(&r->shape, &shape, sizeof(shape))) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    /* The id is checked first: the answer then does not depend on two faults. */
    if (c->in.create_2d.resource_id && !resource_find(d, c->in.create_2d.resource_id) &&
        !format_fourcc(shape.format)) {
        log_guest("resource %u: format %u is not a 2D one", c->in.create_2d.resource_id, shape.format);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    return resource_create(d, c->in.create_2d.resource_id, &shape, true);
}

uint32_t command_unref(Device *d, Command *c)
{
    uint32_t id = c->in.unref.resource_id, code;
    Resource *r;

    if (resource_forget_gone(d, id) || (c->replay && !resource_find(d, id))) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    r = resource_of(d, id, &code);
    if (!r) {
        return code;
    }
    resource_destroy(d, r);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t command_set_scanout(Device *d, Command *c)
{
    Rect rect = rect_of(&c->in.set_scanout.r);
    uint32_t code;
    Resource *r;

    if (!scanout_exists(d, c->in.set_scanout.scanout_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    }
    if (!c->in.set_scanout.resource_id) {
        scanout_disable(d, c->in.set_scanout.scanout_id);
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    r = resource_of(d, c->in.set_scanout.resource_id, &code);
    if (!r) {
        return code;
    }
    if (!rect_in_resource(r, &rect) || !scanout_allowed(d, &rect)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    return scanout_set(d, c->in.set_scanout.scanout_id, r, &rect, NULL);
}

uint32_t command_flush(Device *d, Command *c)
{
    Rect rect = rect_of(&c->in.flush.r);
    uint32_t code;
    Resource *r = resource_of(d, c->in.flush.resource_id, &code);

    if (!r) {
        return code;
    }
    if (r->blob ? !scanout_has(d, r, &rect) : !rect_in_resource(r, &rect)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    return scanout_flush(d, r, &rect);
}

uint32_t command_transfer_2d(Device *d, Command *c)
{
    const struct virtio_gpu_transfer_to_host_2d *in = &c->in.transfer_2d;
    Rect rect = rect_of(&in->r);
    RendererTransfer t = {
        .resource_id = in->resource_id,
        .offset = in->offset,
        .box = { rect.x, rect.y, 0, rect.w, rect.h, 1 },
    };
    uint64_t stride, last;
    uint32_t code;
    Resource *r = resource_of(d, in->resource_id, &code);

    if (!r) {
        return code;
    }
    if (r->blob) {
        /* It is what the guest wrote; Linux asks all the same, for its cursors. */
        scanout_cursor_written(d, r);
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (!r->has_backing) {
        log_guest("resource %u has no backing to transfer from", r->id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (!rect_in_resource(r, &rect)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (r->is_2d) {
        /* Lines are as far apart in the backing as in the resource. */
        stride = (uint64_t)r->shape.width * 4;
        last = stride * (rect.h - 1) + (uint64_t)rect.w * 4;
        if (in->offset > r->backing_size || last > r->backing_size - in->offset) {
            log_guest("resource %u: a transfer past the end of its backing", r->id);
            return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
        }
    }
    code = d->ops->transfer_to_host(d->renderer, &t);
    if (code == VIRTIO_GPU_RESP_OK_NODATA) {
        scanout_cursor_written(d, r);
    }
    return code;
}

uint32_t command_attach_backing(Device *d, Command *c)
{
    uint32_t count = c->in.attach.nr_entries, code;
    Resource *r = resource_of(d, c->in.attach.resource_id, &code);

    if (!r) {
        return code;
    }
    if (c->data_size != (uint64_t)count * sizeof(struct virtio_gpu_mem_entry)) {
        log_guest("resource %u: a backing of %u entries in %u bytes", r->id, count, c->data_size);
        return count > BACKING_ENTRIES_MAX ? VIRTIO_GPU_RESP_ERR_UNSPEC
                                           : VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (c->replay && r->has_backing && !r->blob) {
        resource_detach(d, r);
    }
    return resource_attach(d, r, c->data, count);
}

uint32_t command_detach_backing(Device *d, Command *c)
{
    uint32_t code;
    Resource *r;

    if (resource_is_gone(d, c->in.detach.resource_id)) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    r = resource_of(d, c->in.detach.resource_id, &code);
    if (!r) {
        return code;
    }
    if (!r->has_backing && c->replay) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (!r->has_backing) {
        log_guest("resource %u has no backing to detach", r->id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    resource_detach(d, r);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t command_get_capset_info(Device *d, Command *c)
{
    uint32_t id, version, size;

    if (!capset_info(d, c->in.capset_info.capset_index, &id, &version, &size)) {
        log_guest("there is no capset with index %u", c->in.capset_info.capset_index);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    c->out.capset_info.capset_id = id;
    c->out.capset_info.capset_max_version = version;
    c->out.capset_info.capset_max_size = size;
    c->out_size = sizeof(c->out.capset_info);
    return VIRTIO_GPU_RESP_OK_CAPSET_INFO;
}

static uint32_t get_capset(Device *d, Command *c)
{
    uint32_t id, version, size, i;

    for (i = 0; capset_info(d, i, &id, &version, &size); i++) {
        if (id == c->in.capset.capset_id) {
            break;
        }
    }
    if (!capset_info(d, i, &id, &version, &size) || c->in.capset.capset_version > version ||
        size > CAPSET_MAX) {
        log_guest("there is no capset %u of version %u", c->in.capset.capset_id, c->in.capset.capset_version);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    c->big = g_malloc0(sizeof(struct virtio_gpu_ctrl_hdr) + size);
    if (!capset_fill(d, id, c->in.capset.capset_version,
                     (uint8_t *)c->big + sizeof(struct virtio_gpu_ctrl_hdr), size)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    c->out_size = sizeof(struct virtio_gpu_ctrl_hdr) + size;
    return VIRTIO_GPU_RESP_OK_CAPSET;
}

uint32_t command_get_capset(Device *d, Command *c)
{
    uint32_t code = get_capset(d, c);

    if (code >= VIRTIO_GPU_RESP_ERR_UNSPEC && !c->replay) {
        late_make_way(d, c->in.capset.capset_id);
    }
    return code;
}

uint32_t command_assign_uuid(Device *d, Command *c)
{
    uint32_t code;
    Resource *r = resource_of(d, c->in.assign_uuid.resource_id, &code);

    if (!r) {
        return code;
    }
    if (!r->has_uuid) {
        uint8_t uuid[sizeof(r->uuid)];

        if (getrandom(uuid, sizeof(uuid), 0) != sizeof(uuid)) {
            return VIRTIO_GPU_RESP_ERR_UNSPEC;
        }
        uuid[6] = (uuid[6] & 0x0f) | 0x40; /* RFC 9562, version 4 */
        uuid[8] = (uuid[8] & 0x3f) | 0x80;
        resource_set_uuid(d, r, uuid);
    }
    memcpy(c->out.uuid.uuid, r->uuid, sizeof(r->uuid));
    c->out_size = sizeof(c->out.uuid);
    return VIRTIO_GPU_RESP_OK_RESOURCE_UUID;
}

uint32_t command_update_cursor(Device *d, Command *c)
{
    const struct virtio_gpu_update_cursor *in = &c->in.cursor;
    Resource *r = NULL;
    uint32_t code;

    if (!scanout_exists(d, in->pos.scanout_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    }
    if (in->resource_id) {
        r = resource_of(d, in->resource_id, &code);
        if (!r) {
            return code;
        }
    }
    return scanout_cursor(d, in->pos.scanout_id, r, in->pos.x, in->pos.y, in->hot_x, in->hot_y);
}

uint32_t command_move_cursor(Device *d, Command *c)
{
    const struct virtio_gpu_update_cursor *in = &c->in.cursor;

    if (!scanout_exists(d, in->pos.scanout_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    }
    /* The other fields are not for MOVE (virtio 1.2, 5.7.6.10): it hides nothing. */
    scanout_cursor_moved(d, in->pos.scanout_id, in->pos.x, in->pos.y);
    return VIRTIO_GPU_RESP_OK_NODATA;
}
