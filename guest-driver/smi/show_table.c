// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The table of vgpu-smi without options, for people: 79 columns. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "show.h"
#include "text.h"

/* columns between the bars */
#define LEFT 33
#define MIDDLE 21
#define RIGHT 21
#define WHOLE (LEFT + MIDDLE + RIGHT + 2)

const char *show_driver(char *out, size_t size, const struct smi_device *d)
{
	if (!d->driver[0])
		snprintf(out, size, "none");
	else if (!strcmp(d->driver, "vgpu"))
		snprintf(out, size, "vgpu%s%s", d->version[0] ? " " : "",
			 d->version);
	else
		snprintf(out, size, "%s (stock)", d->driver);
	return out;
}

static void rule(FILE *out, char with, char end)
{
	static const unsigned int widths[] = { LEFT, MIDDLE, RIGHT };

	for (int c = 0; c < 3; c++) {
		fputc(c ? '+' : end, out);
		for (unsigned int i = 0; i < widths[c]; i++)
			fputc(with, out);
	}
	fprintf(out, "%c\n", end);
}

static void line(FILE *out, char with, char end)
{
	fputc(end, out);
	for (int i = 0; i < WHOLE; i++)
		fputc(with, out);
	fprintf(out, "%c\n", end);
}

/* One cell, cut to its width by characters, not bytes. */
static void cell(FILE *out, unsigned int width, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void cell(FILE *out, unsigned int width, const char *format, ...)
{
	char text[512];
	unsigned int n;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	/* what the buffer has cut may end within a character */
	text_clean(text);
	for (char *p = text; *p; p++) {
		if (text_width(text) <= width - 2)
			break;
		p = text + strlen(text) - 1;
		while (p > text && ((unsigned char)*p & 0xc0) == 0x80)
			p--;
		*p = '\0';
		p = text;
	}
	n = text_width(text);
	fprintf(out, "| %s", text);
	for (; n + 1 < width; n++)
		fputc(' ', out);
}

static const char *percent(char *out, size_t size, uint64_t millionths)
{
	if (millionths == SMI_UNKNOWN)
		snprintf(out, size, "-");
	else
		snprintf(out, size, "%.0f %%", (double)millionths / 1e4);
	return out;
}

static const char *duration(uint64_t ns)
{
	return ns == SMI_UNKNOWN ? "-" : text_time(ns);
}

static void show_device(FILE *out, const struct smi_device *d, unsigned int i)
{
	const struct smi_figures *f = &d->now;
	char a[32], b[32];

	cell(out, LEFT, "%-3u %-13s %s", i, f->profile[0] ? f->profile : "-",
	     d->pci[0] ? d->pci : d->virtio);
	cell(out, MIDDLE, "%8s / %s",
	     f->memory_used == SMI_UNKNOWN ? "-" : text_mib(f->memory_used),
	     f->memory_limit == SMI_UNKNOWN ? "-" : text_mib(f->memory_limit));
	cell(out, RIGHT, "%-8s %s", percent(a, sizeof(a), f->utilisation),
	     percent(b, sizeof(b), f->share));
	fputs("|\n", out);
	cell(out, LEFT, "    %s",
	     d->has_caps && d->caps.renderer[0] ? d->caps.renderer : "-");
	if (f->alloc_denied == SMI_UNKNOWN)
		cell(out, MIDDLE, "       -");
	else
		cell(out, MIDDLE, "%8" PRIu64 " refused", f->alloc_denied);
	if (f->resets == SMI_UNKNOWN)
		snprintf(a, sizeof(a), "-");
	else
		snprintf(a, sizeof(a), "%" PRIu64, f->resets);
	cell(out, RIGHT, "%-8s %s", duration(f->throttled_ns), a);
	fputs("|\n", out);
}

static void show_processes(FILE *out, const struct smi_view *view)
{
	line(out, '-', '+');
	cell(out, WHOLE, "%-4s %7s  %-34s %12s %12s", "GPU", "PID", "Process",
	     "GPU memory", "GPU use");
	fputs("|\n", out);
	line(out, '=', '|');
	if (!view->process_count) {
		cell(out, WHOLE, "no process has the GPU open");
		fputs("|\n", out);
	}
	for (unsigned int i = 0; i < view->process_count; i++) {
		const struct smi_process *p = &view->processes[i];
		char a[32];

		cell(out, WHOLE, "%-4u %7d  %-34s %12s %12s", p->device, p->pid,
		     p->name,
		     p->memory == SMI_UNKNOWN ? "-" : text_mib(p->memory),
		     percent(a, sizeof(a), p->utilisation));
		fputs("|\n", out);
	}
	line(out, '-', '+');
}

void show_table(FILE *out, const struct smi_view *view)
{
	const struct smi_device *first = view->count ? view->devices : NULL;
	char driver[80] = "none";

	if (first)
		show_driver(driver, sizeof(driver), first);
	line(out, '-', '+');
	cell(out, WHOLE, "vgpu-smi %-10s Driver: %-24s Host: %s", VGPU_VERSION,
	     driver,
	     first && first->has_caps && first->caps.host_version[0] ?
		     first->caps.host_version :
		     "-");
	fputs("|\n", out);
	rule(out, '-', '+');
	cell(out, LEFT, "%-3s %-13s %s", "GPU", "Profile", "Bus");
	cell(out, MIDDLE, "Memory used / limit");
	cell(out, RIGHT, "%-8s %s", "Use", "Share");
	fputs("|\n", out);
	cell(out, LEFT, "    Host's GPU");
	cell(out, MIDDLE, "Allocations");
	cell(out, RIGHT, "%-8s %s", "Waited", "Resets");
	fputs("|\n", out);
	rule(out, '=', '|');
	for (unsigned int i = 0; i < view->count; i++) {
		show_device(out, &view->devices[i], i);
		if (i + 1 < view->count)
			rule(out, '-', '+');
	}
	show_processes(out, view);
}
