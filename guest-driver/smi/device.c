// SPDX-License-Identifier: GPL-2.0 OR MIT
#include "device.h"

#include <dirent.h>
#include <drm/drm.h>
#include <drm/virtgpu_drm.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "figures.h"
#include "text.h"

#define VIRTIO_ID_GPU 16

static void end(char *text, size_t size)
{
	text[size - 1] = '\0';
	text_clean(text);
}

/* With all texts ended: later versions of the host append to what we know. */
bool smi_caps_parse(struct vgpu_capset *caps, const void *data, uint32_t size)
{
	memset(caps, 0, sizeof(*caps));
	memcpy(caps, data, size < sizeof(*caps) ? size : sizeof(*caps));
	end(caps->profile, sizeof(caps->profile));
	end(caps->gpu, sizeof(caps->gpu));
	end(caps->renderer, sizeof(caps->renderer));
	end(caps->host_version, sizeof(caps->host_version));
	end(caps->gl_version, sizeof(caps->gl_version));
	return caps->version && caps->size;
}

static int get_caps(int fd, void *data, uint32_t size)
{
	struct drm_virtgpu_get_caps get = {
		.cap_set_id = VGPU_CAPSET_ID,
		.addr = (uintptr_t)data,
		.size = size,
	};

	/* the host's version is asked for, whatever it is up to ours */
	for (uint32_t v = VGPU_CAPSET_VERSION; v; v--) {
		get.cap_set_ver = v;
		if (ioctl(fd, DRM_IOCTL_VIRTGPU_GET_CAPS, &get) == 0)
			return 0;
	}
	return errno;
}

static void read_caps(const char *root, struct smi_device *d)
{
	struct vgpu_capset raw = { 0 };
	char path[64];
	int fd;

	if (*root || !d->render[0])
		return;
	snprintf(path, sizeof(path), "/dev/dri/%s", d->render);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		d->caps_error = errno;
		return;
	}
	d->caps_error = get_caps(fd, &raw, sizeof(raw));
	close(fd);
	d->has_caps = !d->caps_error &&
		      smi_caps_parse(&d->caps, &raw, sizeof(raw));
}

/* renderD128 and card0: in its own folder or in the PCI device's */
static void find_nodes(const char *root, struct smi_device *d)
{
	const char *const folders[][2] = {
		{ "/sys/bus/virtio/devices/", d->virtio },
		{ "/sys/bus/pci/devices/", d->pci },
	};

	for (int i = 0; i < 2; i++) {
		char path[512];
		struct dirent *e;
		DIR *dir;

		snprintf(path, sizeof(path), "%s%s%s/drm", root, folders[i][0],
			 folders[i][1]);
		dir = folders[i][1][0] ? opendir(path) : NULL;
		while (dir && (e = readdir(dir))) {
			if (!strncmp(e->d_name, "renderD", 7))
				snprintf(d->render, sizeof(d->render), "%.31s",
					 e->d_name);
			else if (!strncmp(e->d_name, "card", 4) &&
				 !strchr(e->d_name, '-'))
				snprintf(d->card, sizeof(d->card), "%.31s",
					 e->d_name);
		}
		if (dir)
			closedir(dir);
	}
}

/* A PCI address is DDDD:BB:SS.F; a virtio device may be on another bus. */
static void find_pci(const char *root, struct smi_device *d)
{
	char path[512], real[4096], *last;

	snprintf(path, sizeof(path), "%s/sys/bus/virtio/devices/%s/..", root,
		 d->virtio);
	if (!realpath(path, real))
		return;
	last = strrchr(real, '/');
	if (last && strlen(last + 1) == 12 && last[5] == ':')
		snprintf(d->pci, sizeof(d->pci), "%s", last + 1);
}

static void read_device(const char *root, struct smi_device *d)
{
	find_pci(root, d);
	find_nodes(root, d);
	link_of(d->driver, sizeof(d->driver),
		"%s/sys/bus/virtio/devices/%s/driver", root, d->virtio);
	if (d->driver[0])
		text_of(d->version, sizeof(d->version),
			"%s/sys/module/%s/version", root, d->driver);
	text_clean(d->version);
	read_caps(root, d);
	figures_open(root, d);
	smi_figures_read(root, d);
	d->ours = d->has_caps || d->source != SMI_SOURCE_NONE ||
		  !strcmp(d->driver, "vgpu") || figures_has_page(root, d);
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
	/* virtio2 before virtio10 */
	size_t la = strlen((*a)->d_name), lb = strlen((*b)->d_name);

	if (la != lb)
		return la < lb ? -1 : 1;
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_virtio(const struct dirent *e)
{
	return !strncmp(e->d_name, "virtio", 6);
}

unsigned int smi_devices_find(const char *root, struct smi_device *devices)
{
	struct dirent **names = NULL;
	unsigned int count = 0;
	char path[512];
	int n;

	snprintf(path, sizeof(path), "%s/sys/bus/virtio/devices", root);
	n = scandir(path, &names, is_virtio, by_number);
	for (int i = 0; i < n; i++) {
		struct smi_device *d = &devices[count];
		uint64_t id;

		if (count < SMI_DEVICES &&
		    number_of(&id, "%s/%s/device", path, names[i]->d_name) &&
		    id == VIRTIO_ID_GPU) {
			memset(d, 0, sizeof(*d));
			snprintf(d->virtio, sizeof(d->virtio), "%.31s",
				 names[i]->d_name);
			read_device(root, d);
			count++;
		}
		free(names[i]);
	}
	free(names);
	return count;
}

void smi_devices_free(struct smi_device *devices, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		figures_close(&devices[i]);
}
