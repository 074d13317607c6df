// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * vgpu: outputs: the CRTC and the connector of each scanout, and what the host
 * says of them: whether somebody looks at it, where it lies, its EDID.
 *
 * What the host says is read by vgpu_outputs_read() in a worker and kept in
 * struct vgpu_output under mode_config.mutex, which the probe helpers hold when
 * they ask.
 */
#include <drm/drm_atomic_helper.h>
#include <drm/drm_edid.h>
#include <drm/drm_managed.h>
#include <drm/drm_probe_helper.h>

#include "vgpu_kms.h"

/* ---------------------------------------------------------------- CRTCs */

static const struct drm_crtc_funcs vgpu_crtc_funcs = {
	.set_config = drm_atomic_helper_set_config,
	.page_flip = drm_atomic_helper_page_flip,
	.reset = drm_atomic_helper_crtc_reset,
	.atomic_duplicate_state = drm_atomic_helper_crtc_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_crtc_destroy_state,
};

static enum drm_mode_status
vgpu_crtc_mode_valid(struct drm_crtc *crtc, const struct drm_display_mode *mode)
{
	if (mode->hdisplay > VGPU_MAX_SIZE)
		return MODE_BAD_HVALUE;
	if (mode->vdisplay > VGPU_MAX_SIZE)
		return MODE_BAD_VVALUE;
	if (mode->flags & (DRM_MODE_FLAG_INTERLACE | DRM_MODE_FLAG_DBLSCAN))
		return MODE_BAD;
	return MODE_OK;
}

/* The planes have all there is to do. */
static void vgpu_crtc_enable(struct drm_crtc *crtc,
			     struct vgpu_atomic_state *state)
{
}

static void vgpu_crtc_disable(struct drm_crtc *crtc,
			      struct vgpu_atomic_state *state)
{
	struct vgpu_device *vgpu = to_vgpu(crtc->dev);
	u32 index = crtc_to_output(crtc)->index;

	if (vgpu_cmd_set_scanout(vgpu, index, 0, 0, 0, 0, 0) ||
	    vgpu_cmd_update_cursor(vgpu, index, 0, 0, 0, 0, 0))
		drm_err_ratelimited(crtc->dev,
				    "output %u: no memory to switch it off\n",
				    index);
	vgpu_kick(vgpu);
	vgpu_queue_kick(&vgpu->cursor);
}

static const struct drm_crtc_helper_funcs vgpu_crtc_helpers = {
	.mode_valid = vgpu_crtc_mode_valid,
	.atomic_enable = vgpu_crtc_enable,
	.atomic_disable = vgpu_crtc_disable,
};

/* ----------------------------------------------------------- connectors */

static int vgpu_edid_block(void *context, u8 *buf, unsigned int block,
			   size_t len)
{
	const struct vgpu_output *output = context;
	size_t start = (size_t)block * EDID_LENGTH;

	if (start > output->edid_size || len > output->edid_size - start)
		return -1;
	memcpy(buf, output->edid + start, len);
	return 0;
}

/* One mode of the size that the host's window has. */
static int vgpu_connector_add_place(struct drm_connector *connector)
{
	struct vgpu_output *output = connector_to_output(connector);
	struct drm_display_mode *mode;

	if (!output->place.width || !output->place.height)
		return 0;
	mode = drm_cvt_mode(connector->dev, output->place.width,
			    output->place.height, 60, false, false, false);
	if (!mode)
		return 0;
	/* CVT rounds the width down to a multiple of 8 */
	mode->hdisplay = output->place.width;
	drm_mode_set_name(mode);
	mode->type |= DRM_MODE_TYPE_PREFERRED;
	drm_mode_probed_add(connector, mode);
	return 1;
}

static int vgpu_connector_get_modes(struct drm_connector *connector)
{
	struct vgpu_output *output = connector_to_output(connector);
	const struct drm_edid *edid = NULL;
	int count;

	if (output->edid)
		edid = drm_edid_read_custom(connector, vgpu_edid_block, output);
	count = vgpu_edid_add_modes(connector, edid);
	drm_edid_free(edid);
	if (count > 0)
		return count;
	count = drm_add_modes_noedid(connector, VGPU_MAX_SIZE, VGPU_MAX_SIZE);
	return count + vgpu_connector_add_place(connector);
}

static enum drm_connector_status
vgpu_connector_detect(struct drm_connector *connector, bool force)
{
	return connector_to_output(connector)->enabled ?
		       connector_status_connected :
		       connector_status_disconnected;
}

static const struct drm_connector_funcs vgpu_connector_funcs = {
	.detect = vgpu_connector_detect,
	.fill_modes = drm_helper_probe_single_connector_modes,
	.reset = drm_atomic_helper_connector_reset,
	.atomic_duplicate_state = drm_atomic_helper_connector_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_connector_destroy_state,
};

static const struct drm_connector_helper_funcs vgpu_connector_helpers = {
	.get_modes = vgpu_connector_get_modes,
};

/* ------------------------------------------------- what the host says */

