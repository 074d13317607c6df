/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit.h"

#include <string.h>

#include "units.h"

#define BURST      20
#define REFILL_US  (5 * G_USEC_PER_SEC) /* one more line */
#define CALLERS    256                  /* whose refusals are counted apart; the rest counts as one */
#define NOBODY     "somebody unknown"
#define TEXT_MAX   300 /* bytes of one value */
#define MESSAGE_ID "f06e1dc3a5a14c1d8e7d1b2f0c9a4e57"

/* "uid 1000" or "10.0.0.1" -> AuditBucket */
static GHashTable *buckets;
static guint flush_timer;

static void leave_out(AuditBucket *b, const char *what)
{
    b->left_out++;
    for (unsigned i = 0; i < AUDIT_KINDS; i++) {
        if (!b->kinds[i].what || g_str_equal(b->kinds[i].what, what)) {
            b->kinds[i].what = what;
            b->kinds[i].left_out++;
            return;
        }
    }
}

char *audit_bucket_tell(AuditBucket *b)
{
    GString *s = g_string_new(NULL);
    uint64_t others = b->left_out;

    g_string_printf(s, "%" G_GUINT64_FORMAT " more refusal%s not written down: ", (guint64)b->left_out,
                    b->left_out == 1 ? " was" : "s were");
    for (unsigned i = 0; i < AUDIT_KINDS && b->kinds[i].what; i++) {
        g_string_append_printf(s, "%s%" G_GUINT64_FORMAT " of %s", i ? ", " : "",
                               (guint64)b->kinds[i].left_out, b->kinds[i].what);
        others -= b->kinds[i].left_out;
    }
    if (others) {
        g_string_append_printf(s, ", %" G_GUINT64_FORMAT " of others", (guint64)others);
    }
    b->left_out = 0;
    memset(b->kinds, 0, sizeof(b->kinds));
    return g_string_free(s, FALSE);
}

static bool take(AuditBucket *b, int64_t now_us)
{
    int64_t oldest = now_us - BURST * (int64_t)REFILL_US;

    if (!b->since_us || b->since_us < oldest) {
        b->since_us = oldest;
    }
    if (b->since_us + (int64_t)REFILL_US > now_us) {
        return false;
    }
    b->since_us += REFILL_US;
    return true;
}

bool audit_bucket_take(AuditBucket *b, const char *what, int64_t now_us)
{
    if (!take(b, now_us)) {
        leave_out(b, what);
        return false;
    }
    return true;
}

/* One value of the line, short and without anything that could forge another. */
static char *clean_value(const char *value)
{
    g_autofree char *start = g_strndup(value, TEXT_MAX);

    return units_clean_text(start); /* a character cut in two is made valid as well */
}

static const char *who(const AuditLine *line)
{
    return line->caller ? line->caller->who : NOBODY;
}

static void append(GString *s, const char *key, const char *value)
{
    g_autofree char *clean = NULL;

    if (!value) {
        return;
    }
    clean = clean_value(value);
    g_string_append_printf(s, " %s=", key);
    if (*clean && !strpbrk(clean, " \"\\=")) {
        g_string_append(s, clean);
        return;
    }
    g_string_append_c(s, '"');
    for (const char *p = clean; *p; p++) {
        if (*p == '"' || *p == '\\') {
            g_string_append_c(s, '\\');
        }
        g_string_append_c(s, *p);
    }
    g_string_append_c(s, '"');
}

char *audit_text(const AuditLine *line)
{
    GString *s = g_string_new("audit:");

    append(s, "who", who(line));
    append(s, "what", line->what);
    append(s, "target", line->target);
    append(s, "from", line->from);
    append(s, "change", line->change);
    append(s, "result", line->refused ? "refused" : "done");
    append(s, "why", line->refused);
    return g_string_free(s, FALSE);
}

static void field(GLogField *fields, gsize *count, const char *key, const char *value)
{
    if (value) {
        fields[(*count)++] = (GLogField){ key, value, -1 };
    }
}

