/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold of everything that is read from an object table, whatever stands in it. */
#ifndef TEST_ESTATE_CHECKS_H
#define TEST_ESTATE_CHECKS_H

#include "renderer/estate.h"
#include "renderer/format.h"

/* The first thing that does not hold, or NULL. */
static inline const char *estate_resource_fault(const EstateResource *r, const uint8_t *table,
                                                GHashTable *ids, GHashTable *blocks)
{
    const struct TablePages *first = (const struct TablePages *)(table + TABLE_PAGES_AT);
    uint64_t bytes;

    if (!r->id || !g_hash_table_add(ids, GUINT_TO_POINTER(r->id))) {
        return "an id is 0, or of two";
    }
    if (r->blob_mem ? (r->blob_mem > 3 || !r->blob_size || r->is_2d)
                    : (!resource_size(&r->shape, &bytes) || !bytes ||
                       (r->is_2d && !format_fourcc(r->shape.format)))) {
        return "neither a picture nor a blob";
    }
    if (!r->pages != !r->pages_count ||
        (r->pages && (r->pages < first || (uint64_t)(r->pages - first) + r->pages_count > TABLE_PAGES))) {
        return "pages that are not in the table";
    }
    for (uint32_t p = 0; p < r->pages_count; p += TABLE_BLOCK) {
        if (!g_hash_table_add(blocks,
                              GUINT_TO_POINTER(((uint32_t)(r->pages - first) + p) / TABLE_BLOCK + 1))) {
            return "pages of two";
        }
    }
    return NULL;
}

static inline const char *estate_fault(const Estate *e, const uint8_t *table)
{
    g_autoptr(GHashTable) ids = g_hash_table_new(NULL, NULL), blocks = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < e->resources->len; i++) {
        const char *fault =
            estate_resource_fault(&g_array_index(e->resources, EstateResource, i), table, ids, blocks);

        if (fault) {
            return fault;
        }
    }
    for (unsigned i = 0; i < TABLE_SCANOUTS; i++) {
        uint32_t shown = e->scanout[i].resource_id, cursor = e->scanout[i].cursor.resource_id;

        if ((shown && !g_hash_table_contains(ids, GUINT_TO_POINTER(shown))) ||
            (cursor && !g_hash_table_contains(ids, GUINT_TO_POINTER(cursor)))) {
            return "a scanout of what is not there";
        }
    }
    for (unsigned q = 0; q < TABLE_QUEUES; q++) {
        const EstateQueue *queue = &e->queue[q];

        for (unsigned i = 0; i < queue->count; i++) {
            if (queue->count > TABLE_QUEUE_MAX || queue->chain[i].head >= TABLE_QUEUE_MAX ||
                !queue->chain[i].order || (i && queue->chain[i - 1].order > queue->chain[i].order)) {
                return "chains that are none, or not in order";
            }
        }
    }
    return NULL;
}

#endif
