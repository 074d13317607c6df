/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The books of Vulkan memory: what a process is charged, who holds memory that
 * was exported and who refunds it, what a process leaves behind, and what the
 * renderer makes of a page that somebody has scribbled on.
 */
#include <glib.h>
#include <string.h>

#include "quota/vulkan_books.h"

#define MIB (1024 * 1024ull)

typedef struct Fixture {
    struct vgpu_stats stats;
    Ledger renderer, layer;
    struct vgpu_vulkan *page;
    VulkanBooks r; /* the renderer's */
    VulkanBooks p; /* a context process' */
    int slot;
} Fixture;

static void set_up(Fixture *f, gconstpointer limit)
{
    ledger_init(&f->renderer, GPOINTER_TO_SIZE(limit), &f->stats);
    ledger_join(&f->layer, &f->stats);
    f->page = g_new0(struct vgpu_vulkan, 1);
    g_assert_false(vulkan_books_join(&f->p, f->page, &f->layer)); /* no page yet */
    vulkan_books_init(&f->r, f->page, &f->renderer);
    g_assert_true(vulkan_books_join(&f->p, f->page, &f->layer));
    f->slot = vulkan_books_enter(&f->p, 42);
    g_assert_cmpint(f->slot, ==, 0);
}

static void tear_down(Fixture *f, gconstpointer limit)
{
    g_assert_cmpuint(f->renderer.faults + f->layer.faults, ==, 0);
    g_free(f->page);
}

static VulkanFile file(uint64_t ino)
{
    return (VulkanFile){ .dev = 5, .ino = ino, .offset = 4096 };
}

static void assert_used(Fixture *f, uint64_t bytes)
{
    g_assert_cmpuint(f->stats.memory_used, ==, bytes);
}

/* Memory of this many bytes, exported with that file. */
static int exported(Fixture *f, int slot, uint64_t bytes, uint64_t ino)
{
    VulkanFile of = file(ino);
    int entry;

    g_assert_true(vulkan_books_charge(&f->p, slot, bytes));
    entry = vulkan_books_export(&f->p, slot, bytes, &of, true);
    g_assert_cmpint(entry, >=, 0);
    return entry;
}

static VulkanBlob adopted(Fixture *f, uint64_t ino)
{
    VulkanFile of = file(ino);
    VulkanBlob blob;

    g_assert_true(vulkan_books_adopt(&f->r, &of, &blob));
    return blob;
}

static VulkanRemains buried(Fixture *f, int slot)
{
    VulkanRemains remains;

    vulkan_books_bury(&f->r, slot, &remains);
    g_assert_false(vulkan_books_taken(&f->r, slot));
    return remains;
}

static void test_charges(Fixture *f, gconstpointer limit)
{
    g_assert_true(vulkan_books_charge(&f->p, f->slot, 3 * MIB));
    g_assert_true(vulkan_books_charge(&f->p, f->slot, 5 * MIB));
    g_assert_cmpuint(vulkan_books_charged(&f->r, f->slot), ==, 8 * MIB);
    assert_used(f, 8 * MIB);
    g_assert_false(vulkan_books_charge(&f->p, f->slot, 65537));
    g_assert_false(ledger_charge(&f->renderer, 65537));
    g_assert_true(vulkan_books_charge(&f->p, f->slot, 65536)); /* the reserve is for both */
    vulkan_books_refund(&f->p, f->slot, 65536);
    vulkan_books_refund(&f->p, f->slot, 3 * MIB);
    g_assert_true(ledger_charge(&f->renderer, 3 * MIB));
    vulkan_books_refund(&f->p, f->slot, 5 * MIB);
    assert_used(f, 3 * MIB);
    g_assert_cmpuint(f->stats.alloc_denied, ==, 2);
    g_assert_cmpuint(f->stats.memory_peak, ==, 8 * MIB + 65536);
}

