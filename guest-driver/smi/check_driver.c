// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Which driver has the device, and if it is not ours, why not.  The reasons, in
 * the order in which they are looked for:
 *
 *	the kernel has no DRM			no GPU driver can be there
 *	no module for this kernel		not installed; no headers; DKMS
 *failed it is kept out				blacklist, nomodeset it is there
 *and is not loaded		not signed under Secure Boot; a load that failed
 *	it is loaded, another has the device	the other was first: boot again
 *	it is loaded, nobody has the device	its probe failed: see the
 *kernel's log
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "check.h"
#include "text.h"

#define MOK_KEY "/var/lib/dkms/mok.pub"

static const char *release(const struct check *c)
{
	static struct utsname uts;
	static char text[80];

	/* a root of tests says its own */
	if (*c->root && text_of(text, sizeof(text),
				"%s/proc/sys/kernel/osrelease", c->root))
		return text;
	uname(&uts);
	return uts.release;
}

/* Whether this kernel was configured with it; -1: that cannot be read. */
static int config_has(const struct check *c, const char *option)
{
	char path[512], line[256];
	size_t n = strlen(option);
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/boot/config-%s", c->root, release(c));
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (!found && fgets(line, sizeof(line), file))
		found = !strncmp(line, option, n) && line[n] == '=';
	fclose(file);
	return found;
}

void check_kernel(struct check *c)
{
	const char *r = release(c);
	int drm = config_has(c, "CONFIG_DRM");

	if (path_exists("%s/sys/class/drm", c->root) ||
	    path_exists("%s/lib/modules/%s/kernel/drivers/gpu/drm", c->root, r))
		drm = 1;
	if (drm == 1)
		check_say(c, CHECK_PASS, "kernel", NULL, "Linux %s has DRM", r);
	else
		check_say(c, CHECK_FAIL, "kernel",
			  "install a kernel with DRM (Debian: linux-image-amd64) and boot it",
			  "Linux %s has no DRM, so that no GPU driver can be loaded%s",
			  r,
			  strstr(r, "cloud") ?
				  ": it is one for clouds without GPUs" :
				  "");
}

/* Looks below a folder for vgpu.ko, compressed or not; its path. */
static bool find_module(char *path, size_t size, const char *folder, int depth)
{
	DIR *dir = depth ? opendir(folder) : NULL;
	bool found = false;
	struct dirent *e;

	while (dir && !found && (e = readdir(dir))) {
		char below[512];

		if (e->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", folder, e->d_name);
		if (!strncmp(e->d_name, "vgpu.ko", 7)) {
			snprintf(path, size, "%s", below);
			found = true;
		} else if (e->d_type == DT_DIR) {
			found = find_module(path, size, below, depth - 1);
		}
	}
	if (dir)
		closedir(dir);
	return found;
}

/* A signature is the last thing in a module; of a compressed one: unknown. */
static bool is_signed(const char *path)
{
	static const char mark[] = "~Module signature appended~\n";
	char end[sizeof(mark)] = "";
	size_t n = strlen(mark), len = strlen(path);
	FILE *file;

	if (len < 3 || strcmp(path + len - 3, ".ko"))
		return true;
	file = fopen(path, "re");
	if (!file)
		return true;
	if (!fseek(file, -(long)n, SEEK_END))
		n = fread(end, 1, n, file);
	fclose(file);
	return !strncmp(end, mark, strlen(mark));
}

static bool secure_boot(const struct check *c)
{
	unsigned char data[5] = { 0 };
	char path[512];
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path),
		 "%s/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
		 c->root);
	file = fopen(path, "re");
	if (!file)
		return false;
	n = fread(data, 1, sizeof(data), file);
	fclose(file);
	/* four bytes of attributes, then the value */
	return n == sizeof(data) && data[4] == 1;
}

