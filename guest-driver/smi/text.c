// SPDX-License-Identifier: GPL-2.0 OR MIT
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool text_of_v(char *out, size_t size, const char *path, va_list ap)
{
	char name[PATH_MAX];
	FILE *file;
	bool ok;

	out[0] = '\0';
	if (vsnprintf(name, sizeof(name), path, ap) >= (int)sizeof(name))
		return false;
	file = fopen(name, "re");
	if (!file)
		return false;
	ok = fgets(out, (int)size, file);
	fclose(file);
	out[ok ? strcspn(out, "\n") : 0] = '\0';
	return ok;
}

bool text_of(char *out, size_t size, const char *path, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, path);
	ok = text_of_v(out, size, path, ap);
	va_end(ap);
	return ok;
}

bool number_of(uint64_t *out, const char *path, ...)
{
	char text[64], *end;
	va_list ap;
	bool ok;

	va_start(ap, path);
	ok = text_of_v(text, sizeof(text), path, ap);
	va_end(ap);
	if (!ok || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 0);
	return !errno && !*end;
}

bool link_of(char *out, size_t size, const char *path, ...)
{
	char name[PATH_MAX], target[PATH_MAX], *last;
	va_list ap;
	ssize_t n;
	int len;

	out[0] = '\0';
	va_start(ap, path);
	len = vsnprintf(name, sizeof(name), path, ap);
	va_end(ap);
	if (len >= (int)sizeof(name))
		return false;
	n = readlink(name, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	last = strrchr(target, '/');
	snprintf(out, size, "%s", last ? last + 1 : target);
	return true;
}

bool path_exists(const char *path, ...)
{
	char name[PATH_MAX];
	va_list ap;
	int len;

	va_start(ap, path);
	len = vsnprintf(name, sizeof(name), path, ap);
	va_end(ap);
	return len < (int)sizeof(name) && access(name, F_OK) == 0;
}

/* Length of the valid UTF-8 character at p, 0: there is none. */
static unsigned int utf8_length(const unsigned char *p, uint32_t *code)
{
	unsigned int n = p[0] < 0x80		     ? 1 :
			 p[0] >= 0xc2 && p[0] < 0xe0 ? 2 :
			 p[0] >= 0xe0 && p[0] < 0xf0 ? 3 :
			 p[0] >= 0xf0 && p[0] < 0xf5 ? 4 :
						       0;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };

	if (!n)
		return 0;
	*code = p[0] & mask[n];
	for (unsigned int i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (p[i] & 0x3f);
	}
	if (*code < least[n] || (*code >= 0xd800 && *code < 0xe000) ||
	    *code > 0x10ffff)
		return 0;
	return n;
}

/* Terminals obey these, C1 as well, or turn the line around. */
static bool is_harmful(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad ||
	       (code >= 0x200b && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

void text_clean(char *text)
{
	unsigned char *in = (unsigned char *)text, *out = in;

	while (*in) {
		uint32_t code = 0;
		unsigned int n = utf8_length(in, &code);

		if (!n || is_harmful(code)) {
			*out++ = '?';
			in += n ? n : 1;
			continue;
		}
		memmove(out, in, n);
		out += n;
		in += n;
	}
	*out = '\0';
}

unsigned int text_width(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static char *buffer(size_t *size)
{
	static char buffers[8][32];
	static unsigned int next;

	*size = sizeof(buffers[0]);
	return buffers[next++ % 8];
}

const char *text_mib(uint64_t bytes)
{
	size_t size;
	char *out = buffer(&size);

	snprintf(out, size, "%" PRIu64 " MiB", bytes >> 20);
	return out;
}

const char *text_time(uint64_t ns)
{
	size_t size;
	char *out = buffer(&size);
	double s = (double)ns / 1e9;

	if (!ns)
		snprintf(out, size, "0 s");
	else if (s < 0.9995)
		snprintf(out, size, "%.3g ms", s * 1e3);
	else if (s < 100)
		snprintf(out, size, "%.3g s", s);
	else if (s < 6000)
		snprintf(out, size, "%.0f s", s);
	else
		snprintf(out, size, "%.1f h", s / 3600);
	return out;
}

void json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}
