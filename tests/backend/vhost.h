/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front-end's half of vhost-user, by its specification (QEMU
 * docs/interop/vhost-user.rst).  The structs are our own on purpose: the
 * back-end uses libvhost-user's, and a test with the same header would share
 * its mistakes.  Every exchange has a deadline.
 */
#ifndef TEST_VHOST_H
#define TEST_VHOST_H

#include "vring.h"

/* Milliseconds; QEMU's own deadline for an exchange is 1000. */
#define VHOST_DEADLINE 5000

enum {
    VHOST_GET_FEATURES = 1,
    VHOST_SET_FEATURES = 2,
    VHOST_SET_OWNER = 3,
    VHOST_SET_MEM_TABLE = 5,
    VHOST_SET_VRING_NUM = 8,
    VHOST_SET_VRING_ADDR = 9,
    VHOST_SET_VRING_BASE = 10,
    VHOST_GET_VRING_BASE = 11,
    VHOST_SET_VRING_KICK = 12,
    VHOST_SET_VRING_CALL = 13,
    VHOST_GET_PROTOCOL_FEATURES = 15,
    VHOST_SET_PROTOCOL_FEATURES = 16,
    VHOST_GET_QUEUE_NUM = 17,
    VHOST_SET_VRING_ENABLE = 18,
    VHOST_GET_CONFIG = 24,
    VHOST_GET_MAX_MEM_SLOTS = 36,
    VHOST_ADD_MEM_REG = 37,
    VHOST_REM_MEM_REG = 38,
};

#define VHOST_F_PROTOCOL_FEATURES 30
#define VHOST_PROTOCOL_REPLY_ACK  3
#define VHOST_PROTOCOL_MEM_SLOTS  15

typedef struct VhostRegion {
    uint64_t gpa, size, qva, fd_offset;
} VhostRegion;

typedef struct Vhost {
    int fd;
    uint64_t features;          /* offered by the back-end */
    uint64_t protocol_features; /* agreed */
    bool failed;                /* a deadline passed or the socket closed */
} Vhost;

/* Takes fd. */
void vhost_init(Vhost *v, int fd);
void vhost_finish(Vhost *v);

/*
 * One exchange.  reply: where the payload of the answer goes, NULL: none is
 * due (an acknowledgement is asked for where that was agreed).  False on a
 * missed deadline, a closed socket, a wrong answer or a negative acknowledgement.
 */
bool vhost_exchange(Vhost *v, uint32_t request, const void *payload, uint32_t size, const int *fds,
                    unsigned n_fds, void *reply, uint32_t reply_size);

/* GET_FEATURES to SET_OWNER; mem_slots: agree on ADD_MEM_REG when offered. */
bool vhost_handshake(Vhost *v, bool mem_slots);
bool vhost_set_features(Vhost *v, uint64_t features);
bool vhost_get_features(Vhost *v, uint64_t *features);

/* All of RAM, in the way that was agreed. */
bool vhost_set_memory(Vhost *v, Ram *ram);
/* The whole table at once; the region above the hole lies in another file at that offset. */
bool vhost_set_mem_table(Vhost *v, Ram *ram, int high_fd, uint64_t high_offset);
bool vhost_add_region(Vhost *v, Ram *ram, const VhostRegion *r);
bool vhost_remove_region(Vhost *v, Ram *ram, const VhostRegion *r);
void vhost_ram_regions(Ram *ram, VhostRegion regions[2]);

bool vhost_start_ring(Vhost *v, unsigned index, Vring *vr, uint16_t base);
/* *base: the next chain the back-end would have taken. */
bool vhost_stop_ring(Vhost *v, unsigned index, uint16_t *base);

#endif