/* Whether the kernel takes signed modules alone: with Secure Boot or asked to. */
static const char *wants_signature(const struct check *c)
{
	char text[128];

	if (secure_boot(c))
		return "Secure Boot is on";
	if (text_of(text, sizeof(text), "%s/sys/kernel/security/lockdown",
		    c->root) &&
	    !strstr(text, "[none]"))
		return "the kernel is locked down";
	if (text_of(text, sizeof(text),
		    "%s/sys/module/module/parameters/sig_enforce", c->root) &&
	    text[0] == 'Y')
		return "the kernel enforces signatures";
	return NULL;
}

/* The last message of the kernel with one of these words; root reads it. */
static bool kernel_said(const struct check *c, char *out, size_t size,
			const char *const *words)
{
	char path[512], record[4096], *text;
	bool found = false;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/dev/kmsg", c->root);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	/* one record a read: "6,339,5140900,-;text\n" */
	while ((n = read(fd, record, sizeof(record) - 1)) > 0) {
		record[n] = '\0';
		text = strchr(record, ';');
		text = text ? text + 1 : record;
		text[strcspn(text, "\n")] = '\0';
		for (int i = 0; words[i]; i++) {
			if (!strstr(text, words[i]))
				continue;
			snprintf(out, size, "%.500s", text);
			found = true;
		}
		if (*c->root)
			break; /* a file of tests, of one record */
	}
	close(fd);
	return found;
}

/* What keeps the module from being loaded at all; NULL: nothing is known. */
static const char *kept_out(const struct check *c, char *out, size_t size)
{
	static const char *const folders[] = { "/etc/modprobe.d",
					       "/usr/lib/modprobe.d",
					       "/run/modprobe.d" };
	char line[4096], path[600];
	struct dirent *e;

	if (text_of(line, sizeof(line), "%s/proc/cmdline", c->root)) {
		for (char *word = strtok(line, " "); word;
		     word = strtok(NULL, " ")) {
			if (!strcmp(word, "nomodeset") ||
			    (strstr(word, "modprobe.blacklist=") &&
			     strstr(word, "vgpu"))) {
				snprintf(out, size,
					 "'%s' on the kernel's command line",
					 word);
				return out;
			}
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(folders); i++) {
		DIR *dir;

		snprintf(path, sizeof(path), "%s%s", c->root, folders[i]);
		dir = opendir(path);
		while (dir && (e = readdir(dir))) {
			FILE *file;

			snprintf(path, sizeof(path), "%s%s/%s", c->root,
				 folders[i], e->d_name);
			file = fopen(path, "re");
			while (file && fgets(line, sizeof(line), file)) {
				char word[64];

				if (sscanf(line, " blacklist %63s", word) ==
					    1 &&
				    !strcmp(word, "vgpu"))
					snprintf(out, size,
						 "'blacklist vgpu' in %s/%s",
						 folders[i], e->d_name);
			}
			if (file)
				fclose(file);
		}
		if (dir)
			closedir(dir);
	}
	return *out ? out : NULL;
}

/* There is no module for this kernel. */
static void why_no_module(struct check *c, const char *stock)
{
	char path[512], remedy[256];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/var/lib/dkms/vgpu-guest", c->root);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || e->d_type != DT_DIR ||
		    !path_exists("%s/%s/build/make.log", path, e->d_name))
			continue;
		check_say(c, CHECK_FAIL, "driver",
			  "read the log; then 'dkms autoinstall', and report what it says if it is not the headers",
			  "%s has the device: DKMS could not build vgpu %s, the log is /var/lib/dkms/vgpu-guest/%s/build/make.log",
			  stock, e->d_name, e->d_name);
		closedir(dir);
		return;
	}
	if (dir) {
		closedir(dir);
		if (path_exists("%s/lib/modules/%s/build", c->root,
				release(c))) {
			check_say(c, CHECK_FAIL, "driver",
				  "run 'dkms autoinstall' and boot again",
				  "%s has the device: vgpu is installed and was not built for Linux %s",
				  stock, release(c));
			return;
		}
		snprintf(remedy, sizeof(remedy),
			 "install linux-headers-%s, then 'dkms autoinstall' and boot again",
			 release(c));
		check_say(c, CHECK_FAIL, "driver", remedy,
			  "%s has the device: there are no headers to build vgpu for Linux %s",
			  stock, release(c));
		return;
	}
	check_say(c, CHECK_WARN, "driver",
		  "install vgpu-guest-dkms for errors at the call, live figures and recovery",
		  "%s has the device: it works, vgpu is not installed", stock);
}

