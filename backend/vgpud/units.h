/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures as people write them in a configuration file. */
#ifndef VGPUD_UNITS_H
#define VGPUD_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#define MIB (1024ull * 1024)
#define GIB (1024ull * MIB)
#define PPM 1000000u /* 100 % */

/* "512M", "2G", "1T", "65536K" or plain bytes. */
bool units_parse_bytes(const char *text, uint64_t *bytes);

/* "25%", "12.5 %": above 0, up to 100; in millionths. */
bool units_parse_percent(const char *text, uint32_t *ppm);

/* "500us", "10ms", "5s", "2min"; "0". In microseconds. */
bool units_parse_duration(const char *text, uint64_t *us);

bool units_parse_uint(const char *text, uint32_t min, uint32_t max, uint32_t *value);

/* The words of a list with ',', ';' or blanks between them; to free. */
char **units_parse_list(const char *text);

/* A name in a configuration: up to 63 letters, digits, '.', '_' and '-', a letter or digit first. */
bool units_name_valid(const char *text);

/*
 * Text from outside, fit for a log, a table and a state file: valid UTF-8,
 * no control characters.  The caller frees it.
 */
char *units_clean_text(const char *text);

#endif
