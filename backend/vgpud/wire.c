/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire.h"

#include <glib.h>
#include <string.h>

static bool malformed(enum vgpu_refusal *code, char **why, const char *format, ...) G_GNUC_PRINTF(3, 4);

static bool malformed(enum vgpu_refusal *code, char **why, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    *code = VGPU_REFUSED_MALFORMED;
    *why = g_strdup_vprintf(format, ap);
    va_end(ap);
    return false;
}

static bool ends_in_nul(const char *s, size_t size)
{
    return memchr(s, 0, size) != NULL;
}

static bool check_request(const struct vgpu_attach_request *r, enum vgpu_refusal *code, char **why)
{
    if (!ends_in_nul(r->profile, sizeof(r->profile)) || !ends_in_nul(r->gpu, sizeof(r->gpu)) ||
        !ends_in_nul(r->name, sizeof(r->name)) || !ends_in_nul(r->device, sizeof(r->device))) {
        return malformed(code, why,
                         "a name in the request does not end: QEMU and vgpud do not belong together");
    }
    if (r->max_outputs < 1 || r->max_outputs > 16) {
        return malformed(code, why, "max_outputs=%u is not a number from 1 to 16", r->max_outputs);
    }
    if (r->flags & ~VGPU_ATTACH_F_REJOIN) {
        return malformed(code, why, "the request has unknown flags (0x%x)", r->flags);
    }
    return true;
}

static bool check_lost(const struct vgpu_attach_lost *l, enum vgpu_refusal *code, char **why)
{
    if (l->cause > VGPU_LOST_PROTOCOL || l->pad) {
        return malformed(code, why, "a LOST message has cause %u and pad %u", l->cause, l->pad);
    }
    return true;
}

/* Opcode and exact size, before any handler runs; none comes with descriptors. */
static const struct {
    uint16_t type;
    uint32_t size;
} wire_table[] = {
    { VGPU_ATTACH_REQUEST, sizeof(struct vgpu_attach_request) },
    { VGPU_ATTACH_LOST, sizeof(struct vgpu_attach_lost) },
};

bool wire_check(const void *data, size_t size, bool fds, WirePacket *packet, enum vgpu_refusal *code,
                char **why)
{
    struct vgpu_attach_hdr hdr;
    unsigned i;

    if (size < sizeof(hdr)) {
        return malformed(code, why, "a packet of %zu bytes is shorter than its header", size);
    }
    memcpy(&hdr, data, sizeof(hdr));
    if (hdr.magic != VGPU_ATTACH_MAGIC) {
        return malformed(code, why,
                         "this is vgpud's attach socket, and what came is not the attach protocol");
    }
    if (hdr.version != VGPU_ATTACH_VERSION) {
        *code = VGPU_REFUSED_VERSION;
        *why = g_strdup_printf("this QEMU speaks version %u of the attach protocol and vgpud " VGPU_VERSION
                               " speaks version %u: install vgpu-pci and vgpud from the same release",
                               hdr.version, VGPU_ATTACH_VERSION);
        return false;
    }
    for (i = 0; i < G_N_ELEMENTS(wire_table) && wire_table[i].type != hdr.type; i++) {
    }
    if (i == G_N_ELEMENTS(wire_table)) {
        return malformed(code, why, "vgpud takes no message of type %u", hdr.type);
    }
    if (size != wire_table[i].size || hdr.size != wire_table[i].size) {
        return malformed(code, why, "a message of type %u has %zu bytes and says %u; it should have %u",
                         hdr.type, size, hdr.size, wire_table[i].size);
    }
    if (fds || hdr.fd_count) {
        return malformed(code, why,
                         "a message of type %u came %s descriptors and says %u; it should have none",
                         hdr.type, fds ? "with" : "without", hdr.fd_count);
    }
    memset(packet, 0, sizeof(*packet));
    memcpy(packet, data, size);
    return hdr.type == VGPU_ATTACH_REQUEST ? check_request(&packet->request, code, why)
                                           : check_lost(&packet->lost, code, why);
}

void wire_header(struct vgpu_attach_hdr *hdr, enum vgpu_attach_type type, size_t size, unsigned fds)
{
    hdr->magic = VGPU_ATTACH_MAGIC;
    hdr->version = VGPU_ATTACH_VERSION;
    hdr->type = type;
    hdr->size = size;
    hdr->fd_count = fds;
}

/* Cuts between characters, never within one. */
static void copy_message(char dst[VGPU_MESSAGE_MAX], const char *text)
{
    size_t n = strlen(text);

    if (n >= VGPU_MESSAGE_MAX) {
        n = VGPU_MESSAGE_MAX - 1;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    memcpy(dst, text, n);
    dst[n] = 0;
}

void wire_refused(struct vgpu_attach_refused *m, enum vgpu_refusal code, const char *why)
{
    memset(m, 0, sizeof(*m));
    wire_header(&m->hdr, VGPU_ATTACH_REFUSED, sizeof(*m), 0);
    m->code = code;
    copy_message(m->message, why);
}

void wire_event(struct vgpu_attach_event *m, enum vgpu_event event, const char *text)
{
    memset(m, 0, sizeof(*m));
    wire_header(&m->hdr, VGPU_ATTACH_EVENT, sizeof(*m), 0);
    m->event = event;
    copy_message(m->message, text);
}
