// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * vgpu-smi --json: bytes, nanoseconds and ratios as numbers, null for what is
 * not known.  Names stay what they are once they were released.
 */
#include <inttypes.h>

#include "show.h"
#include "text.h"

/* Where the next member goes: a comma before all but the first. */
struct object {
	FILE *out;
	unsigned int depth;
	bool some;
};

static void next(struct object *o)
{
	fprintf(o->out, "%s\n%*s", o->some ? "," : "", (int)o->depth * 2, "");
	o->some = true;
}

static void member(struct object *o, const char *name)
{
	next(o);
	json_string(o->out, name);
	fputs(": ", o->out);
}

static struct object begin(struct object *parent, const char *name, char with)
{
	if (name)
		member(parent, name);
	else
		next(parent);
	fputc(with, parent->out);
	return (struct object){ parent->out, parent->depth + 1, false };
}

static void end(struct object *o, char with)
{
	if (o->some)
		fprintf(o->out, "\n%*s", (int)(o->depth - 1) * 2, "");
	fputc(with, o->out);
}

static void string(struct object *o, const char *name, const char *value)
{
	member(o, name);
	if (value && *value)
		json_string(o->out, value);
	else
		fputs("null", o->out);
}

static void number(struct object *o, const char *name, uint64_t value)
{
	member(o, name);
	if (value == SMI_UNKNOWN)
		fputs("null", o->out);
	else
		fprintf(o->out, "%" PRIu64, value);
}

static void ratio(struct object *o, const char *name, uint64_t millionths)
{
	member(o, name);
	if (millionths == SMI_UNKNOWN)
		fputs("null", o->out);
	else
		fprintf(o->out, "%" PRIu64 ".%06" PRIu64, millionths / 1000000,
			millionths % 1000000);
}

static void boolean(struct object *o, const char *name, bool known, bool value)
{
	member(o, name);
	fputs(!known ? "null" : value ? "true" : "false", o->out);
}

static void show_host(struct object *gpu, const struct smi_device *d)
{
	const struct vgpu_capset *c = &d->caps;
	bool v2 = d->has_caps && c->version >= 2;
	struct object o = begin(gpu, "host", '{');

	string(&o, "version", d->has_caps ? c->host_version : NULL);
	string(&o, "gpu", d->has_caps ? c->gpu : NULL);
	string(&o, "renderer", d->has_caps ? c->renderer : NULL);
	string(&o, "gl_version", d->has_caps ? c->gl_version : NULL);
	boolean(&o, "opengl", v2, c->apis & VGPU_API_GL);
	boolean(&o, "vulkan", v2, c->apis & VGPU_API_VULKAN);
	number(&o, "max_contexts", d->has_caps ? c->max_contexts : SMI_UNKNOWN);
	number(&o, "max_outputs", d->has_caps ? c->max_outputs : SMI_UNKNOWN);
	end(&o, '}');
}

static void show_process(struct object *list, const struct smi_process *p)
{
	struct object o = begin(list, NULL, '{');

	number(&o, "pid", (uint64_t)p->pid);
	string(&o, "name", p->name);
	number(&o, "memory_bytes", p->memory);
	number(&o, "memory_total_bytes", p->total);
	number(&o, "gpu_time_ns", p->engine_ns);
	ratio(&o, "utilisation_ratio", p->utilisation);
	end(&o, '}');
}

static void show_device(struct object *list, const struct smi_view *view,
			unsigned int i)
{
	static const char *const sources[] = {
		[SMI_SOURCE_NONE] = "",
		[SMI_SOURCE_SYSFS] = "sysfs",
		[SMI_SOURCE_PAGE] = "page",
	};
	const struct smi_device *d = &view->devices[i];
	const struct smi_figures *f = &d->now;
	struct object o = begin(list, NULL, '{'), processes;

	number(&o, "index", i);
	string(&o, "bus", d->pci);
	string(&o, "virtio", d->virtio);
	string(&o, "driver", d->driver);
	string(&o, "driver_version", d->version);
	string(&o, "render_node", d->render);
	string(&o, "card", d->card);
	string(&o, "profile", f->profile);
	show_host(&o, d);
	string(&o, "live_figures", sources[d->source]);
	number(&o, "memory_limit_bytes", f->memory_limit);
	number(&o, "memory_used_bytes", f->memory_used);
	number(&o, "memory_peak_bytes", f->memory_peak);
	number(&o, "alloc_denied", f->alloc_denied);
	ratio(&o, "utilisation_ratio", f->utilisation);
	ratio(&o, "share_ratio", f->share);
	number(&o, "gpu_time_ns", f->gpu_time_ns);
	number(&o, "throttled_ns", f->throttled_ns);
	number(&o, "resets", f->resets);
	string(&o, "reset_cause",
	       f->resets && f->resets != SMI_UNKNOWN ?
		       smi_reset_cause(f->reset_cause) :
		       NULL);
	processes = begin(&o, "processes", '[');
	for (unsigned int k = 0; k < view->process_count; k++)
		if (view->processes[k].device == i)
			show_process(&processes, &view->processes[k]);
	end(&processes, ']');
	end(&o, '}');
}

void show_json(FILE *out, const struct smi_view *view)
{
	struct object root = { out, 1, false }, gpus;

	fputc('{', out);
	string(&root, "version", VGPU_VERSION);
	gpus = begin(&root, "gpus", '[');
	for (unsigned int i = 0; i < view->count; i++)
		show_device(&gpus, view, i);
	end(&gpus, ']');
	fputs("\n}\n", out);
}