/* It stays charged until memory and blob are gone, in whatever order. */
static void test_export_blob_first(Fixture *f, gconstpointer limit)
{
    int entry = exported(f, f->slot, 3 * MIB, 7);
    VulkanBlob blob;

    g_assert_cmpuint(vulkan_books_charged(&f->r, f->slot), ==, 0);
    assert_used(f, 3 * MIB);
    blob = adopted(f, 7);
    g_assert_cmpint(blob.entry, ==, entry);
    g_assert_cmpuint(blob.bytes, ==, 3 * MIB);
    g_assert_cmpuint(blob.offset, ==, 4096);
    vulkan_books_blob_gone(&f->r, blob.entry);
    assert_used(f, 3 * MIB);
    vulkan_books_release(&f->p, entry);
    assert_used(f, 0);
}

static void test_export_memory_first(Fixture *f, gconstpointer limit)
{
    for (int i = 0; i < 1000; i++) {
        int entry = exported(f, f->slot, 3 * MIB, 7);

        g_assert_cmpint(entry, ==, 0); /* used again */
        if (i % 2) {
            vulkan_books_release(&f->p, entry);
            assert_used(f, 3 * MIB); /* its descriptor may be a blob soon */
            adopted(f, 7);
        } else {
            adopted(f, 7);
            vulkan_books_release(&f->p, entry);
        }
        assert_used(f, 3 * MIB);
        vulkan_books_blob_gone(&f->r, entry);
        assert_used(f, 0);
        g_assert_false(vulkan_books_adopt(&f->r, &(VulkanFile){ 5, 7, 0 }, &(VulkanBlob){ 0 }));
    }
}

/* What a gone blob or memory is said to be once more takes nobody else's hold. */
static void test_let_go_twice(Fixture *f, gconstpointer limit)
{
    int entry = exported(f, f->slot, 3 * MIB, 7);

    vulkan_books_blob_gone(&f->r, entry); /* there is none yet */
    vulkan_books_release(&f->p, entry);
    vulkan_books_release(&f->p, entry);
    assert_used(f, 3 * MIB);
    adopted(f, 7);
    vulkan_books_blob_gone(&f->r, entry);
    vulkan_books_blob_gone(&f->r, entry);
    assert_used(f, 0);
}

static void test_export_twice(Fixture *f, gconstpointer limit)
{
    int entry = exported(f, f->slot, 3 * MIB, 7);
    VulkanFile same = file(7), newer = file(8);

    g_assert_true(vulkan_books_export_again(&f->p, entry, &same));
    assert_used(f, 3 * MIB);
    vulkan_books_release(&f->p, entry);
    adopted(f, 7);
    vulkan_books_blob_gone(&f->r, entry);
    assert_used(f, 3 * MIB); /* the other descriptor */
    g_assert_true(vulkan_books_export_again(&f->p, entry, &newer));
    adopted(f, 8);
    adopted(f, 8);
    vulkan_books_blob_gone(&f->r, entry);
    vulkan_books_blob_gone(&f->r, entry);
    assert_used(f, 0);
    g_assert_false(vulkan_books_export_again(&f->p, entry, &same)); /* nothing is there */
}

static void test_export_many_times(Fixture *f, gconstpointer limit)
{
    int entry = exported(f, f->slot, 3 * MIB, 7);
    VulkanFile same = file(7);
    unsigned n = 1;

    while (vulkan_books_export_again(&f->p, entry, &same)) {
        n++;
    }
    g_assert_cmpuint(n, ==, 255);
    buried(f, f->slot);
    assert_used(f, 0);
}

/* Imports cost nothing, in that process or another, and keep what they are of. */
static void test_imports(Fixture *f, gconstpointer limit)
{
    int other = vulkan_books_enter(&f->p, 43);
    int entry = exported(f, f->slot, 3 * MIB, 7);
    VulkanFile of = file(7), unknown = file(8);
    int a, b;

    g_assert_cmpint(vulkan_books_import(&f->p, other, &unknown), ==, VULKAN_BOOKS_UNKNOWN);
    a = vulkan_books_import(&f->p, f->slot, &of);
    b = vulkan_books_import(&f->p, other, &of);
    g_assert_cmpint(a, >=, 0);
    g_assert_cmpint(b, >=, 0);
    assert_used(f, 3 * MIB);
    adopted(f, 7);
    vulkan_books_blob_gone(&f->r, entry);
    vulkan_books_release(&f->p, entry);
    vulkan_books_drop_import(&f->p, a);
    vulkan_books_drop_import(&f->p, a);
    assert_used(f, 3 * MIB);
    vulkan_books_drop_import(&f->p, b);
    assert_used(f, 0);
}

