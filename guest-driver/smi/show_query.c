// SPDX-License-Identifier: GPL-2.0 OR MIT
/* vgpu-smi -q: everything, one fact a line. */
#include <inttypes.h>
#include <string.h>

#include "show.h"
#include "text.h"

static void fact(FILE *out, unsigned int depth, const char *name,
		 const char *value)
{
	fprintf(out, "%*s%-*s : %s\n", (int)depth * 4, "", 36 - (int)depth * 4,
		name, value && *value ? value : "N/A");
}

static void number(FILE *out, unsigned int depth, const char *name,
		   uint64_t value, const char *unit)
{
	char text[64] = "";

	if (value != SMI_UNKNOWN)
		snprintf(text, sizeof(text), "%" PRIu64 "%s", value, unit);
	fact(out, depth, name, text);
}

static void memory(FILE *out, unsigned int depth, const char *name,
		   uint64_t bytes)
{
	fact(out, depth, name, bytes == SMI_UNKNOWN ? "" : text_mib(bytes));
}

static void time_ns(FILE *out, unsigned int depth, const char *name,
		    uint64_t ns)
{
	fact(out, depth, name, ns == SMI_UNKNOWN ? "" : text_time(ns));
}

static void ratio(FILE *out, unsigned int depth, const char *name,
		  uint64_t millionths)
{
	char text[32] = "";

	if (millionths != SMI_UNKNOWN)
		snprintf(text, sizeof(text), "%.4g %%",
			 (double)millionths / 1e4);
	fact(out, depth, name, text);
}

static void head(FILE *out, unsigned int depth, const char *name)
{
	fprintf(out, "%*s%s\n", (int)depth * 4, "", name);
}

static void show_caps(FILE *out, const struct smi_device *d)
{
	const struct vgpu_capset *c = &d->caps;
	bool v2 = d->has_caps && c->version >= 2;

	head(out, 1, "Host");
	fact(out, 2, "Version", d->has_caps ? c->host_version : "");
	fact(out, 2, "GPU", d->has_caps ? c->gpu : "");
	fact(out, 2, "Renderer", d->has_caps ? c->renderer : "");
	fact(out, 2, "OpenGL version", d->has_caps ? c->gl_version : "");
	fact(out, 2, "OpenGL", !v2 ? "" : c->apis & VGPU_API_GL ? "yes" : "no");
	fact(out, 2, "Vulkan",
	     !v2		       ? "" :
	     c->apis & VGPU_API_VULKAN ? "yes" :
					 "no");
	if (d->has_caps && !c->max_contexts)
		fact(out, 2, "Contexts at most", "no bound");
	else
		number(out, 2, "Contexts at most",
		       d->has_caps ? c->max_contexts : SMI_UNKNOWN, "");
	number(out, 2, "Outputs at most",
	       d->has_caps ? c->max_outputs : SMI_UNKNOWN, "");
}

static void show_device(FILE *out, const struct smi_view *view, unsigned int i)
{
	static const char *const sources[] = {
		[SMI_SOURCE_NONE] = "none",
		[SMI_SOURCE_SYSFS] = "the driver (sysfs)",
		[SMI_SOURCE_PAGE] = "the device's statistics page",
	};
	const struct smi_device *d = &view->devices[i];
	const struct smi_figures *f = &d->now;
	char text[80];

	fprintf(out, "\nGPU %u\n", i);
	fact(out, 1, "Bus", d->pci);
	fact(out, 1, "Virtio device", d->virtio);
	fact(out, 1, "Driver", show_driver(text, sizeof(text), d));
	fact(out, 1, "Render node", d->render);
	fact(out, 1, "Card", d->card);
	fact(out, 1, "Profile", f->profile);
	show_caps(out, d);
	head(out, 1, "Memory");
	memory(out, 2, "Limit", f->memory_limit);
	memory(out, 2, "Used", f->memory_used);
	memory(out, 2, "Free",
	       f->memory_used == SMI_UNKNOWN || f->memory_limit == SMI_UNKNOWN ?
		       SMI_UNKNOWN :
	       f->memory_used > f->memory_limit ?
		       0 :
		       f->memory_limit - f->memory_used);
	memory(out, 2, "Peak", f->memory_peak);
	number(out, 2, "Allocations refused", f->alloc_denied, "");
	head(out, 1, "Time");
	ratio(out, 2, "Utilisation", f->utilisation);
	ratio(out, 2, "Share", f->share);
	time_ns(out, 2, "Used", f->gpu_time_ns);
	time_ns(out, 2, "Throttled", f->throttled_ns);
	head(out, 1, "Resets");
	number(out, 2, "Count", f->resets, "");
	fact(out, 2, "Cause of the last",
	     f->resets && f->resets != SMI_UNKNOWN ?
		     smi_reset_cause(f->reset_cause) :
		     "");
	fact(out, 1, "Live figures from", sources[d->source]);
	head(out, 1, "Processes");
	for (unsigned int k = 0; k < view->process_count; k++) {
		const struct smi_process *p = &view->processes[k];

		if (p->device != i)
			continue;
		number(out, 2, "Process", (uint64_t)p->pid, "");
		fact(out, 3, "Name", p->name);
		memory(out, 3, "Memory", p->memory);
		memory(out, 3, "Memory with what is not resident", p->total);
		time_ns(out, 3, "Time used", p->engine_ns);
		ratio(out, 3, "Utilisation", p->utilisation);
	}
}

void show_query(FILE *out, const struct smi_view *view)
{
	fact(out, 0, "vgpu-smi", VGPU_VERSION);
	number(out, 0, "Attached GPUs", view->count, "");
	for (unsigned int i = 0; i < view->count; i++)
		show_device(out, view, i);
}
