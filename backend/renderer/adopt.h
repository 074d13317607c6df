/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking over from a lost renderer: its guest's objects are made again, and the
 * commands it had taken and not answered are answered.
 *
 * Theory of operation
 *
 * QEMU hands the lost renderer's object table over by ADOPT before the rings
 * start.  The front thread reads it (estate.h) and leaves it for the render
 * thread, which goes through it once a ring runs, as guest memory is known then.
 * Nothing is popped before that is done.
 *
 * Resources come first, then what is shown of them.  Each entry becomes the
 * command that would have made it, run by the handler that runs the guest's:
 * there are no second checks that could be weaker, what is charged is worked out
 * again, and guest pages are looked up in guest memory as it is now.  That takes
 * the GPU as commands do, with this VM's lease, one entry at a time.
 *
 * What can be known is what the guest has: 2D pictures are read again from their
 * backing, blobs of guest memory are that memory.  Resources of OpenGL are there
 * and empty.  Blobs of host memory, and whatever cannot be made again, are gone:
 * their ids are unknown as after an UNREF, except that giving them back, which
 * the guest is still to do, is no error.  Contexts are gone.
 *
 * A VM that was saved comes the same way, elsewhere and perhaps much later.  Its
 * pictures have their pixels with them, which go through the same transfer that a
 * guest's would; and whether it can be taken over at all is said at once (JUDGED),
 * while the VM it was saved of can still go on where it is.
 *
 * Commands in flight are then popped first, oldest first, as "replays": what they
 * did may be in the table already, so a handler takes the state that its command
 * leaves for its success.  A submit is not run again: it is an error, and so is
 * what its context does after it.  A command that was there when two renderers were
 * lost is an error as well: it may be what they were lost by.
 */
#ifndef VGPU_RENDERER_ADOPT_H
#define VGPU_RENDERER_ADOPT_H

#include "estate.h"
#include "vgpu/channel.h"

struct Device;

/* Lost renderers after which a command is answered with an error instead of run again. */
#define ADOPT_TRIES_MAX 2

typedef enum AdoptResult {
    ADOPT_DONE,    /* there is nothing (more) to take over */
    ADOPT_IDLE,    /* there is, and no ring runs yet */
    ADOPT_WAITING, /* for the GPU */
} AdoptResult;

typedef struct Adoption {
    Estate *given;  /* atomic: from the front thread to the render thread */
    Estate *estate; /* render thread only from here on; NULL: none */
    unsigned next;  /* of its resources, then of its scanouts */
    unsigned lost;  /* resources */
    gint64 began;   /* us */
} Adoption;

/* Front thread: ADOPT came.  Takes fd. */
void adopt_give(struct Device *d, int fd, const struct vgpu_channel_adopt *a);

/* Render thread. */
AdoptResult adopt_work(struct Device *d);
/* Something is to be taken over still. */
bool adopt_pending(struct Device *d);
/*
 * Front and render thread: the guest was reset, there is nothing to take over any
 * more.  The render thread hears of it later, perhaps after an ADOPT that came
 * behind the reset: what is of that generation stays.
 */
void adopt_forget_given(struct Device *d);
void adopt_forget(struct Device *d, uint32_t generation);

#endif
