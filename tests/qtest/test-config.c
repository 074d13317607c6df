/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Config space, display information, EDID and capsets. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "qobject/qdict.h"
#include "vgpu/virtio.h"

#define CONFIG(g, field) qvirtio_config_readl((g)->dev, offsetof(struct virtio_gpu_config, field))

static void config_write(Gpu *g, unsigned offset, uint32_t value)
{
    qpci_io_writel(g->pci->pdev, g->pci->bar, g->pci->device_cfg_offset + offset, value);
}

static void num_scanouts_default(Gpu *g)
{
    g_assert_cmpuint(CONFIG(g, num_scanouts), ==, 1);
}

static void num_scanouts_16(Gpu *g)
{
    g_assert_cmpuint(CONFIG(g, num_scanouts), ==, 16);
}

static void num_capsets(Gpu *g)
{
    if (g->ours) {
        g_assert_cmpuint(CONFIG(g, num_capsets), >=, 1);
    } else {
        g_assert_cmpuint(CONFIG(g, num_capsets), ==, 0);
    }
}

/* num_scanouts, num_capsets and events_read are read-only */
static void read_only_fields(Gpu *g)
{
    uint32_t capsets = CONFIG(g, num_capsets);

    config_write(g, offsetof(struct virtio_gpu_config, num_scanouts), 16);
    config_write(g, offsetof(struct virtio_gpu_config, num_capsets), 99);
    config_write(g, offsetof(struct virtio_gpu_config, events_read), 0xff);
    g_assert_cmpuint(CONFIG(g, num_scanouts), ==, 1);
    g_assert_cmpuint(CONFIG(g, num_capsets), ==, capsets);
    g_assert_cmphex(CONFIG(g, events_read) & ~VIRTIO_GPU_EVENT_DISPLAY, ==, 0);
}

static void events_clear_unknown_bits(Gpu *g)
{
    config_write(g, offsetof(struct virtio_gpu_config, events_clear), 0xffffffff);
    g_assert_cmphex(CONFIG(g, events_read), ==, 0);
    g_assert_cmphex(CONFIG(g, events_clear), ==, 0);
}

/* A second console client, here VNC, resizes: that is the guest's event. */
static void beyond_config(Gpu *g)
{
    /* nothing is appended to virtio_gpu_config: reading past it is harmless */
    qvirtio_config_readl(g->dev, sizeof(struct virtio_gpu_config));
    qvirtio_config_readl(g->dev, 0xffc);
}

