// SPDX-License-Identifier: GPL-2.0 OR MIT
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

static const struct {
	const char *name, *upper, *colour;
} results[CHECK_RESULTS] = {
	[CHECK_PASS] = { "pass", "PASS", "\033[32m" },
	[CHECK_WARN] = { "warn", "WARN", "\033[33m" },
	[CHECK_FAIL] = { "fail", "FAIL", "\033[31m" },
	[CHECK_SKIP] = { "skip", "SKIP", "\033[2m" },
};

static bool use_colour(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term &&
	       strcmp(term, "dumb");
}

static void say_json(struct check *c, enum check_result result,
		     const char *what, const char *remedy, const char *text)
{
	printf("%s\n  {\"check\": ", c->said ? "," : "[");
	json_string(stdout, what);
	printf(", \"result\": \"%s\", \"detail\": ", results[result].name);
	json_string(stdout, text);
	printf(", \"remedy\": ");
	if (remedy)
		json_string(stdout, remedy);
	else
		printf("null");
	printf("}");
}

void check_say(struct check *c, enum check_result result, const char *what,
	       const char *remedy, const char *format, ...)
{
	bool colour = use_colour();
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	text_clean(text);
	c->count[result]++;
	if (c->json) {
		say_json(c, result, what, remedy, text);
		c->said++;
		return;
	}
	c->said++;
	printf("%s%s%s  %-9s %s\n", colour ? results[result].colour : "",
	       results[result].upper, colour ? "\033[0m" : "", what, text);
	if (remedy)
		printf("      %-9s -> %s\n", "", remedy);
	fflush(stdout);
}

static void check_devices(struct check *c, const struct smi_device *devices,
			  unsigned int count)
{
	unsigned int ours = 0;

	for (unsigned int i = 0; i < count; i++)
		ours += devices[i].ours;
	if (!count) {
		check_say(c, CHECK_FAIL, "device",
			  "start the VM with -device vgpu-pci,profile=NAME, on a kernel that has virtio",
			  "this guest has no virtio GPU");
	} else if (!ours) {
		check_say(c, CHECK_FAIL, "device",
			  "start the VM with -device vgpu-pci instead of virtio-gpu",
			  "the virtio GPU %s is not a vgpu, as far as can be told",
			  devices[0].pci[0] ? devices[0].pci :
					      devices[0].virtio);
	} else {
		for (unsigned int i = 0; i < count; i++) {
			const struct smi_device *d = &devices[i];

			if (!d->ours)
				continue;
			check_say(c, CHECK_PASS, "device", NULL,
				  "vgpu at %s, profile %s, %s",
				  d->pci[0] ? d->pci : d->virtio,
				  d->now.profile[0] ? d->now.profile :
						      "unknown",
				  d->now.memory_limit == SMI_UNKNOWN ?
					  "memory unknown" :
					  text_mib(d->now.memory_limit));
		}
	}
}

int check_run(const char *root, bool json)
{
	struct smi_device devices[SMI_DEVICES];
	unsigned int count = smi_devices_find(root, devices);
	struct check c = { .root = root, .json = json };

	check_kernel(&c);
	check_devices(&c, devices, count);
	for (unsigned int i = 0; i < count; i++) {
		check_driver(&c, &devices[i]);
		check_versions(&c, &devices[i]);
		check_opengl(&c, &devices[i]);
		check_vulkan(&c, &devices[i]);
	}
	if (json)
		printf("\n]\n");
	else
		printf("%u passed, %u warnings, %u failed, %u skipped\n",
		       c.count[CHECK_PASS], c.count[CHECK_WARN],
		       c.count[CHECK_FAIL], c.count[CHECK_SKIP]);
	smi_devices_free(devices, count);
	return c.count[CHECK_FAIL] ? 1 : 0;
}
