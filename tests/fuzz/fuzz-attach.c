/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The attach protocol: any packet is taken whole, or refused with a sentence that fits its reply. */
#include "fuzz.h"
#include "vgpud/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    WirePacket packet;
    enum vgpu_refusal code = 0;
    char *why = NULL;
    /* the first byte: how many descriptors came with it */
    unsigned fds = size ? data[0] % 5 : 0;

    if (size) {
        data++;
        size--;
    }
    if (wire_check(data, size, fds, &packet, &code, &why)) {
        FUZZ_ASSERT(!why && packet.hdr.size == size && packet.hdr.magic == VGPU_ATTACH_MAGIC);
        if (packet.hdr.type == VGPU_ATTACH_REQUEST) {
            FUZZ_ASSERT(memchr(packet.request.profile, 0, sizeof(packet.request.profile)));
            FUZZ_ASSERT(memchr(packet.request.name, 0, sizeof(packet.request.name)));
            FUZZ_ASSERT(packet.request.max_outputs >= 1 && packet.request.max_outputs <= 16);
        }
    } else {
        struct vgpu_attach_refused reply;

        FUZZ_ASSERT(why && *why && code);
        wire_refused(&reply, code, why);
        FUZZ_ASSERT(memchr(reply.message, 0, sizeof(reply.message)));
        g_free(why);
    }
    return 0;
}
