/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Included by vgpu-differences.c only: { case, wanted, given, why }. */
/* clang-format off */
#define OK    VIRTIO_GPU_RESP_OK_NODATA
#define PARAM VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
#define OOM   VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY

{ "negotiation/edid-off", GPU_ANY_ERROR, VIRTIO_GPU_RESP_OK_EDID,
  "GET_EDID is answered whether EDID was negotiated or not" },
{ "negotiation/unnegotiated-edid", GPU_ANY_ERROR, VIRTIO_GPU_RESP_OK_EDID,
  "GET_EDID is answered whether EDID was negotiated or not" },
{ "2d-invalid/create-width-0", PARAM, OOM, "an empty picture is an allocation that failed" },
{ "2d-invalid/create-height-0", PARAM, OOM, "an empty picture is an allocation that failed" },
{ "2d-invalid/attach-outside-ram", GPU_ANY_ERROR, OK, "device memory is read by bounce buffer" },
{ "2d-invalid/attach-second-entry-outside-ram", GPU_ANY_ERROR, OK,
  "device memory is read by bounce buffer" },
{ "2d-invalid/transfer-offset-out", PARAM, OK, "what is missing is not copied" },
{ "2d-invalid/transfer-backing-too-small", PARAM, OK, "what is missing is not copied" },
