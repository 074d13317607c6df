// SPDX-License-Identifier: GPL-2.0 OR MIT
/* vgpu-smi: what this guest has of its host's GPU, and whether it works. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "show.h"
#include "try.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* How long figures are watched before they are shown the first time. */
#define SAMPLE_S 1.0

struct options {
	void (*show)(FILE *out, const struct smi_view *view);
	bool json;
	bool check;
	double loop_s; /* 0: once */
	long rounds;   /* 0: for ever */
};

static const char usage_text[] =
	"Usage: vgpu-smi [OPTION...]\n"
	"Shows this guest's slice of the host's GPU and who uses it.\n"
	"\n"
	"  -q, --query         everything, one fact a line\n"
	"  -j, --json          the same as JSON\n"
	"  -l, --loop=SECONDS  again every SECONDS, until it is interrupted\n"
	"  -n, --count=N       with -l: N times\n"
	"  -c, --check         whether device, driver, OpenGL and Vulkan work, and what to\n"
	"                      do where they do not; with --json an array\n"
	"  -V, --version       the version\n"
	"  -h, --help          this text\n"
	"\n"
	"Status 0: well; 1: there is no GPU, or a check failed; 2: wrong options.\n";

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* One look: figures and processes, each at the begin and at the end of a time. */
static int look(const struct options *o, double seconds, bool again)
{
	struct smi_device devices[SMI_DEVICES];
	unsigned int count = smi_devices_find("", devices);
	unsigned int n_before, n_after;
	struct smi_process *before, *after;
	struct smi_view view;
	double begin = now();

	before = smi_processes_find("", devices, count, &n_before);
	if (count)
		smi_sample("", devices, count, seconds);
	after = smi_processes_find("", devices, count, &n_after);
	smi_processes_rate(after, n_after, before, n_before, now() - begin);
	view = (struct smi_view){ devices, count, after, n_after };
	if (again && !o->json)
		putchar('\n');
	if (!count && !o->json)
		fprintf(stderr,
			"vgpu-smi: this guest has no virtio GPU; 'vgpu-smi --check' says what to do\n");
	else
		o->show(stdout, &view);
	fflush(stdout);
	free(before);
	free(after);
	smi_devices_free(devices, count);
	return count ? EXIT_OK : EXIT_FAILED;
}

static int watch(const struct options *o)
{
	int status = EXIT_OK;

	for (long i = 0; !o->rounds || i < o->rounds; i++) {
		double begin = now(), rest;

		status = look(o,
			      i && o->loop_s > SAMPLE_S ? o->loop_s : SAMPLE_S,
			      i > 0);
		if (ferror(stdout))
			return EXIT_FAILED;
		rest = o->loop_s - (now() - begin);
		if (i && rest > 0) {
			struct timespec ts = { (time_t)rest,
					       (long)((rest - (time_t)rest) *
						      1e9) };

			nanosleep(&ts, NULL);
		}
	}
	return status;
}

/* A number above 0 and below a day, for -l. */
static bool seconds_of(double *out, const char *text)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	return !errno && end != text && !*end && *out > 0 && *out <= 86400;
}

static bool count_of(long *out, const char *text)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	return !errno && end != text && !*end && *out > 0;
}

static int usage(const char *why, const char *what)
{
	fprintf(stderr,
		"vgpu-smi: %s '%s'; 'vgpu-smi --help' lists the options\n", why,
		what);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "query", no_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' },
		{ "loop", required_argument, NULL, 'l' },
		{ "count", required_argument, NULL, 'n' },
		{ "check", no_argument, NULL, 'c' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options o = { .show = show_table };
	int opt;

	/* how --check runs itself: see try.h */
	if (argc == 4 && !strcmp(argv[1], "--try"))
		return !strcmp(argv[2], "gl") ? try_gl(argv[3]) :
						try_vulkan(argv[3]);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "qjl:n:cVh", longs, NULL)) !=
	       -1) {
		switch (opt) {
		case 'q':
			o.show = show_query;
			break;
		case 'j':
			o.json = true;
			break;
		case 'l':
			if (!seconds_of(&o.loop_s, optarg))
				return usage("-l wants seconds between 0 and 86400, not",
					     optarg);
			break;
		case 'n':
			if (!count_of(&o.rounds, optarg))
				return usage("-n wants a number above 0, not",
					     optarg);
			break;
		case 'c':
			o.check = true;
			break;
		case 'V':
			puts("vgpu-smi " VGPU_VERSION);
			return EXIT_OK;
		case 'h':
			fputs(usage_text, stdout);
			return EXIT_OK;
		default:
			return usage("unknown option, or one without its value:",
				     argv[optind - 1]);
		}
	}
	if (optind < argc)
		return usage("this argument means nothing here:", argv[optind]);
	if (o.json)
		o.show = show_json;
	if (o.check)
		return check_run("", o.json);
	if (!o.loop_s)
		o.rounds = 1;
	return watch(&o);
}
