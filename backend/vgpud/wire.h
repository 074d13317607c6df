/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attach protocol's packets: checked before anybody looks at them, and
 * made so that no byte of a reply is left unset.
 */
#ifndef VGPUD_WIRE_H
#define VGPUD_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "vgpu/attach.h"

typedef union WirePacket {
    struct vgpu_attach_hdr hdr;
    struct vgpu_attach_request request;
    struct vgpu_attach_lost lost;
} WirePacket;

/*
 * Whether a packet of size bytes, as it came from QEMU, with descriptors that
 * were not received (fds) or without, is a valid REQUEST or LOST.  When it is not, *code is set and *why is a
 * sentence to free.  The packet may be of any size and content.
 */
bool wire_check(const void *data, size_t size, bool fds, WirePacket *packet, enum vgpu_refusal *code,
                char **why);

void wire_header(struct vgpu_attach_hdr *hdr, enum vgpu_attach_type type, size_t size, unsigned fds);
void wire_refused(struct vgpu_attach_refused *m, enum vgpu_refusal code, const char *why);
void wire_event(struct vgpu_attach_event *m, enum vgpu_event event, const char *text);

#endif
