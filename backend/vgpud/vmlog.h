/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A renderer's stderr: read from a pipe, bounded, passed on to vgpud's log. */
#ifndef VGPUD_VMLOG_H
#define VGPUD_VMLOG_H

typedef struct VmLog VmLog;

/* fd: non-blocking, the log's from now on. */
VmLog *vmlog_new(int fd, const char *vm_name);
void vmlog_free(VmLog *log); /* takes NULL */
/*
 * Another reading end of the pipe that is the stderr of a renderer which an earlier vgpud started,
 * with what is still in it.  -1: it has none.
 */
int vmlog_take_back(int pidfd);

/* Reads what is there, after the renderer ended. */
void vmlog_drain(VmLog *log);

/* The last line that was not empty, clean text, "" if none. */
const char *vmlog_last(const VmLog *log);

#endif
