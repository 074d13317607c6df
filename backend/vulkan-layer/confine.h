/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the render server and its context processes give up: they run a Vulkan
 * driver on what a guest sends.  Namespaces are vgpud's, and around them; this
 * is what only the processes themselves can do.
 *
 * confine          before the server's main(): the system calls that neither it
 *                  nor a driver needs are gone; it can still fork, and kill
 *                  what it forked.
 * confine_leash    a context process: it ends when the renderer says so, and
 *                  with the server.
 * confine_context  a context process, after that: no process is made or
 *                  signalled.
 *
 * They confine nothing in a process that is not of a render server of ours, and
 * failing is the end of the process: it would serve a guest unconfined.
 */
#ifndef VGPU_LAYER_CONFINE_H
#define VGPU_LAYER_CONFINE_H

/*
 * The environment variable that says how: "software" (no device is opened),
 * "device": one that is there may be; or "none", for debugging.
 */
#define CONFINE_ENV "VGPU_CONFINE"

/* Last of the constructors. */
void confine(void);

/*
 * A descriptor to be sent to the renderer, the caller's: it hangs up when this
 * process has ended, and when anything is written to it or its last copy
 * elsewhere is closed, this process is killed, whatever it is doing.
 */
int confine_leash(void);

/* In the child handler of pthread_atfork. */
void confine_context(void);

#endif
