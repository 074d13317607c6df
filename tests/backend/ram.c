/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ram.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_PAGE 4096

Ram *ram_new(uint64_t low_size, uint64_t high_size)
{
    Ram *ram = g_new0(Ram, 1);

    ram->low_size = low_size;
    ram->high_size = high_size;
    /* address 0 is never handed out: a forgotten address is found out */
    ram->low_next = RAM_LOW_GPA + RAM_PAGE;
    ram->high_next = RAM_HIGH_GPA;
    ram->fd = memfd_create("guest-ram", MFD_CLOEXEC);
    g_assert_cmpint(ram->fd, >=, 0);
    g_assert_cmpint(ftruncate(ram->fd, low_size + high_size), ==, 0);
    ram->host =
        mmap(NULL, low_size + high_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ram->fd, 0);
    if (ram->host == MAP_FAILED) {
        g_error("mmap of %" G_GUINT64_FORMAT " bytes of guest RAM failed", low_size + high_size);
    }
    ram->sizes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(ram->freed); i++) {
        g_queue_init(&ram->freed[i]);
    }
    return ram;
}

void ram_free(Ram *ram)
{
    if (!ram) {
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(ram->freed); i++) {
        g_queue_clear_full(&ram->freed[i], g_free);
    }
    g_hash_table_destroy(ram->sizes);
    munmap(ram->host, ram->low_size + ram->high_size);
    close(ram->fd);
    g_free(ram);
}

/* Powers of two from 64: what is given back fits the next of its class. */
static unsigned size_class(uint64_t size)
{
    unsigned c = 6;

    while ((1ull << c) < size) {
        c++;
    }
    g_assert_cmpuint(c, <, 40);
    return c;
}

static uint64_t take(Ram *ram, uint64_t size, uint64_t *next, uint64_t end, bool reuse)
{
    unsigned c = size_class(size);
    uint64_t align = MIN(1ull << c, RAM_PAGE);
    uint64_t *freed = reuse ? g_queue_pop_head(&ram->freed[c]) : NULL;
    uint64_t gpa;

    if (freed) {
        gpa = *freed;
        g_free(freed);
        memset(ram_ptr(ram, gpa), 0, 1ull << c);
    } else {
        gpa = (*next + align - 1) & ~(align - 1);
        if (gpa + (1ull << c) > end) {
            g_error("the test's guest RAM is too small for another %" G_GUINT64_FORMAT " bytes", size);
        }
        *next = gpa + (1ull << c);
    }
    g_hash_table_insert(ram->sizes, g_memdup2(&gpa, sizeof(gpa)), GUINT_TO_POINTER(c));
    return gpa;
}

uint64_t ram_alloc(Ram *ram, uint64_t size)
{
    return take(ram, size, &ram->low_next, RAM_LOW_GPA + ram->low_size, true);
}

uint64_t ram_alloc_high(Ram *ram, uint64_t size)
{
    return take(ram, size, &ram->high_next, RAM_HIGH_GPA + ram->high_size, false);
}

void ram_release(Ram *ram, uint64_t gpa)
{
    unsigned c = GPOINTER_TO_UINT(g_hash_table_lookup(ram->sizes, &gpa));

    if (!gpa || gpa >= RAM_HIGH_GPA) {
        return;
    }
    g_assert_cmpuint(c, !=, 0);
    g_hash_table_remove(ram->sizes, &gpa);
    g_queue_push_tail(&ram->freed[c], g_memdup2(&gpa, sizeof(gpa)));
}

void *ram_ptr(Ram *ram, uint64_t gpa)
{
    if (gpa >= RAM_HIGH_GPA) {
        g_assert_cmpuint(gpa - RAM_HIGH_GPA, <, ram->high_size);
        return ram->host + ram->low_size + (gpa - RAM_HIGH_GPA);
    }
    g_assert_cmpuint(gpa, <, ram->low_size);
    return ram->host + gpa;
}

uint64_t ram_qva(Ram *ram, uint64_t gpa)
{
    return gpa >= RAM_HIGH_GPA ? gpa - RAM_HIGH_GPA + RAM_HIGH_QVA : gpa + RAM_LOW_QVA;
}

uint64_t ram_dup(Ram *ram, const void *data, uint64_t size)
{
    uint64_t gpa = ram_alloc(ram, size);

    memcpy(ram_ptr(ram, gpa), data, size);
    return gpa;
}
