/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  See vgpu/vulkan.h for the page and what a kill may
 * leave behind.
 *
 * The word of an entry holds its kind, its holders and who made it, so that each
 * step is one compare-and-swap, and it is always one swap that takes the last
 * holder off: who made that swap refunds the bytes.  Who has a hold on an entry
 * may use its index, nobody else's use can begin before that hold is gone; who
 * looks for one (adopt, import) swaps in a hold on the very word under which it
 * read dev and ino, and turn, counted up by each new use, tells a later use of
 * the entry from that one.
 *
 * Entries are looked for one after the other: there are some hundreds, and one
 * is looked for when a blob is made or memory imported, not when memory is
 * allocated.
 */
#include "vulkan_books.h"

#include <stddef.h>

#define KIND        VGPU_VULKAN_KIND
#define FREE        VGPU_VULKAN_FREE
#define MAKING      VGPU_VULKAN_MAKING
#define EXPORT      VGPU_VULKAN_EXPORT
#define IMPORT      VGPU_VULKAN_IMPORT
#define MEMORY      VGPU_VULKAN_MEMORY
#define PROCESS     VGPU_VULKAN_PROCESS
#define PENDING     VGPU_VULKAN_PENDING
#define PENDING_ONE VGPU_VULKAN_PENDING_ONE
#define BLOBS       VGPU_VULKAN_BLOBS
#define BLOBS_ONE   VGPU_VULKAN_BLOBS_ONE
#define IMPORTS     VGPU_VULKAN_IMPORTS
#define IMPORTS_ONE VGPU_VULKAN_IMPORTS_ONE
#define TURN        VGPU_VULKAN_TURN
#define TURN_ONE    VGPU_VULKAN_TURN_ONE
#define HOLDERS     VGPU_VULKAN_HOLDERS

#define EPOCH VGPU_VULKAN_LEASE_EPOCH
#define USERS VGPU_VULKAN_LEASE_USERS

static uint64_t get_word(const struct vgpu_vulkan_memory *m)
{
    return __atomic_load_n(&m->word, __ATOMIC_ACQUIRE);
}

