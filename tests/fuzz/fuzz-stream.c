/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk over virgl streams in front of virglrenderer: whatever comes, a
 * refused stream leaves the books as they were, nothing passes the limit and
 * its reserve, and with the context all charges are gone.
 */
#include "fuzz.h"
#include "quota/stream.h"

#define LIMIT (256ull << 20)

static void drop_blobs(StreamContext *ctx, Ledger *ledger)
{
    uint64_t charged;
    uint32_t id;

    while (stream_next_untaken(ctx, &id)) {
        FUZZ_ASSERT(stream_take_blob(ctx, id, &charged));
        ledger_refund(ledger, charged);
    }
}

/* The input: streams, each behind its length in dwords (one byte, 0 to the end). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vgpu_stats stats = { .memory_limit = LIMIT };
    StreamLimits limits = { .max_subcontexts = 8 };
    StreamContext *ctx;
    Ledger ledger;

    ledger_init(&ledger, LIMIT, &stats);
    ctx = stream_context_new(&ledger, &limits);
    FUZZ_ASSERT(ctx);
    while (size > 4) {
        size_t dwords = data[0] ? MIN(data[0], (size - 1) / 4) : (size - 1) / 4;
        bool executed = data[0] % 5 != 1;
        g_autofree uint32_t *copy = g_memdup2(data + 1, dwords * 4);
        uint64_t before = ledger_used(&ledger), bytes = 0;
        const char *why = NULL;
        uint32_t asked;

        if (stream_walk(ctx, copy, dwords, &why, &bytes) == STREAM_OK) {
            stream_done(ctx, executed);
            while (stream_next_memory_info(ctx, &asked)) {
            }
        } else {
            FUZZ_ASSERT(why && *why);
            FUZZ_ASSERT(ledger_used(&ledger) == before);
        }
        FUZZ_ASSERT(ledger_used(&ledger) <= LIMIT + LEDGER_RESERVE);
        data += 1 + dwords * 4;
        size -= 1 + dwords * 4;
    }
    drop_blobs(ctx, &ledger);
    stream_context_free(ctx);
    FUZZ_ASSERT(ledger_used(&ledger) == 0 && limits.subcontexts == 0);
    return 0;
}
