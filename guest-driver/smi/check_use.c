// SPDX-License-Identifier: GPL-2.0 OR MIT
/* What uses the driver: versions that fit, OpenGL, Vulkan. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "text.h"
#include "try.h"

/* The first start of a GL driver compiles; on an emulated CPU it takes long. */
#define DEADLINE_MS 120000

/* Mesa that knows what this device has: virgl blobs and venus as released. */
#define MESA_MAJOR 22
#define VENUS_MAJOR 23

struct child {
	char out[4096];
	char err[1024];
	int status; /* of exit(), or TRY_FAILED */
	bool late;
	int signal;
};

static void take(int fd, char *buffer, size_t size)
{
	size_t used = strlen(buffer);
	char rest[512];
	ssize_t n;

	/* what does not fit is read all the same: the child must not wait */
	if (used + 1 < size)
		n = read(fd, buffer + used, size - 1 - used);
	else
		n = read(fd, rest, sizeof(rest));
	if (n > 0 && used + 1 < size)
		buffer[used + (size_t)n] = '\0';
}

static long left_ms(const struct timespec *begin)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return DEADLINE_MS - (t.tv_sec - begin->tv_sec) * 1000 -
	       (t.tv_nsec - begin->tv_nsec) / 1000000;
}

/* vgpu-smi --try WHAT NODE, in a process of its own: it may crash or hang. */
static void run(struct child *child, const char *what, const char *node)
{
	struct pollfd fds[2];
	struct timespec begin;
	int out[2], err[2], status;
	unsigned int open = 2;
	pid_t pid;

	memset(child, 0, sizeof(*child));
	child->status = TRY_FAILED;
	if (pipe(out) || pipe(err)) {
		snprintf(child->err, sizeof(child->err), "pipe: %s",
			 strerror(errno));
		return;
	}
	fflush(NULL);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		close(out[0]);
		close(err[0]);
		execl("/proc/self/exe", "vgpu-smi", "--try", what, node, NULL);
		_exit(TRY_FAILED);
	}
	close(out[1]);
	close(err[1]);
	fds[0] = (struct pollfd){ .fd = out[0], .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = err[0], .events = POLLIN };
	while (pid > 0 && open) {
		long ms = left_ms(&begin);

		if (ms <= 0) {
			child->late = true;
			kill(pid, SIGKILL);
			break;
		}
		if (poll(fds, 2, (int)ms) <= 0)
			continue;
		for (int i = 0; i < 2; i++) {
			if (fds[i].revents & POLLIN) {
				take(fds[i].fd, i ? child->err : child->out,
				     i ? sizeof(child->err) :
					 sizeof(child->out));
			} else if (fds[i].revents) {
				fds[i].fd = -1;
				open--;
			}
		}
	}
	close(out[0]);
	close(err[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return;
	if (WIFEXITED(status))
		child->status = WEXITSTATUS(status);
	else
		child->signal = WTERMSIG(status);
	/* its last sentence: libraries may have said something before */
	for (size_t n = strlen(child->err); n && child->err[n - 1] == '\n';)
		child->err[--n] = '\0';
	if (strrchr(child->err, '\n'))
		memmove(child->err, strrchr(child->err, '\n') + 1,
			strlen(strrchr(child->err, '\n')));
}

/* The value of a line key=value. */
static const char *value(const struct child *child, const char *key, char *out,
			 size_t size)
{
	size_t n = strlen(key);

	out[0] = '\0';
	for (const char *p = child->out; p && *p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, key, n) || p[n] != '=')
			continue;
		snprintf(out, size, "%.*s", (int)strcspn(p + n + 1, "\n"),
			 p + n + 1);
		break;
	}
	return out;
}

static const char *complaint(const struct child *child, char *out, size_t size)
{
	if (child->late)
		snprintf(out, size, "it did not end within %d s",
			 DEADLINE_MS / 1000);
	else if (child->signal)
		snprintf(out, size, "it was ended by signal %d (%s)",
			 child->signal, strsignal(child->signal));
	else
		snprintf(out, size, "%.400s",
			 child->err[0] ? child->err : "it gave no reason");
	return out;
}

/* "Mesa 25.0.7-2" in a version text; false: it is not Mesa's */
static bool mesa_version(const char *text, int *major, char *out, size_t size)
{
	const char *mesa = strstr(text, "Mesa ");

	if (!mesa || sscanf(mesa + 5, "%d", major) != 1)
		return false;
	snprintf(out, size, "Mesa %.*s", (int)strcspn(mesa + 5, " )"),
		 mesa + 5);
	return true;
}

/* Whether two versions X.Y.Z are of one release: the first two numbers. */
static bool same_release(const char *a, const char *b)
{
	int a1, a2, b1, b2;

	return sscanf(a, "%d.%d", &a1, &a2) == 2 &&
	       sscanf(b, "%d.%d", &b1, &b2) == 2 && a1 == b1 && a2 == b2;
}

void check_versions(struct check *c, const struct smi_device *d)
{
	const struct vgpu_capset *caps = &d->caps;

	if (!d->ours)
		return;
	if (!d->has_caps) {
		check_say(c, d->render[0] ? CHECK_FAIL : CHECK_SKIP, "host",
			  d->caps_error == EACCES ?
				  "run it as root, or join the group render" :
				  NULL,
			  "what the host says cannot be read: %s",
			  d->render[0] ? strerror(d->caps_error) :
					 "there is no render node");
		return;
	}
	if (!strcmp(d->driver, "vgpu") && d->version[0] &&
	    !same_release(d->version, caps->host_version))
		check_say(c, CHECK_WARN, "host",
			  "install the guest package of the host's release; what both know works meanwhile",
			  "the host is vgpu %s, the driver %s",
			  caps->host_version, d->version);
	else if (!same_release(VGPU_VERSION, caps->host_version))
		check_say(c, CHECK_WARN, "host",
			  "install the guest package of the host's release; what both know works meanwhile",
			  "the host is vgpu %s, vgpu-smi " VGPU_VERSION,
			  caps->host_version);
	else
		check_say(c, CHECK_PASS, "host", NULL,
			  "vgpu %s%s%s: fits driver and vgpu-smi",
			  caps->host_version, caps->renderer[0] ? " on " : "",
			  caps->renderer);
}