/* Memory made of a descriptor that nobody knew is charged, and can be a blob as well. */
static void test_import_of_unknown(Fixture *f, gconstpointer limit)
{
    VulkanFile of = file(9);
    int entry, import;

    g_assert_true(vulkan_books_charge(&f->p, f->slot, 2 * MIB));
    entry = vulkan_books_export(&f->p, f->slot, 2 * MIB, &of, false);
    import = vulkan_books_import(&f->p, f->slot, &of);
    g_assert_cmpint(import, >=, 0);
    vulkan_books_release(&f->p, entry);
    assert_used(f, 2 * MIB);
    vulkan_books_drop_import(&f->p, import);
    assert_used(f, 0);
    g_assert_false(vulkan_books_adopt(&f->r, &of, &(VulkanBlob){ 0 }));
}

static void test_death(Fixture *f, gconstpointer limit)
{
    int other = vulkan_books_enter(&f->p, 43);
    VulkanRemains remains;
    VulkanFile of;

    g_assert_true(ledger_charge(&f->renderer, 1 * MIB));
    g_assert_true(vulkan_books_charge(&f->p, f->slot, 2 * MIB));
    exported(f, f->slot, MIB / 4, 7);  /* a blob */
    exported(f, f->slot, MIB / 8, 8);  /* never adopted */
    exported(f, f->slot, MIB / 16, 9); /* the other process has it */
    exported(f, other, MIB / 2, 10);
    adopted(f, 7);
    of = file(9);
    g_assert_cmpint(vulkan_books_import(&f->p, other, &of), >=, 0);
    of = file(10);
    g_assert_cmpint(vulkan_books_import(&f->p, f->slot, &of), >=, 0);
    vulkan_books_release(&f->p, 3); /* only the dying one has it and the descriptor given out */
    adopted(f, 10);
    vulkan_books_blob_gone(&f->r, 3);

    remains = buried(f, f->slot);
    g_assert_cmpint(remains.pid, ==, 42);
    g_assert_cmpuint(remains.bytes, ==, 2 * MIB + MIB / 8);
    g_assert_false(remains.hung);
    assert_used(f, 1 * MIB + MIB / 4 + MIB / 16);
    g_assert_true(vulkan_books_taken(&f->r, other));
    vulkan_books_blob_gone(&f->r, 0);
    remains = buried(f, other);
    g_assert_cmpuint(remains.bytes, ==, 0); /* it was charged nothing itself */
    assert_used(f, 1 * MIB);
    g_assert_cmpuint(vulkan_books_correct(&f->r), ==, 0);
    g_assert_cmpint(vulkan_books_enter(&f->p, 44), ==, 0); /* a slot is used again */
    g_assert_cmpuint(vulkan_books_charged(&f->r, 0), ==, 0);
}

static void test_lease(Fixture *f, gconstpointer limit)
{
    VulkanRemains remains;

    vulkan_books_lease_entered(&f->p, f->slot, 3 << 16);
    vulkan_books_lease_entered(&f->p, f->slot, 3 << 16);
    vulkan_books_lease_left(&f->p, f->slot, 3 << 16);
    vulkan_books_lease_entered(&f->p, f->slot, 4 << 16); /* revoked meanwhile */
    vulkan_books_lease_entered(&f->p, f->slot, 4 << 16);
    vulkan_books_lease_left(&f->p, f->slot, 3 << 16);
    vulkan_books_hung(&f->p, f->slot);
    remains = buried(f, f->slot);
    g_assert_cmpuint(remains.lease_users, ==, 2);
    g_assert_cmphex(remains.lease_ticket, ==, 4 << 16);
    g_assert_true(remains.hung);

    f->slot = vulkan_books_enter(&f->p, 45);
    vulkan_books_lease_entered(&f->p, f->slot, 4 << 16);
    vulkan_books_lease_left(&f->p, f->slot, 4 << 16);
    vulkan_books_lease_left(&f->p, f->slot, 4 << 16);
    remains = buried(f, f->slot);
    g_assert_cmpuint(remains.lease_users, ==, 0);
    g_assert_false(remains.hung);
}

