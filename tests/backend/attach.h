/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpud as QEMU sees it: the attach protocol (include/vgpu/attach.h), and a
 * daemon of the test's own with a socket, a configuration and a state file in
 * a folder of its own.
 */
#ifndef TEST_ATTACH_H
#define TEST_ATTACH_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "frontend.h"
#include "vgpu/attach.h"

#define ATTACH_DEADLINE 15000 /* ms: a sandbox and an exec */

typedef struct Vgpud {
    char *folder, *socket, *config;
    const char *argument; /* one more for vgpud_run(), or NULL */
    GPid pid;             /* 0: not running */
    int log_fd;
} Vgpud;

/* One software GPU of 1 GiB; conf: more lines of vgpud.conf, [vgpud]'s first, may be NULL. */
Vgpud *vgpud_new(const char *kind, const char *conf);
bool vgpud_run(Vgpud *d);
/* Sends the signal and reaps. */
void vgpud_end(Vgpud *d, int sig);
/* Ends it by SIGTERM, which must give exit status 0, and removes the folder. */
void vgpud_free(Vgpud *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vgpud, vgpud_free)

/* What `vgpuctl NAME --json` prints, parsed: an array; NULL after a test failure. */
JsonNode *vgpud_ask(Vgpud *d, const char *what);
/* The VM of that name in the list, NULL: it is not there.  Keeps root alive. */
JsonObject *vgpud_vm(JsonNode *list, const char *name);
/* Waits until so many VMs are in the list. */
bool vgpud_wait_vms(Vgpud *d, unsigned count, int timeout);
/* The state of a VM as listed, "" when it is not there; to free. */
char *vgpud_state(Vgpud *d, const char *name);
pid_t vgpud_renderer_pid(Vgpud *d, const char *name);

typedef union AttachPacket {
    struct vgpu_attach_hdr hdr;
    struct vgpu_attach_accepted accepted;
    struct vgpu_attach_refused refused;
    struct vgpu_attach_event event;
} AttachPacket;

/* A connection, -1 when nobody listens. */
int attach_connect(Vgpud *d);
/* A good request; number tells VMs apart (it makes the UUID). */
struct vgpu_attach_request attach_request(const char *profile, const char *name, unsigned number);
bool attach_send(int fd, const void *packet, size_t size, const int *fds, unsigned n_fds);
/*
 * The next packet, checked against the protocol; its descriptors in fds, which
 * may be NULL when none may come.  False: none came or the connection ended.
 */
bool attach_receive(int fd, AttachPacket *p, FrontendFds *fds, int timeout);
/* The same for the news of a changed profile or limit, which attach_receive() passes over. */
bool attach_changed(int fd, int timeout);
/* The same, and what attach_receive() passes over: news of a changed profile, which may come at any time. */
bool attach_receive_any(int fd, AttachPacket *p, FrontendFds *fds, int timeout);
bool attach_is_changed(const AttachPacket *p);
/* A whole attachment: a working front-end, the connection in *fd; NULL when refused. */
Frontend *attach_vm(Vgpud *d, const char *profile, const char *name, unsigned number, int *fd);
/* The same over a connection that is there. */
Frontend *attach_vm_over(int fd, const char *profile, const char *name, unsigned number);
/* Expects REFUSED with that code; the sentence, to free. */
char *attach_refused(int fd, uint32_t code);
/* The other end has closed. */
bool attach_closed(int fd, int timeout);

#endif