static void check_mesa(struct check *c, const char *version)
{
	char name[64];
	int major;

	if (!mesa_version(version, &major, name, sizeof(name)))
		check_say(c, CHECK_WARN, "Mesa", "use Mesa's drivers",
			  "the OpenGL library is not Mesa: %s", version);
	else if (major < MESA_MAJOR)
		check_say(c, CHECK_WARN, "Mesa", "install Mesa 22 or newer",
			  "%s is older than any that was tried", name);
	else if (major < VENUS_MAJOR)
		check_say(c, CHECK_PASS, "Mesa", NULL,
			  "%s fits (OpenGL; Vulkan needs Mesa 23.1)", name);
	else
		check_say(c, CHECK_PASS, "Mesa", NULL, "%s fits", name);
}

void check_opengl(struct check *c, const struct smi_device *d)
{
	char renderer[256], version[256], why[512], node[64];
	struct child child;
	bool host;

	if (!d->render[0]) {
		check_say(c, CHECK_SKIP, "OpenGL", NULL,
			  "there is no render node");
		return;
	}
	if (d->has_caps && d->caps.version >= 2 &&
	    !(d->caps.apis & VGPU_API_GL)) {
		check_say(c, CHECK_SKIP, "OpenGL",
			  "ask for a profile with apis=gl",
			  "the profile does not have OpenGL");
		return;
	}
	snprintf(node, sizeof(node), "/dev/dri/%s", d->render);
	run(&child, "gl", node);
	value(&child, "renderer", renderer, sizeof(renderer));
	value(&child, "version", version, sizeof(version));
	host = strstr(renderer, "virgl") || strstr(renderer, "Venus");
	if (child.status == TRY_LEFT_OUT || child.status == TRY_MISSING) {
		check_say(c, CHECK_SKIP, "OpenGL",
			  child.status == TRY_MISSING ?
				  "install Mesa (Debian: libegl1 libgl1-mesa-dri)" :
				  NULL,
			  "%s", complaint(&child, why, sizeof(why)));
		return;
	}
	if (!renderer[0]) {
		check_say(c, CHECK_FAIL, "OpenGL",
			  "install Mesa's drivers (Debian: libgl1-mesa-dri); EGL_LOG_LEVEL=debug says more",
			  "%s", complaint(&child, why, sizeof(why)));
		return;
	}
	check_mesa(c, version);
	if (host)
		check_say(c, CHECK_PASS, "OpenGL", NULL,
			  "renders on the host: %s", renderer);
	else
		check_say(c, CHECK_FAIL, "OpenGL",
			  "unset LIBGL_ALWAYS_SOFTWARE and MESA_LOADER_DRIVER_OVERRIDE; install libgl1-mesa-dri",
			  "renders on the guest's CPU: %s", renderer);
	if (child.status == TRY_OK)
		check_say(c, CHECK_PASS, "frame", NULL,
			  "64 x 64 pixels read back right");
	else
		check_say(c, CHECK_FAIL, "frame",
			  "'vgpuctl show VM' and the host's log say whether it lost its renderer",
			  "%s", complaint(&child, why, sizeof(why)));
}

void check_vulkan(struct check *c, const struct smi_device *d)
{
	char device[300], why[512], node[64];
	struct child child;

	if (!d->render[0]) {
		check_say(c, CHECK_SKIP, "Vulkan", NULL,
			  "there is no render node");
		return;
	}
	if (d->has_caps && d->caps.version >= 2 &&
	    !(d->caps.apis & VGPU_API_VULKAN)) {
		check_say(c, CHECK_SKIP, "Vulkan",
			  "ask for a profile with apis=vulkan, on a host whose driver has it",
			  "this VM's renderer has no Vulkan");
		return;
	}
	snprintf(node, sizeof(node), "/dev/dri/%s", d->render);
	run(&child, "vulkan", node);
	value(&child, "device", device, sizeof(device));
	if (child.status == TRY_OK)
		check_say(c, CHECK_PASS, "Vulkan", NULL,
			  "%s fills a buffer right", device);
	else if (child.status == TRY_LEFT_OUT)
		check_say(c, CHECK_SKIP, "Vulkan", NULL, "%s",
			  complaint(&child, why, sizeof(why)));
	else if (child.status == TRY_MISSING && child.err[0])
		check_say(c, CHECK_SKIP, "Vulkan",
			  "install the loader (Debian: libvulkan1)", "%s",
			  complaint(&child, why, sizeof(why)));
	else if (child.status == TRY_MISSING)
		check_say(c, CHECK_SKIP, "Vulkan",
			  "install Mesa's venus driver: mesa-vulkan-drivers of Mesa 23.1 or newer (Debian 13)",
			  "no Vulkan driver of this guest uses the GPU (%s others)",
			  value(&child, "others", node, sizeof(node)));
	else
		check_say(c, CHECK_FAIL, "Vulkan",
			  "'vgpuctl show VM' and the host's log say whether it was refused or lost",
			  "%s%s%s", device, device[0] ? ": " : "",
			  complaint(&child, why, sizeof(why)));
}
