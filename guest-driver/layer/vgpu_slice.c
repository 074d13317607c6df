// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The figures of a VM's slice, from the files that vgpu.ko has in sysfs, which
 * stay open: a look costs two reads.
 */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "layer.h"

static pthread_mutex_t slices_lock = PTHREAD_MUTEX_INITIALIZER;
static struct slice *slices;

static int open_figure(const char *folder, const char *name)
{
	char path[512];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >=
	    (int)sizeof(path))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Lock held. */
static struct slice *slice_open(const char *folder, int64_t major,
				int64_t minor)
{
	struct slice *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->major = major;
	s->minor = minor;
	s->used = open_figure(folder, "memory_used");
	s->limit = open_figure(folder, "memory_limit");
	if (s->used < 0 || s->limit < 0) {
		if (s->used >= 0)
			close(s->used);
		if (s->limit >= 0)
			close(s->limit);
		free(s);
		return NULL;
	}
	pthread_mutex_init(&s->lock, NULL);
	s->next = slices;
	slices = s;
	return s;
}

struct slice *slice_of(int64_t major, int64_t minor)
{
	char pattern[128];
	struct slice *s;
	glob_t found;

	/* the card's parent is the virtio device, or the PCI device it is of */
	snprintf(pattern, sizeof(pattern),
		 "/sys/dev/char/%lld:%lld/device/{,virtio*/}vgpu",
		 (long long)major, (long long)minor);
	pthread_mutex_lock(&slices_lock);
	for (s = slices; s; s = s->next)
		if (s->major == major && s->minor == minor)
			break;
	if (!s && glob(pattern, GLOB_BRACE | GLOB_NOSORT, NULL, &found) == 0) {
		s = slice_open(found.gl_pathv[0], major, minor);
		globfree(&found);
	}
	pthread_mutex_unlock(&slices_lock);
	return s;
}

static bool read_figure(int fd, uint64_t *value)
{
	char text[32], *end;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	*value = strtoull(text, &end, 10);
	return end != text;
}

bool slice_read(const struct slice *s, uint64_t *used, uint64_t *limit)
{
	return read_figure(s->used, used) && read_figure(s->limit, limit);
}
