/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "books.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drm_usage.h"
#include "hangs.h"
#include "process.h"
#include "process_tree.h"

#define PURGE_AT_ONCE 8 /* each is a look into /proc */

static void vm_free(gpointer data)
{
    Vm *vm = data;

    if (!vm) {
        return;
    }
    if (vm->pidfd >= 0) {
        close(vm->pidfd);
    }
    if (vm->page) {
        munmap(vm->page, VGPU_STATS_SIZE);
    }
    process_tree_free(vm->tree);
    drm_usage_free(vm->drm);
    g_free(vm->name);
    g_free(vm->device);
    g_free(vm->profile);
    g_free(vm->gpu);
    g_free(vm->cause);
    g_free(vm->figures);
    g_free(vm);
}

Books *books_new(void)
{
    Books *b = g_new0(Books, 1);

    b->vms = g_ptr_array_new_with_free_func(vm_free);
    b->departed = g_ptr_array_new_with_free_func(vm_free);
    b->hangs = hangs_new();
    return b;
}

void books_free(Books *books)
{
    if (books) {
        g_ptr_array_unref(books->vms);
        g_ptr_array_unref(books->departed);
        hangs_free(books->hangs);
        if (books->saved.text) {
            g_string_free(books->saved.text, TRUE);
        }
        g_free(books);
    }
}

static uint32_t free_slot(const Books *books)
{
    for (uint32_t slot = 0;; slot++) {
        guint i = 0;

        while (i < books->vms->len && ((Vm *)books->vms->pdata[i])->slot != slot) {
            i++;
        }
        if (i == books->vms->len) {
            return slot;
        }
    }
}

Vm *books_add(Books *books, const char *name, const char *uuid, const char *device)
{
    Vm *vm = g_new0(Vm, 1);

    vm->name = g_strdup(name);
    g_strlcpy(vm->uuid, uuid, sizeof(vm->uuid));
    vm->device = g_strdup(device);
    vm->slot = free_slot(books);
    vm->since_ns = (uint64_t)g_get_monotonic_time() * 1000;
    vm->pidfd = -1;
    g_ptr_array_add(books->vms, vm);
    return vm;
}

void books_remove(Books *books, Vm *vm)
{
    g_ptr_array_remove(books->vms, vm);
}

static bool is_of(const Vm *vm, const VmProcess *q)
{
    return q->pid && vm->qemu_pid == q->pid && vm->qemu_start == q->start &&
           g_str_equal(vm->device, q->device) && g_str_equal(vm->name, q->name);
}

static Vm *find_of(const GPtrArray *vms, const VmProcess *q)
{
    for (guint i = 0; i < vms->len; i++) {
        if (is_of(vms->pdata[i], q)) {
            return vms->pdata[i];
        }
    }
    return NULL;
}

/* Forgets a few whose QEMU has ended since; those that live come round again. */
static void purge_departed(Books *books)
{
    for (unsigned i = 0; i < PURGE_AT_ONCE && i < books->departed->len; i++) {
        Vm *old = g_ptr_array_steal_index(books->departed, 0);

        if (process_is_ending(old->qemu_pid, old->qemu_start)) {
            vm_free(old);
        } else {
            g_ptr_array_add(books->departed, old);
        }
    }
}

/* One user's many leave the others' alone. */
static void make_room(Books *books, uid_t owner)
{
    unsigned own = 0, oldest = 0;

    for (guint i = books->departed->len; i-- > 0;) {
        if (((Vm *)books->departed->pdata[i])->owner == owner) {
            own++;
            oldest = i;
        }
    }
    if (own >= BOOKS_DEPARTED_MAX / 16) {
        g_ptr_array_remove_index(books->departed, oldest);
    } else if (books->departed->len >= BOOKS_DEPARTED_MAX) {
        g_ptr_array_remove_index(books->departed, 0);
    }
}

void books_depart(Books *books, Vm *vm)
{
    const VmProcess q = { vm->qemu_pid, vm->qemu_start, vm->device, vm->name };

    purge_departed(books);
    if (!vm->qemu_pid || process_is_ending(vm->qemu_pid, vm->qemu_start)) {
        books_remove(books, vm);
        return;
    }
    books_forget(books_return(books, &q));
    make_room(books, vm->owner);
    for (guint i = 0; i < books->vms->len; i++) {
        if (books->vms->pdata[i] == vm) {
            g_ptr_array_add(books->departed, g_ptr_array_steal_index(books->vms, i));
            return;
        }
    }
}

Vm *books_return(Books *books, const VmProcess *q)
{
    Vm *vm = find_of(books->departed, q);
    guint i;

    if (vm && g_ptr_array_find(books->departed, vm, &i)) {
        g_ptr_array_steal_index(books->departed, i);
    }
    return vm;
}

Vm *books_find_process(const Books *books, const VmProcess *q)
{
    return find_of(books->vms, q);
}

void books_forget(Vm *departed)
{
    vm_free(departed);
}

Vm *books_find(const Books *books, const char *uuid, const char *device)
{
    for (guint i = 0; i < books->vms->len; i++) {
        Vm *vm = books->vms->pdata[i];

        if (g_str_equal(vm->uuid, uuid) && g_str_equal(vm->device, device)) {
            return vm;
        }
    }
    return NULL;
}

AdmissionBooking *books_bookings(const Books *books, size_t *count)
{
    AdmissionBooking *b = g_new0(AdmissionBooking, books->vms->len + 1);

    for (guint i = 0; i < books->vms->len; i++) {
        const Vm *vm = books->vms->pdata[i];

        b[i] = (AdmissionBooking){
            .vm = vm->name,
            .gpu = vm->gpu ? vm->gpu : "",
            .memory = MAX(vm->memory, vm->held),
            .exclusive = vm->exclusive,
        };
    }
    *count = books->vms->len;
    return b;
}

const char *vm_state_name(VmState state)
{
    static const char *const names[] = { "starting", "running", "lost", "leaving" };

    return names[state];
}

const char *vm_reset_name(VmReset reset)
{
    static const char *const names[VM_RESET_COUNT] = {
        [VM_RESET_CRASH] = "crash",       [VM_RESET_HANG] = "hang",
        [VM_RESET_DEADLINE] = "deadline", [VM_RESET_PROTOCOL] = "protocol",
        [VM_RESET_MEMORY] = "memory",     [VM_RESET_OPERATOR] = "operator",
        [VM_RESET_QEMU] = "qemu",         [VM_RESET_PROCESSES] = "processes",
        [VM_RESET_RESTART] = "restart",
    };

    return names[reset];
}

uint64_t vm_resets(const Vm *vm)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < VM_RESET_COUNT; i++) {
        sum += vm->resets[i];
    }
    return sum;
}

bool books_uuid_is_nil(const uint8_t bytes[16])
{
    static const uint8_t nil[16];

    return memcmp(bytes, nil, sizeof(nil)) == 0;
}

void books_uuid(const uint8_t bytes[16], char text[VM_UUID_TEXT])
{
    g_autofree char *random = NULL;

    /* A VM without -uuid has the nil one, as has the next: it is nobody's key. */
    if (books_uuid_is_nil(bytes)) {
        random = g_uuid_string_random();
        g_strlcpy(text, random, VM_UUID_TEXT);
        return;
    }
    for (unsigned i = 0, at = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text[at++] = '-';
        }
        g_snprintf(text + at, 3, "%02x", bytes[i]);
        at += 2;
    }
}