/* It is there and not loaded. */
static void why_not_loaded(struct check *c, const char *stock,
			   const char *module)
{
	static const char *const refused[] = {
		"module verification failed",  "unavailable key is rejected",
		"unsigned module is rejected", "Unsigned module",
		"unsigned module loading",     NULL
	};
	static const char *const failed[] = { "vgpu: ", NULL };
	const char *sign = "sign it: see 'Secure Boot' in vgpu-smi(1)";
	char said[512] = "", *why;
	const char *enforced = wants_signature(c);

	why = said;
	if (path_exists("%s" MOK_KEY, c->root))
		sign = "enrol DKMS's key: 'mokutil --import " MOK_KEY
		       "', boot again and confirm it";
	if (enforced) {
		bool rejected = kernel_said(c, said, sizeof(said), refused);

		check_say(c, CHECK_FAIL, "driver", sign,
			  "%s has the device: %s and vgpu %s%s%s", stock,
			  enforced,
			  is_signed(module) ?
				  "is signed by a key that the firmware does not know" :
				  "is not signed",
			  rejected ? ": " : "", rejected ? why : "");
		return;
	}
	if (kernel_said(c, said, sizeof(said), failed)) {
		check_say(c, CHECK_FAIL, "driver",
			  "run 'modprobe vgpu' and 'dmesg' for the whole of it",
			  "%s has the device: vgpu is not loaded, the kernel said: %s",
			  stock, why);
		return;
	}
	check_say(c, CHECK_FAIL, "driver",
		  "run 'update-initramfs -u' and boot again; if it stays so: 'modprobe vgpu', 'dmesg'",
		  "%s has the device: vgpu is installed and not loaded", stock);
}

void check_driver(struct check *c, const struct smi_device *d)
{
	char folder[512], module[512], why[512] = "";
	const char *stock = d->driver[0] ? d->driver : "no driver";
	static const char *const ours[] = { "vgpu ", "vgpu:", NULL };

	if (!strcmp(d->driver, "vgpu")) {
		check_say(c, CHECK_PASS, "driver", NULL, "vgpu%s%s has %s",
			  d->version[0] ? " " : "", d->version,
			  d->pci[0] ? d->pci : d->virtio);
		return;
	}
	if (!d->ours) {
		check_say(c, d->driver[0] ? CHECK_PASS : CHECK_FAIL, "driver",
			  d->driver[0] ? NULL : "run 'modprobe virtio_gpu'",
			  "%s has the device, which is no vgpu", stock);
		return;
	}
	snprintf(folder, sizeof(folder), "%s/lib/modules/%s", c->root,
		 release(c));
	if (!find_module(module, sizeof(module), folder, 4)) {
		why_no_module(c, stock);
	} else if (path_exists("%s/sys/module/vgpu", c->root)) {
		if (d->driver[0])
			check_say(c, CHECK_FAIL, "driver",
				  "boot again; if it stays so, run 'update-initramfs -u' first",
				  "%s has the device: it was there before vgpu",
				  stock);
		else
			check_say(c, CHECK_FAIL, "driver",
				  "run 'dmesg' for the whole of it",
				  "vgpu is loaded and has not taken the device%s%s",
				  kernel_said(c, why, sizeof(why), ours) ?
					  ": " :
					  "",
				  why);
	} else if (kept_out(c, why, sizeof(why))) {
		check_say(c, CHECK_FAIL, "driver", "take it out and boot again",
			  "%s has the device: vgpu is kept out by %s", stock,
			  why);
	} else {
		why_not_loaded(c, stock, module);
	}
}