/* What a kill between two words leaves is put right when nobody is left. */
static void test_correct(Fixture *f, gconstpointer limit)
{
    int silent = vulkan_books_enter(&f->p, 43); /* died before it said hello */

    g_assert_true(ledger_charge(&f->renderer, 1 * MIB));
    exported(f, f->slot, 2 * MIB, 7);
    adopted(f, 7);
    exported(f, silent, MIB / 2, 8);
    g_assert_true(ledger_charge_shared(&f->layer, 3 * MIB)); /* and was not written down */
    f->page->memories[4].word = VGPU_VULKAN_MAKING | VGPU_VULKAN_PROCESS;
    f->page->used = 5;
    f->page->memories[0].word += 2 * VGPU_VULKAN_IMPORTS_ONE; /* holds of nobody */
    buried(f, f->slot);
    assert_used(f, 6 * MIB + MIB / 2);
    g_assert_cmpuint(vulkan_books_correct(&f->r), ==, 3 * MIB);
    assert_used(f, 3 * MIB);
    g_assert_false(vulkan_books_taken(&f->r, silent));
    vulkan_books_blob_gone(&f->r, 0);
    assert_used(f, 1 * MIB);
    for (unsigned i = 0; i < VGPU_VULKAN_MEMORIES; i++) {
        g_assert_cmphex(f->page->memories[i].word & VGPU_VULKAN_KIND, ==, VGPU_VULKAN_FREE);
    }
}

static void test_full(Fixture *f, gconstpointer limit)
{
    VulkanFile of;
    int i;

    for (i = 1; i < VGPU_VULKAN_PROCESSES; i++) {
        g_assert_cmpint(vulkan_books_enter(&f->p, 1), ==, i);
    }
    g_assert_cmpint(vulkan_books_enter(&f->p, 1), ==, -1);
    buried(f, 77);
    g_assert_cmpint(vulkan_books_enter(&f->p, 1), ==, 77);

    g_assert_true(vulkan_books_charge(&f->p, f->slot, VGPU_VULKAN_MEMORIES + 1));
    for (i = 0; i < VGPU_VULKAN_MEMORIES; i++) {
        of = file((uint64_t)i);
        g_assert_cmpint(vulkan_books_export(&f->p, f->slot, 1, &of, true), ==, i);
    }
    of = file(1000000);
    g_assert_cmpint(vulkan_books_export(&f->p, f->slot, 1, &of, true), ==, VULKAN_BOOKS_FULL);
    g_assert_cmpuint(vulkan_books_charged(&f->r, f->slot), ==, 1);
    of = file(12345);
    g_assert_cmpint(vulkan_books_import(&f->p, f->slot, &of), ==, VULKAN_BOOKS_FULL);
    adopted(f, 12345);
    vulkan_books_release(&f->p, 12345);
    vulkan_books_blob_gone(&f->r, 12345); /* the failed import holds nothing */
    g_assert_cmpint(vulkan_books_export(&f->p, f->slot, 1, &of, true), ==, 12345);
    buried(f, f->slot);
    assert_used(f, 0);
}