static void display_info_default(Gpu *g)
{
    struct virtio_gpu_resp_display_info info;
    unsigned i;

    gpu_expect(g, gpu_display_info(g, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    g_assert_cmpuint(info.pmodes[0].enabled, ==, 1);
    g_assert_cmpuint(info.pmodes[0].r.width, ==, 1280);
    g_assert_cmpuint(info.pmodes[0].r.height, ==, 800);
    for (i = 1; i < VIRTIO_GPU_MAX_SCANOUTS; i++) {
        g_assert_cmpuint(info.pmodes[i].enabled, ==, 0);
    }
}

static void display_info_xres_yres(Gpu *g)
{
    struct virtio_gpu_resp_display_info info;

    gpu_expect(g, gpu_display_info(g, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    g_assert_cmpuint(info.pmodes[0].r.width, ==, 1024);
    g_assert_cmpuint(info.pmodes[0].r.height, ==, 600);
}

static void assert_edid(const struct virtio_gpu_resp_edid *edid, unsigned width, unsigned height)
{
    static const uint8_t magic[8] = { 0, 255, 255, 255, 255, 255, 255, 0 };
    const uint8_t *e = edid->edid;
    uint8_t sum = 0;
    unsigned i;

    g_assert_cmpuint(edid->size, >=, 128);
    g_assert_cmpuint(edid->size, <=, sizeof(edid->edid));
    g_assert_cmpmem(e, 8, magic, 8);
    for (i = 0; i < 128; i++) {
        sum += e[i];
    }
    g_assert_cmpuint(sum, ==, 0);
    /* the first detailed timing is the preferred mode */
    g_assert_cmpuint(e[54 + 2] | (e[54 + 4] & 0xf0) << 4, ==, width);
    g_assert_cmpuint(e[54 + 5] | (e[54 + 7] & 0xf0) << 4, ==, height);
}

static void edid_preferred_mode(Gpu *g)
{
    struct virtio_gpu_resp_edid edid;

    gpu_expect(g, gpu_edid(g, 0, &edid), VIRTIO_GPU_RESP_OK_EDID);
    assert_edid(&edid, 1024, 600);
}

static void edid_of_every_output(Gpu *g)
{
    struct virtio_gpu_resp_edid edid;
    unsigned i;

    for (i = 0; i < 16; i++) {
        gpu_expect(g, gpu_edid(g, i, &edid), VIRTIO_GPU_RESP_OK_EDID);
        g_assert_cmpuint(edid.size, >=, 128);
    }
    gpu_expect(g, gpu_edid(g, 16, &edid), GPU_ANY_ERROR);
}

static void edid_scanout_past_num(Gpu *g)
{
    struct virtio_gpu_resp_edid edid;

    gpu_expect(g, gpu_edid(g, 1, &edid), GPU_ANY_ERROR);
}

static void edid_scanout_huge(Gpu *g)
{
    struct virtio_gpu_resp_edid edid;

    gpu_expect(g, gpu_edid(g, 16, &edid), GPU_ANY_ERROR);
    gpu_expect(g, gpu_edid(g, 0x80000000, &edid), GPU_ANY_ERROR);
    gpu_expect(g, gpu_edid(g, UINT32_MAX, &edid), GPU_ANY_ERROR);
}

/* --- capsets --- */

static void capset_info_of_each(Gpu *g)
{
    uint32_t count = CONFIG(g, num_capsets), i;
    struct virtio_gpu_resp_capset_info info;
    bool extension = false;

    for (i = 0; i < count; i++) {
        gpu_expect(g, gpu_capset_info(g, i, &info), VIRTIO_GPU_RESP_OK_CAPSET_INFO);
        /* stock Linux drops every capset when an id is 0 or above 63 */
        g_assert_cmpuint(info.capset_id, >, 0);
        g_assert_cmpuint(info.capset_id, <, 31);
        g_assert_cmpuint(info.capset_max_size, >, 0);
        extension |= info.capset_id == VGPU_CAPSET_ID;
    }
    g_assert_true(extension);
}

static void capset_info_index_past_num(Gpu *g)
{
    struct virtio_gpu_resp_capset_info info;
    uint32_t type = gpu_capset_info(g, CONFIG(g, num_capsets), &info);

    /* QEMU's convention is an id of 0; an error says the same */
    if (type == VIRTIO_GPU_RESP_OK_CAPSET_INFO) {
        g_assert_cmpuint(info.capset_id, ==, 0);
        g_assert_cmpuint(info.capset_max_size, ==, 0);
    } else {
        gpu_expect(g, type, GPU_ANY_ERROR);
    }
    type = gpu_capset_info(g, UINT32_MAX, &info);
    if (type == VIRTIO_GPU_RESP_OK_CAPSET_INFO) {
        g_assert_cmpuint(info.capset_id, ==, 0);
    } else {
        gpu_expect(g, type, GPU_ANY_ERROR);
    }
}

static void capset_of_each(Gpu *g)
{
    uint32_t count = CONFIG(g, num_capsets), i;
    struct virtio_gpu_resp_capset_info info;

    for (i = 0; i < count; i++) {
        g_autofree uint8_t *data = NULL;
        uint32_t j;

        gpu_expect(g, gpu_capset_info(g, i, &info), VIRTIO_GPU_RESP_OK_CAPSET_INFO);
        g_assert_cmpuint(info.capset_max_size, <=, 4096 - 24);
        data = g_malloc0(info.capset_max_size);
        gpu_expect(g, gpu_capset(g, info.capset_id, info.capset_max_version, data, info.capset_max_size),
                   VIRTIO_GPU_RESP_OK_CAPSET);
        for (j = 0; j < info.capset_max_size && !data[j]; j++) {
            /* find one byte that is set */
        }
        g_assert_cmpuint(j, <, info.capset_max_size);
    }
}

static void capset_extension(Gpu *g)
{
    struct vgpu_capset capset;

    gpu_expect(g, gpu_capset(g, VGPU_CAPSET_ID, VGPU_CAPSET_VERSION, &capset, sizeof(capset)),
               VIRTIO_GPU_RESP_OK_CAPSET);
    g_assert_cmpuint(capset.version, ==, VGPU_CAPSET_VERSION);
    g_assert_cmpuint(capset.size, ==, sizeof(capset));
    g_assert_cmpuint(capset.memory_limit, >, 0);
    g_assert_cmpuint(capset.max_outputs, ==, 1);
    g_assert_cmpstr(capset.profile, ==, "quarter");
    g_assert_cmpint(capset.gpu[0], !=, 0);
    g_assert_cmpint(capset.host_version[0], !=, 0);
}

/* The guest reads its slice; the same figure stands in the QOM property. */
static void capset_limit_is_the_profiles(Gpu *g)
{
    struct vgpu_capset capset;
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", g->id);
    QDict *rsp;

    gpu_expect(g, gpu_capset(g, VGPU_CAPSET_ID, VGPU_CAPSET_VERSION, &capset, sizeof(capset)),
               VIRTIO_GPU_RESP_OK_CAPSET);
    rsp = qtest_qmp(g->vm->qts,
                    "{ 'execute': 'qom-get', 'arguments': "
                    "{ 'path': %s, 'property': 'memory-limit' } }",
                    path);
    g_assert_true(qdict_haskey(rsp, "return"));
    g_assert_cmpint(qdict_get_int(rsp, "return"), ==, capset.memory_limit);
    qobject_unref(rsp);
}

static void capset_unknown_id(Gpu *g)
{
    uint8_t data[64];

    gpu_expect(g, gpu_capset(g, 0, 0, data, sizeof(data)), GPU_ANY_ERROR);
    gpu_expect(g, gpu_capset(g, 30, 0, data, sizeof(data)), GPU_ANY_ERROR);
    gpu_expect(g, gpu_capset(g, UINT32_MAX, 0, data, sizeof(data)), GPU_ANY_ERROR);
}

static void capset_unknown_version(Gpu *g)
{
    struct vgpu_capset capset;

    gpu_expect(g, gpu_capset(g, VGPU_CAPSET_ID, 99, &capset, sizeof(capset)), GPU_ANY_ERROR);
}

/* A response buffer that cannot hold the capset: an error, not half of it. */
static void capset_short_response(Gpu *g)
{
    uint8_t data[16];

    gpu_expect(g, gpu_capset(g, VGPU_CAPSET_ID, VGPU_CAPSET_VERSION, data, sizeof(data)),
               VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
}

static void extension_commands(Gpu *g)
{
    uint32_t type;

    for (type = VGPU_CMD_FIRST; type <= VGPU_CMD_LAST; type += 51) {
        struct virtio_gpu_ctrl_hdr req = { .type = type };

        gpu_expect(g, GPU_DO(g, req), VIRTIO_GPU_RESP_ERR_UNSPEC);
    }
}

static void unknown_commands(Gpu *g)
{
    static const uint32_t types[] = {
        0, 1, 0xff, 0x10e, 0x1ff, 0x20a, 0x2ff, 0x302, 0x1100, 0x1200, 0x7fffffff, UINT32_MAX,
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(types); i++) {
        struct virtio_gpu_ctrl_hdr req = { .type = types[i] };

        gpu_expect(g, GPU_DO(g, req), VIRTIO_GPU_RESP_ERR_UNSPEC);
    }
}

/* A cursor command has no business on the control queue. */
static void cursor_command_on_control_queue(Gpu *g)
{
    struct virtio_gpu_update_cursor req = { .hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR };

    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
}

const GpuCase cases_config[] = {
    { "config/num-scanouts-default", num_scanouts_default },
    { "config/num-scanouts-16", num_scanouts_16, 0, "max_outputs=16" },
    { "config/num-capsets", num_capsets },
    { "config/read-only-fields", read_only_fields },
    { "config/events-clear-unknown-bits", events_clear_unknown_bits },
    { "config/beyond", beyond_config },
    { "config/display-info-default", display_info_default },
    { "config/display-info-xres-yres", display_info_xres_yres, 0, "xres=1024,yres=600" },
    { "config/edid-preferred-mode", edid_preferred_mode, 0, "xres=1024,yres=600" },
    { "config/edid-of-every-output", edid_of_every_output, 0, "max_outputs=16" },
    { "config/edid-scanout-past-num", edid_scanout_past_num },
    { "config/edid-scanout-huge", edid_scanout_huge },
    { "config/capset-info-of-each", capset_info_of_each, CASE_OURS },
    { "config/capset-info-index-past-num", capset_info_index_past_num },
    { "config/capset-of-each", capset_of_each, CASE_OURS },
    { "config/capset-extension", capset_extension, CASE_OURS, "profile=quarter" },
    { "config/capset-limit-is-the-profiles", capset_limit_is_the_profiles, CASE_OURS, "profile=eighth" },
    { "config/capset-unknown-id", capset_unknown_id },
    { "config/capset-unknown-version", capset_unknown_version, CASE_OURS },
    { "config/capset-short-response", capset_short_response, CASE_OURS },
    { "config/extension-commands", extension_commands, CASE_OURS },
    { "config/unknown-commands", unknown_commands },
    { "config/cursor-command-on-control-queue", cursor_command_on_control_queue },
    { NULL }
};