/* left_out: so many refusals more than this line are told by it. */
static void write_line(const AuditLine *line, uint64_t left_out)
{
    g_autofree char *more = left_out ? g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)left_out) : NULL;
    g_autofree char *text = audit_text(line);
    g_autofree char *target = line->target ? clean_value(line->target) : NULL;
    GLogField fields[16];
    gsize count = 0;

    field(fields, &count, "MESSAGE", text);
    field(fields, &count, "MESSAGE_ID", MESSAGE_ID);
    field(fields, &count, "PRIORITY", "5");
    field(fields, &count, "VGPU_AUDIT", line->refused ? "refused" : "done");
    field(fields, &count, "VGPU_WHO", who(line));
    field(fields, &count, "VGPU_WHAT", line->what);
    field(fields, &count, "VGPU_TARGET", target);
    field(fields, &count, "VGPU_FROM", line->from);
    field(fields, &count, "VGPU_CHANGE", line->change);
    field(fields, &count, "VGPU_WHY", line->refused);
    field(fields, &count, "VGPU_LEFT_OUT", more);
    g_log_structured_array(G_LOG_LEVEL_MESSAGE, fields, count);
}

static void write_left_out(const char *whose, AuditBucket *b)
{
    uint64_t left_out = b->left_out;
    g_autofree char *why = audit_bucket_tell(b);
    const Caller caller = { .who = (char *)whose };
    const AuditLine line = { .caller = &caller, .what = "more", .refused = why };

    write_line(&line, left_out);
}

/* What was left out and nothing came after: it is said in the end. */
static gboolean on_flush(gpointer unused)
{
    int64_t now = g_get_monotonic_time();
    GHashTableIter iter;
    gpointer whose, bucket;
    bool more = false;

    g_hash_table_iter_init(&iter, buckets);
    while (g_hash_table_iter_next(&iter, &whose, &bucket)) {
        AuditBucket *b = bucket;

        if (b->left_out && take(b, now)) {
            write_left_out(whose, b);
        }
        more |= b->left_out > 0;
    }
    if (!more) {
        flush_timer = 0;
    }
    return more;
}

static gboolean bucket_is_full(gpointer whose, gpointer bucket, gpointer now)
{
    const AuditBucket *b = bucket;

    return !b->left_out && b->since_us < *(int64_t *)now - BURST * (int64_t)REFILL_US;
}

static AuditBucket *bucket_of(const char **whose, int64_t now)
{
    AuditBucket *b;

    if (!buckets) {
        buckets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    }
    b = g_hash_table_lookup(buckets, *whose);
    if (!b && g_hash_table_size(buckets) >= CALLERS) {
        g_hash_table_foreach_remove(buckets, bucket_is_full, &now);
        if (g_hash_table_size(buckets) >= CALLERS) {
            *whose = "others";
            b = g_hash_table_lookup(buckets, *whose);
        }
    }
    if (!b) {
        b = g_new0(AuditBucket, 1);
        g_hash_table_insert(buckets, g_strdup(*whose), b);
    }
    return b;
}

static bool may_write(const AuditLine *line)
{
    int64_t now = g_get_monotonic_time();
    g_autofree char *user = NULL;
    const char *whose = line->from;
    AuditBucket *b;

    if (line->caller && line->caller->uid != ROLES_NOBODY) {
        user = g_strdup_printf("uid %u", line->caller->uid);
        whose = user;
    }
    b = bucket_of(&whose, now);
    if (!audit_bucket_take(b, line->what, now)) {
        if (!flush_timer) {
            flush_timer = g_timeout_add_seconds(REFILL_US / G_USEC_PER_SEC, on_flush, NULL);
        }
        return false;
    }
    if (b->left_out) {
        write_left_out(whose, b);
    }
    return true;
}

void audit(const AuditLine *line)
{
    if (!line->refused || may_write(line)) {
        write_line(line, 0);
    }
}

void audit_end(void)
{
    GHashTableIter iter;
    gpointer whose, bucket;

    if (!buckets) {
        return;
    }
    g_hash_table_iter_init(&iter, buckets);
    while (g_hash_table_iter_next(&iter, &whose, &bucket)) {
        if (((AuditBucket *)bucket)->left_out) {
            write_left_out(whose, bucket);
        }
    }
}
