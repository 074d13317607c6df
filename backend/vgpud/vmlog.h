/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A renderer's stderr: read from a pipe, bounded, passed on to vgpud's log. */
#ifndef VGPUD_VMLOG_H
#define VGPUD_VMLOG_H

typedef struct VmLog VmLog;

/* fd: non-blocking, the log's from now on. */
VmLog *vmlog_new(int fd, const char *vm_name);
void vmlog_free(VmLog *log); /* takes NULL */

/* Reads what is there, after the renderer ended. */
void vmlog_drain(VmLog *log);

/* The last line that was not empty, clean text, "" if none. */
const char *vmlog_last(const VmLog *log);

#endif