static bool swap_word(struct vgpu_vulkan_memory *m, uint64_t *old, uint64_t word)
{
    return __atomic_compare_exchange_n(&m->word, old, word, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* The other fields: another process may look at them while they are written anew. */
static uint64_t get64(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static void set64(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static uint64_t process_of(int slot)
{
    return (uint64_t)(slot + 1) << VGPU_VULKAN_PROCESS_SHIFT;
}

static struct vgpu_vulkan_memory *memory_at(VulkanBooks *b, uint64_t entry)
{
    return entry < VGPU_VULKAN_MEMORIES ? &b->page->memories[entry] : NULL;
}

static const struct vgpu_vulkan_process *process_at(const VulkanBooks *b, int slot)
{
    return slot >= 0 && slot < VGPU_VULKAN_PROCESSES ? &b->page->processes[slot] : NULL;
}

static uint32_t entries_used(const VulkanBooks *b)
{
    uint32_t used = __atomic_load_n(&b->page->used, __ATOMIC_ACQUIRE);

    return used < VGPU_VULKAN_MEMORIES ? used : VGPU_VULKAN_MEMORIES;
}

void vulkan_books_init(VulkanBooks *b, struct vgpu_vulkan *page, Ledger *ledger)
{
    *b = (VulkanBooks){ .page = page, .ledger = ledger };
    page->magic = VGPU_VULKAN_MAGIC;
    page->version = VGPU_VULKAN_VERSION;
}

bool vulkan_books_join(VulkanBooks *b, struct vgpu_vulkan *page, Ledger *ledger)
{
    *b = (VulkanBooks){ .page = page, .ledger = ledger };
    return page->magic == VGPU_VULKAN_MAGIC && page->version == VGPU_VULKAN_VERSION;
}

/* ---- slots ---- */

int vulkan_books_enter(VulkanBooks *b, pid_t pid)
{
    for (int slot = 0; slot < VGPU_VULKAN_PROCESSES; slot++) {
        struct vgpu_vulkan_process *p = &b->page->processes[slot];
        uint32_t taken = 0;

        if (__atomic_compare_exchange_n(&p->taken, &taken, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            p->pid = pid;
            return slot;
        }
    }
    return -1;
}

bool vulkan_books_charge(VulkanBooks *b, int slot, uint64_t bytes)
{
    if (!ledger_charge_shared(b->ledger, bytes)) {
        return false;
    }
    __atomic_fetch_add(&b->page->processes[slot].charged, bytes, __ATOMIC_SEQ_CST);
    return true;
}

void vulkan_books_refund(VulkanBooks *b, int slot, uint64_t bytes)
{
    __atomic_fetch_sub(&b->page->processes[slot].charged, bytes, __ATOMIC_SEQ_CST);
    ledger_refund_shared(b->ledger, bytes);
}

bool vulkan_books_taken(const VulkanBooks *b, int slot)
{
    const struct vgpu_vulkan_process *p = process_at(b, slot);

    return p && __atomic_load_n(&p->taken, __ATOMIC_ACQUIRE);
}

uint64_t vulkan_books_charged(const VulkanBooks *b, int slot)
{
    const struct vgpu_vulkan_process *p = process_at(b, slot);

    return p ? get64(&p->charged) : 0;
}

void vulkan_books_lease_entered(VulkanBooks *b, int slot, uint32_t ticket)
{
    uint32_t *lease = &b->page->processes[slot].lease;
    uint32_t old = __atomic_load_n(lease, __ATOMIC_RELAXED), next;

    do {
        /* A revoked lease has no users: those of an earlier epoch are forgotten. */
        next = (old & EPOCH) == (ticket & EPOCH) ? old + 1 : (ticket & EPOCH) | 1;
    } while (!__atomic_compare_exchange_n(lease, &old, next, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

void vulkan_books_lease_left(VulkanBooks *b, int slot, uint32_t ticket)
{
    uint32_t *lease = &b->page->processes[slot].lease;
    uint32_t old = __atomic_load_n(lease, __ATOMIC_RELAXED);

    while ((old & EPOCH) == (ticket & EPOCH) && (old & USERS) &&
           !__atomic_compare_exchange_n(lease, &old, old - 1, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
}

void vulkan_books_hung(VulkanBooks *b, int slot)
{
    __atomic_store_n(&b->page->processes[slot].hung, 1, __ATOMIC_SEQ_CST);
}

/* ---- entries ---- */

static void raise_used(VulkanBooks *b, uint32_t used)
{
    uint32_t old = entries_used(b);

    while (old < used && !__atomic_compare_exchange_n(&b->page->used, &old, used, false, __ATOMIC_ACQ_REL,
                                                      __ATOMIC_ACQUIRE)) {
    }
}

/* A free one, MAKING under this slot; *word is what it holds now.  NULL: there is none. */
static struct vgpu_vulkan_memory *claim(VulkanBooks *b, int slot, uint64_t *word)
{
    for (uint32_t i = 0; i < VGPU_VULKAN_MEMORIES; i++) {
        struct vgpu_vulkan_memory *m = &b->page->memories[i];
        uint64_t old = get_word(m);

        while ((old & KIND) == FREE) {
            uint64_t next = (((old & TURN) + TURN_ONE) & TURN) | process_of(slot) | MAKING;

            /* Before it is taken: who buries us looks at all that was ever used. */
            raise_used(b, i + 1);
            if (swap_word(m, &old, next)) {
                *word = next;
                return m;
            }
        }
    }
    return NULL;
}

static int index_of(const VulkanBooks *b, const struct vgpu_vulkan_memory *m)
{
    return (int)(m - b->page->memories);
}

static void set_file(struct vgpu_vulkan_memory *m, const VulkanFile *f)
{
    set64(&m->dev, f->dev);
    set64(&m->ino, f->ino);
    set64(&m->offset, f->offset);
}

/*
 * Takes holders off an EXPORT, if they are on: all of clear, and one of what
 * ones counts.  Frees and refunds it when it was the last.  Returns the bytes
 * refunded.
 */
static uint64_t let_go(VulkanBooks *b, struct vgpu_vulkan_memory *m, uint64_t clear, uint64_t ones,
                       uint64_t one)
{
    uint64_t word = get_word(m), next, bytes;

    do {
        if ((word & KIND) != EXPORT || !(word & (clear | ones))) {
            return 0;
        }
        next = (word & ~clear) - (word & ones ? one : 0);
        bytes = get64(&m->bytes);
        if (!(next & HOLDERS)) {
            next &= TURN; /* FREE */
        }
    } while (!swap_word(m, &word, next));
    if (next & HOLDERS) {
        return 0;
    }
    ledger_refund_shared(b->ledger, bytes);
    return bytes;
}

/* Adds one of ones to the EXPORT that this file is of.  NULL: there is none, or it is full of them. */
static struct vgpu_vulkan_memory *hold(VulkanBooks *b, const VulkanFile *f, uint64_t ones, uint64_t one,
                                       bool takes_pending)
{
    uint32_t used = entries_used(b);

    for (uint32_t i = 0; i < used; i++) {
        struct vgpu_vulkan_memory *m = &b->page->memories[i];
        uint64_t word = get_word(m);

        while ((word & KIND) == EXPORT && get64(&m->ino) == f->ino && get64(&m->dev) == f->dev) {
            uint64_t next = word + one;

            if ((word & ones) == ones) {
                return NULL;
            }
            if (takes_pending && (word & PENDING)) {
                next -= PENDING_ONE;
            }
            if (swap_word(m, &word, next)) {
                return m;
            }
        }
    }
    return NULL;
}

int vulkan_books_export(VulkanBooks *b, int slot, uint64_t bytes, const VulkanFile *f, bool given_out)
{
    uint64_t word;
    struct vgpu_vulkan_memory *m = claim(b, slot, &word);

    if (!m) {
        return VULKAN_BOOKS_FULL;
    }
    set_file(m, f);
    set64(&m->bytes, bytes);
    /* From its owner before it is the entry's: who is killed here has charged it for nobody. */
    __atomic_fetch_sub(&b->page->processes[slot].charged, bytes, __ATOMIC_SEQ_CST);
    __atomic_store_n(&m->word, (word & ~KIND) | EXPORT | MEMORY | (given_out ? PENDING_ONE : 0),
                     __ATOMIC_RELEASE);
    return index_of(b, m);
}

bool vulkan_books_export_again(VulkanBooks *b, int entry, const VulkanFile *f)
{
    struct vgpu_vulkan_memory *m = memory_at(b, (uint64_t)entry);
    uint64_t word = get_word(m);

    do {
        if ((word & KIND) != EXPORT || (word & PENDING) == PENDING) {
            return false;
        }
    } while (!swap_word(m, &word, word + PENDING_ONE));
    /* A driver may make another file each time: the newest is the one to be found. */
    if (get64(&m->ino) != f->ino || get64(&m->dev) != f->dev) {
        set_file(m, f);
    }
    return true;
}

void vulkan_books_release(VulkanBooks *b, int entry)
{
    let_go(b, memory_at(b, (uint64_t)entry), MEMORY, 0, 0);
}

int vulkan_books_import(VulkanBooks *b, int slot, const VulkanFile *f)
{
    struct vgpu_vulkan_memory *of, *m;
    uint64_t word;

    of = hold(b, f, IMPORTS, IMPORTS_ONE, false);
    if (!of) {
        return VULKAN_BOOKS_UNKNOWN;
    }
    m = claim(b, slot, &word);
    if (!m) {
        let_go(b, of, 0, IMPORTS, IMPORTS_ONE);
        return VULKAN_BOOKS_FULL;
    }
    set64(&m->of, (uint64_t)index_of(b, of));
    __atomic_store_n(&m->word, (word & ~KIND) | IMPORT, __ATOMIC_RELEASE);
    return index_of(b, m);
}

/* word: an IMPORT that only its process or who buries that changes. */
static void drop_import(VulkanBooks *b, struct vgpu_vulkan_memory *m, uint64_t word)
{
    struct vgpu_vulkan_memory *of = memory_at(b, get64(&m->of));

    if (swap_word(m, &word, word & TURN) && of) {
        let_go(b, of, 0, IMPORTS, IMPORTS_ONE);
    }
}

void vulkan_books_drop_import(VulkanBooks *b, int import)
{
    struct vgpu_vulkan_memory *m = memory_at(b, (uint64_t)import);
    uint64_t word = get_word(m);

    if ((word & KIND) == IMPORT) {
        drop_import(b, m, word);
    }
}

/* ---- the renderer ---- */

bool vulkan_books_adopt(VulkanBooks *b, const VulkanFile *f, VulkanBlob *blob)
{
    struct vgpu_vulkan_memory *m = hold(b, f, BLOBS, BLOBS_ONE, true);

    if (!m) {
        return false;
    }
    *blob = (VulkanBlob){ .entry = index_of(b, m), .bytes = get64(&m->bytes), .offset = get64(&m->offset) };
    return true;
}

void vulkan_books_blob_gone(VulkanBooks *b, int entry)
{
    let_go(b, memory_at(b, (uint64_t)entry), 0, BLOBS, BLOBS_ONE);
}

/* An entry that a dead process made. */
static uint64_t bury_entry(VulkanBooks *b, struct vgpu_vulkan_memory *m, uint64_t word)
{
    switch (word & KIND) {
    case MAKING:
        swap_word(m, &word, word & TURN);
        return 0;
    case IMPORT:
        drop_import(b, m, word);
        return 0;
    case EXPORT:
        return let_go(b, m, MEMORY | PENDING | PROCESS, 0, 0);
    default:
        return 0;
    }
}

void vulkan_books_bury(VulkanBooks *b, int slot, VulkanRemains *remains)
{
    struct vgpu_vulkan_process *p = &b->page->processes[slot];
    uint32_t used = entries_used(b);
    uint32_t lease = __atomic_load_n(&p->lease, __ATOMIC_RELAXED);

    *remains = (VulkanRemains){
        .pid = p->pid,
        .bytes = get64(&p->charged),
        .hung = __atomic_load_n(&p->hung, __ATOMIC_RELAXED),
        .lease_users = lease & USERS,
        .lease_ticket = lease & EPOCH,
    };
    set64(&p->charged, 0);
    ledger_refund_shared(b->ledger, remains->bytes);
    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = get_word(&b->page->memories[i]);

        if ((word & PROCESS) == process_of(slot)) {
            remains->bytes += bury_entry(b, &b->page->memories[i], word);
        }
    }
    *p = (struct vgpu_vulkan_process){ .taken = p->taken };
    __atomic_store_n(&p->taken, 0, __ATOMIC_RELEASE);
}

uint64_t vulkan_books_correct(VulkanBooks *b)
{
    uint32_t used = entries_used(b);
    uint64_t sum = 0;

    for (int slot = 0; slot < VGPU_VULKAN_PROCESSES; slot++) {
        VulkanRemains remains;

        if (vulkan_books_taken(b, slot)) {
            vulkan_books_bury(b, slot, &remains);
        }
    }
    for (uint32_t i = 0; i < used; i++) {
        struct vgpu_vulkan_memory *m = &b->page->memories[i];
        uint64_t word = get_word(m);

        /* Whatever was in the making or held by a process, that process is gone. */
        if ((word & KIND) == EXPORT && (word & BLOBS)) {
            __atomic_store_n(&m->word, (word & (TURN | BLOBS)) | EXPORT, __ATOMIC_RELEASE);
            if (__builtin_add_overflow(sum, get64(&m->bytes), &sum)) {
                sum = UINT64_MAX;
            }
        } else if ((word & KIND) != FREE) {
            __atomic_store_n(&m->word, word & TURN, __ATOMIC_RELEASE);
        }
    }
    return ledger_settle_shared(b->ledger, sum);
}
