/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is guest RAM shareable?
 *
 * The renderer maps the guest's RAM, so every block of it must have a file
 * descriptor and be mapped shared.  QEMU's vhost code drops the blocks that
 * have none without a word, and passes on private file mappings, of which the
 * renderer would see another content: both are looked for here.
 *
 * Guest RAM is what belongs to a memory backend (QEMU makes one for -m as well).
 * Blocks there from the start are looked up in the guest's address space; of
 * those that are plugged later we hear before the device is made, in time to
 * refuse it.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "exec/address-spaces.h"
#include "exec/cpu-common.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/boards.h"
#include "qemu/units.h"
#include "system/hostmem.h"
#include "vgpu.h"
#include "trace.h"

/* As -m and size= take it. */
static char *memory_size_text(uint64_t bytes)
{
    if (bytes % GiB == 0) {
        return g_strdup_printf("%" PRIu64 "G", bytes / GiB);
    } else if (bytes % MiB == 0) {
        return g_strdup_printf("%" PRIu64 "M", bytes / MiB);
    }
    return g_strdup_printf("%" PRIu64, bytes);
}

static bool memory_shareable(VgpuDevice *d, HostMemoryBackend *backend, const char *name)
{
    MemoryRegion *mr = host_memory_backend_get_memory(backend);
    int fd = mr ? memory_region_get_fd(mr) : -1;
    bool shared = mr && mr->ram_block && qemu_ram_is_shared(mr->ram_block);

    trace_vgpu_memory_block(d, name, mr ? memory_region_size(mr) : 0, fd, shared);
    return fd >= 0 && shared;
}

/* The memory behind -m as a whole, or one of several blocks (NUMA nodes, DIMMs)? */
static bool memory_is_main(HostMemoryBackend *backend)
{
    MemoryRegion *mr = host_memory_backend_get_memory(backend);

    return current_machine->memdev == backend || (mr && current_machine->ram == mr);
}

/* Made by QEMU for -m, so there is no -object that its user could change. */
static bool memory_is_default(HostMemoryBackend *backend, const char *name)
{
    return memory_is_main(backend) && !g_strcmp0(name, MACHINE_GET_CLASS(current_machine)->default_ram_id);
}

static void memory_refuse(HostMemoryBackend *backend, const char *name, Error **errp)
{
    MemoryRegion *mr = host_memory_backend_get_memory(backend);
    g_autofree char *size = NULL;

    if (memory_is_default(backend, name)) {
        size = memory_size_text(current_machine->ram_size);
        error_setg(errp,
                   "vgpu: the VM's memory '%s' cannot be shared with the renderer; add:"
                   " -object memory-backend-memfd,id=mem,size=%s -machine memory-backend=mem",
                   name, size);
        return;
    }
    if (mr && memory_region_get_fd(mr) >= 0) {
        error_setg(errp,
                   "vgpu: the VM's memory '%s' cannot be shared with the renderer: it has"
                   " share=off; set share=on in its -object %s,id=%s",
                   name, object_get_typename(OBJECT(backend)), name);
        return;
    }
    size = memory_size_text(mr ? memory_region_size(mr) : 0);
    error_setg(errp,
               "vgpu: the VM's memory '%s'%s cannot be shared with the renderer; define it"
               " as: -object memory-backend-memfd,id=%s,size=%s",
               name, memory_is_main(backend) ? "" : " (one of several blocks)", name, size);
}

typedef struct MemoryWalk {
    VgpuDevice *dev;
    HostMemoryBackend *bad;
} MemoryWalk;

static bool memory_walk(Int128 start, Int128 len, const MemoryRegion *mr, hwaddr offset, void *opaque)
{
    MemoryWalk *w = opaque;
    Object *owner = mr->owner;
    HostMemoryBackend *backend;

    if (!mr->ram || !owner || !object_dynamic_cast(owner, TYPE_MEMORY_BACKEND)) {
        return false;
    }
    backend = MEMORY_BACKEND(owner);
    if (memory_shareable(w->dev, backend, object_get_canonical_path_component(owner))) {
        return false;
    }
    w->bad = backend;
    return true;
}

bool vgpu_memory_check(VgpuDevice *d, Error **errp)
{
    MemoryWalk w = { .dev = d };

    WITH_RCU_READ_LOCK_GUARD()
    {
        flatview_for_each_range(address_space_to_flatview(&address_space_memory), memory_walk, &w);
    }
    if (w.bad) {
        memory_refuse(w.bad, object_get_canonical_path_component(OBJECT(w.bad)), errp);
        return false;
    }
    return true;
}

/*
 * Called before a device is made, with its options.  The hook is meant for
 * fail-over and can fail: it is the one place where a DIMM can be refused.
 */
static bool memory_before_plug(DeviceListener *listener, const QDict *opts, bool from_json, Error **errp)
{
    VgpuDevice *d = container_of(listener, VgpuDevice, plug_listener);
    const char *id = qdict_get_try_str(opts, "memdev");
    Object *obj;

    if (!id) {
        return false;
    }
    obj = object_resolve_path_type(id, TYPE_MEMORY_BACKEND, NULL);
    if (obj && !memory_shareable(d, MEMORY_BACKEND(obj), id)) {
        memory_refuse(MEMORY_BACKEND(obj), id, errp);
    }
    return false;
}

void vgpu_memory_watch(VgpuDevice *d)
{
    d->plug_listener.hide_device = memory_before_plug;
    device_listener_register(&d->plug_listener);
    d->listening = true;
}

void vgpu_memory_unwatch(VgpuDevice *d)
{
    if (d->listening) {
        device_listener_unregister(&d->plug_listener);
        d->listening = false;
    }
}