/* A hostile process: nothing of it is an index, and nobody else's charge is touched. */
static void test_scribbled(Fixture *f, gconstpointer limit)
{
    VulkanRemains remains;
    VulkanFile of = file(7);
    VulkanBlob blob;

    g_assert_true(ledger_charge(&f->renderer, 1 * MIB));
    g_assert_false(vulkan_books_taken(&f->r, -1));
    g_assert_false(vulkan_books_taken(&f->r, VGPU_VULKAN_PROCESSES));
    exported(f, f->slot, MIB, 7);
    g_assert_cmpint(vulkan_books_import(&f->p, f->slot, &of), >=, 0);
    f->page->used = UINT32_MAX;
    f->page->processes[f->slot].charged = UINT64_MAX;
    f->page->memories[0].bytes = UINT64_MAX;
    f->page->memories[1].of = UINT64_MAX;
    for (uint64_t i = 2; i < VGPU_VULKAN_MEMORIES; i++) {
        f->page->memories[i] = (struct vgpu_vulkan_memory){
            .word = i * 0x9e3779b97f4a7c15ull,
            .of = i * 0x9e3779b97f4a7c15ull,
            .bytes = i * i * i * i,
        };
    }
    g_assert_true(vulkan_books_adopt(&f->r, &of, &blob));
    vulkan_books_blob_gone(&f->r, blob.entry);
    for (int i = 0; i < VGPU_VULKAN_PROCESSES; i++) {
        vulkan_books_bury(&f->r, i, &remains);
    }
    assert_used(f, 1 * MIB);
    f->page->memories[3] =
        (struct vgpu_vulkan_memory){ .word = VGPU_VULKAN_EXPORT | VGPU_VULKAN_BLOBS, .bytes = UINT64_MAX };
    f->page->memories[4] = f->page->memories[3];
    vulkan_books_correct(&f->r);
    g_assert_cmpuint(ledger_free(&f->renderer), ==, 0); /* it refuses itself */
    f->page->memories[3].word = f->page->memories[4].word = 0;
    vulkan_books_correct(&f->r);
    g_assert_cmpuint(ledger_used(&f->renderer), >=, 1 * MIB);
    f->renderer.faults = 0; /* told, as it should be */
}

#define THREADS 4

typedef struct Member {
    Fixture *f;
    unsigned id;
} Member;

static gpointer member(gpointer opaque)
{
    Member *m = opaque;
    Fixture *f = m->f;
    int slot = vulkan_books_enter(&f->p, (pid_t)m->id);

    for (unsigned i = 0; i < 3000; i++) {
        /* its own file, and one that all fight for */
        int entry = exported(f, slot, MIB, 100 + m->id);
        VulkanFile mine = file(100 + m->id), shared = file(7);
        int import = vulkan_books_import(&f->p, slot, &shared);
        VulkanBlob blob;

        if (i % 3 == 0) {
            g_assert_true(vulkan_books_adopt(&f->r, &mine, &blob));
            vulkan_books_release(&f->p, entry);
            vulkan_books_blob_gone(&f->r, blob.entry);
        } else {
            vulkan_books_release(&f->p, entry);
            g_assert_true(vulkan_books_adopt(&f->r, &mine, &blob));
            vulkan_books_blob_gone(&f->r, blob.entry);
        }
        g_assert_cmpint(import, >=, 0);
        if (vulkan_books_adopt(&f->r, &shared, &blob)) {
            vulkan_books_blob_gone(&f->r, blob.entry);
        }
        vulkan_books_drop_import(&f->p, import);
    }
    vulkan_books_bury(&f->r, slot, &(VulkanRemains){ 0 });
    return NULL;
}

static void test_threads(Fixture *f, gconstpointer limit)
{
    GThread *threads[THREADS];
    Member members[THREADS];
    int entry = exported(f, f->slot, MIB, 7);

    for (unsigned i = 0; i < THREADS; i++) {
        members[i] = (Member){ f, i };
        threads[i] = g_thread_new("member", member, &members[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
    }
    assert_used(f, MIB);
    vulkan_books_release(&f->p, entry);
    assert_used(f, 0);
}

#define ADD(path, limit, test)                                                                               \
    g_test_add("/quota/vulkan/" path, Fixture, GSIZE_TO_POINTER(limit), set_up, test, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("charges", 8 * MIB, test_charges);
    ADD("export-blob-first", 4 * MIB, test_export_blob_first);
    ADD("export-memory-first", 4 * MIB, test_export_memory_first);
    ADD("let-go-twice", 4 * MIB, test_let_go_twice);
    ADD("export-twice", 4 * MIB, test_export_twice);
    ADD("export-many-times", 4 * MIB, test_export_many_times);
    ADD("imports", 4 * MIB, test_imports);
    ADD("import-of-unknown", 4 * MIB, test_import_of_unknown);
    ADD("death", 8 * MIB, test_death);
    ADD("lease", 8 * MIB, test_lease);
    ADD("correct", 8 * MIB, test_correct);
    ADD("full", 8 * MIB, test_full);
    ADD("scribbled", 8 * MIB, test_scribbled);
    ADD("threads", 64 * MIB, test_threads);
    return g_test_run();
}
