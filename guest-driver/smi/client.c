// SPDX-License-Identifier: GPL-2.0 OR MIT
#include "client.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

/* Open files of one process that are told apart; more are counted together. */
#define CLIENTS 256

/* "drm-total-memory:	1024 KiB" */
static uint64_t value_of(const char *text)
{
	char unit[8] = "";
	unsigned long long value;

	if (sscanf(text, "%llu %7s", &value, unit) < 1)
		return SMI_UNKNOWN;
	if (!strcmp(unit, "KiB"))
		value <<= 10;
	else if (!strcmp(unit, "MiB"))
		value <<= 20;
	return value;
}

static void add(uint64_t *sum, uint64_t value)
{
	if (value == SMI_UNKNOWN)
		return;
	*sum = *sum == SMI_UNKNOWN ? value : *sum + value;
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

void smi_fdinfo_parse(struct smi_fdinfo *info, FILE *file)
{
	char line[256];

	info->client = SMI_UNKNOWN;
	info->engine_ns = SMI_UNKNOWN;
	info->total = SMI_UNKNOWN;
	info->resident = SMI_UNKNOWN;
	while (fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon = '\0';
		if (!strcmp(line, "drm-client-id"))
			info->client = value_of(colon + 1);
		else if (begins(line, "drm-engine-") &&
			 !begins(line, "drm-engine-capacity-"))
			add(&info->engine_ns, value_of(colon + 1));
		else if (begins(line, "drm-total-"))
			add(&info->total, value_of(colon + 1));
		else if (begins(line, "drm-resident-"))
			add(&info->resident, value_of(colon + 1));
	}
}

/* The device whose node an open file is; -1: none */
static int device_of(const char *target, const struct smi_device *devices,
		     unsigned int count)
{
	if (!begins(target, "/dev/dri/"))
		return -1;
	target += strlen("/dev/dri/");
	for (unsigned int i = 0; i < count; i++)
		if ((devices[i].render[0] &&
		     !strcmp(target, devices[i].render)) ||
		    (devices[i].card[0] && !strcmp(target, devices[i].card)))
			return (int)i;
	return -1;
}

struct list {
	struct smi_process *items;
	unsigned int count;
};

static struct smi_process *list_add(struct list *list)
{
	struct smi_process *more =
		realloc(list->items, (list->count + 1) * sizeof(*list->items));

	if (!more)
		return NULL;
	list->items = more;
	more += list->count++;
	memset(more, 0, sizeof(*more));
	more->memory = SMI_UNKNOWN;
	more->total = SMI_UNKNOWN;
	more->engine_ns = SMI_UNKNOWN;
	more->utilisation = SMI_UNKNOWN;
	return more;
}

/* One process; its entries on the list begin at begin, one a device. */
static struct smi_process *entry(struct list *list, unsigned int begin,
				 unsigned int device, const char *root, int pid)
{
	struct smi_process *p;

	for (unsigned int i = begin; i < list->count; i++)
		if (list->items[i].device == device)
			return &list->items[i];
	p = list_add(list);
	if (!p)
		return NULL;
	p->pid = pid;
	p->device = device;
	text_of(p->name, sizeof(p->name), "%s/proc/%d/comm", root, pid);
	text_clean(p->name);
	return p;
}

static void scan_process(struct list *list, const char *root, int pid,
			 const struct smi_device *devices, unsigned int count)
{
	struct {
		int device;
		uint64_t client;
	} seen[CLIENTS];
	unsigned int n_seen = 0, begin = list->count;
	char path[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/proc/%d/fd", root, pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		char target[64];
		struct smi_fdinfo info;
		struct smi_process *p;
		bool known = false;
		FILE *file;
		ssize_t n;
		int device;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "%s/proc/%d/fd/%.16s", root, pid,
			 e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		device = device_of(target, devices, count);
		if (device < 0)
			continue;
		snprintf(path, sizeof(path), "%s/proc/%d/fdinfo/%.16s", root,
			 pid, e->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		smi_fdinfo_parse(&info, file);
		fclose(file);
		/* a duplicate of a descriptor is the same client */
		for (unsigned int i = 0; i < n_seen; i++)
			known |= seen[i].device == device &&
				 seen[i].client == info.client;
		p = entry(list, begin, (unsigned int)device, root, pid);
		if (!p || (known && info.client != SMI_UNKNOWN))
			continue;
		if (n_seen < CLIENTS) {
			seen[n_seen].device = device;
			seen[n_seen++].client = info.client;
		}
		p->clients++;
		add(&p->engine_ns, info.engine_ns);
		add(&p->total, info.total);
		add(&p->memory, info.resident);
	}
	if (dir)
		closedir(dir);
}

static int by_device(const void *a, const void *b)
{
	const struct smi_process *p = a, *q = b;

	if (p->device != q->device)
		return p->device < q->device ? -1 : 1;
	return p->pid < q->pid ? -1 : p->pid > q->pid;
}

struct smi_process *smi_processes_find(const char *root,
				       const struct smi_device *devices,
				       unsigned int count,
				       unsigned int *processes)
{
	struct list list = { 0 };
	char path[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/proc", root);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		int pid = atoi(e->d_name);

		if (pid > 0 && pid != getpid())
			scan_process(&list, root, pid, devices, count);
	}
	if (dir)
		closedir(dir);
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), by_device);
	*processes = list.count;
	return list.items;
}

void smi_processes_rate(struct smi_process *now, unsigned int count,
			const struct smi_process *before,
			unsigned int before_count, double seconds)
{
	for (unsigned int i = 0; i < count; i++) {
		for (unsigned int k = 0; k < before_count; k++) {
			const struct smi_process *b = &before[k];
			struct smi_process *n = &now[i];

			if (b->pid != n->pid || b->device != n->device ||
			    b->engine_ns == SMI_UNKNOWN ||
			    n->engine_ns == SMI_UNKNOWN ||
			    n->engine_ns < b->engine_ns || seconds <= 0)
				continue;
			n->utilisation = (uint64_t)((double)(n->engine_ns -
							     b->engine_ns) /
						    seconds / 1e3);
		}
	}
}
