/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lost renderer's object table: whatever it says, what is read from it is
 * well-formed, within the table, and shared by no two resources.
 */
#include "fuzz.h"
#include "../unit/estate-checks.h"

void log_say(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Instead of log.c: nobody reads a million sentences. */
void log_say(const char *format, ...)
{
}

/* The input is scattered over a table: its entries lie far apart. */
static const struct {
    uint32_t at, size;
} parts[] = {
    { TABLE_SCANOUTS_AT, 2 * sizeof(struct TableScanout) },
    { TABLE_QUEUES_AT, TABLE_QUEUES * sizeof(struct TableQueue) },
    { TABLE_CHAINS_AT, 8 * sizeof(struct TableChain) },
    { TABLE_CHAINS_AT + TABLE_QUEUE_MAX * sizeof(struct TableChain), 4 * sizeof(struct TableChain) },
    { TABLE_RESOURCES_AT, 64 * sizeof(struct TableResource) },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *table;
    struct TableHeader h = {
        .magic = TABLE_MAGIC,
        .version = TABLE_VERSION,
        .size = TABLE_SIZE,
        .resources = TABLE_RESOURCES,
        .pages = TABLE_PAGES,
    };
    Estate *e;

    table = table ? table : g_malloc0(TABLE_SIZE);
    memcpy(table, &h, sizeof(h));
    if (size && data[0] == 0xff) { /* now and then the header too */
        memcpy(table, data + 1, MIN(size - 1, sizeof(h)));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        size_t n = MIN(size, parts[i].size);

        memcpy(table + parts[i].at, data, n);
        data += n;
        size -= n;
    }
    e = estate_parse(table, parts[G_N_ELEMENTS(parts) - 1].at + parts[G_N_ELEMENTS(parts) - 1].size, 0, NULL);
    if (e) {
        FUZZ_ASSERT(!estate_fault(e, table));
    }
    estate_free(e);
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        memset(table + parts[i].at, 0, parts[i].size);
    }
    return 0;
}