/* The host's numbers are suggestions; one that is no size is none. */
static void vgpu_output_place(struct vgpu_output *output,
			      const struct virtio_gpu_display_one *one)
{
	struct drm_connector *connector = &output->connector;
	struct drm_mode_config *config = &connector->dev->mode_config;

	output->enabled = one->enabled != 0;
	output->place.x = le32_to_cpu(one->r.x);
	output->place.y = le32_to_cpu(one->r.y);
	output->place.width = le32_to_cpu(one->r.width);
	output->place.height = le32_to_cpu(one->r.height);
	if (output->place.width > VGPU_MAX_SIZE ||
	    output->place.height > VGPU_MAX_SIZE)
		memset(&output->place, 0, sizeof(output->place));
	drm_object_property_set_value(&connector->base,
				      config->suggested_x_property,
				      output->place.x);
	drm_object_property_set_value(&connector->base,
				      config->suggested_y_property,
				      output->place.y);
}

/* NULL and 0 where there is none; the blocks are checked by who parses them. */
static void *vgpu_output_read_edid(struct vgpu_device *vgpu, u32 index,
				   struct virtio_gpu_resp_edid *answer,
				   size_t *size)
{
	void *edid;

	*size = 0;
	if (!vgpu->has_edid || vgpu_cmd_get_edid(vgpu, index, answer))
		return NULL;
	edid = kmemdup(answer->edid,
		       min_t(size_t, le32_to_cpu(answer->size),
			     sizeof(answer->edid)),
		       GFP_KERNEL);
	if (edid)
		*size = min_t(size_t, le32_to_cpu(answer->size),
			      sizeof(answer->edid));
	return edid;
}

int vgpu_outputs_read(struct vgpu_device *vgpu)
{
	struct drm_device *drm = &vgpu->drm;
	struct {
		struct virtio_gpu_resp_display_info info;
		struct virtio_gpu_resp_edid edid;
	} *answer;
	size_t size;
	void *edid;
	int ret;
	u32 i;

	answer = kzalloc(sizeof(*answer), GFP_KERNEL);
	if (!answer)
		return -ENOMEM;
	ret = vgpu_cmd_get_display_info(vgpu, &answer->info);
	for (i = 0; !ret && i < vgpu->num_scanouts; i++) {
		edid = vgpu_output_read_edid(vgpu, i, &answer->edid, &size);
		mutex_lock(&drm->mode_config.mutex);
		vgpu_output_place(&vgpu->outputs[i], &answer->info.pmodes[i]);
		swap(vgpu->outputs[i].edid, edid);
		vgpu->outputs[i].edid_size = size;
		mutex_unlock(&drm->mode_config.mutex);
		kfree(edid);
	}
	kfree(answer);
	return ret;
}

static void vgpu_output_release(struct drm_device *drm, void *data)
{
	struct vgpu_output *output = data;

	kfree(output->edid);
	output->edid = NULL;
	if (output->flushed)
		dma_fence_put(&output->flushed->base);
	output->flushed = NULL;
}

int vgpu_output_init(struct vgpu_device *vgpu, u32 index)
{
	struct vgpu_output *output = &vgpu->outputs[index];
	struct drm_connector *connector = &output->connector;
	struct drm_device *drm = &vgpu->drm;
	struct drm_plane *primary, *cursor;
	int ret;

	output->index = index;
	ret = drmm_add_action(drm, vgpu_output_release, output);
	if (ret)
		return ret;
	primary = vgpu_plane_create(vgpu, index, DRM_PLANE_TYPE_PRIMARY);
	if (IS_ERR(primary))
		return PTR_ERR(primary);
	cursor = vgpu_plane_create(vgpu, index, DRM_PLANE_TYPE_CURSOR);
	if (IS_ERR(cursor))
		return PTR_ERR(cursor);
	ret = drmm_crtc_init_with_planes(drm, &output->crtc, primary, cursor,
					 &vgpu_crtc_funcs, NULL);
	if (ret)
		return ret;
	drm_crtc_helper_add(&output->crtc, &vgpu_crtc_helpers);

	ret = drmm_encoder_init(drm, &output->encoder, NULL,
				DRM_MODE_ENCODER_VIRTUAL, NULL);
	if (ret)
		return ret;
	output->encoder.possible_crtcs = drm_crtc_mask(&output->crtc);

	ret = drmm_connector_init(drm, connector, &vgpu_connector_funcs,
				  DRM_MODE_CONNECTOR_VIRTUAL, NULL);
	if (ret)
		return ret;
	connector->polled = DRM_CONNECTOR_POLL_HPD;
	drm_connector_helper_add(connector, &vgpu_connector_helpers);
	drm_connector_attach_edid_property(connector);
	drm_object_attach_property(&connector->base,
				   drm->mode_config.suggested_x_property, 0);
	drm_object_attach_property(&connector->base,
				   drm->mode_config.suggested_y_property, 0);
	return drm_connector_attach_encoder(connector, &output->encoder);
}
