/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpu-pci: the PCI function of vgpu-device.
 *
 * Vendor, device, subsystem and revision ids are those of virtio-gpu-pci (all
 * come from TYPE_VIRTIO_PCI and VIRTIO_ID_GPU), so that every driver that binds
 * that device binds this one.
 *
 * BAR 0 is stats.c's.  BAR 4 and its shared memory capability are the base class's, as large as
 * conf.hostmem says when its realize runs: so vgpud is asked before that.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "hw/virtio/virtio-gpu-pci.h"
#include "qemu/module.h"
#include "vgpu.h"

#define TYPE_VGPU_PCI "vgpu-pci"
OBJECT_DECLARE_SIMPLE_TYPE(VgpuPci, VGPU_PCI)

struct VgpuPci {
    VirtIOGPUPCIBase parent_obj;
    VgpuDevice vdev;
};

static void vgpu_pci_realize(VirtIOPCIProxy *proxy, Error **errp)
{
    ERRP_GUARD();
    VirtioPCIClass *base = VIRTIO_PCI_CLASS(object_class_by_name(TYPE_VIRTIO_GPU_PCI_BASE));
    VgpuDevice *d = &VGPU_PCI(proxy)->vdev;

    if (!vgpu_prepare(d, DEVICE(proxy), errp)) {
        return;
    }
    if (proxy->nvectors) { /* 0: the user wants no MSI-X */
        proxy->nvectors = MAX(proxy->nvectors, 1 + d->queues);
    }
    vgpu_stats_register(d, PCI_DEVICE(proxy));
    d->parent_obj.conf.hostmem = d->window.size;
    base->realize(proxy, errp);
    if (*errp) {
        vgpu_abandon(d);
    }
}

static char *vgpu_pci_get_state(Object *obj, Error **errp)
{
    return g_strdup(vgpu_state_name(&VGPU_PCI(obj)->vdev));
}

static void vgpu_pci_get_limit(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    uint64_t value = vgpu_memory_limit(&VGPU_PCI(obj)->vdev);

    visit_type_uint64(v, name, &value, errp);
}

static void vgpu_pci_get_used(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    uint64_t value = vgpu_memory_used(&VGPU_PCI(obj)->vdev);

    visit_type_uint64(v, name, &value, errp);
}

static void vgpu_pci_init(Object *obj)
{
    VgpuPci *p = VGPU_PCI(obj);

    virtio_instance_init_common(obj, &p->vdev, sizeof(p->vdev), TYPE_VGPU_DEVICE);
    VIRTIO_GPU_PCI_BASE(obj)->vgpu = VIRTIO_GPU_BASE(&p->vdev);
}

static void vgpu_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioPCIClass *vpc = VIRTIO_PCI_CLASS(klass);

    vpc->realize = vgpu_pci_realize;
    dc->desc = "a share of the host's GPU, as a virtio-gpu device";
    /* The base class says no; vgpu-device closes its consoles on unrealize. */
    dc->hotpluggable = true;

    object_class_property_add_str(klass, "state", vgpu_pci_get_state, NULL);
    object_class_property_set_description(klass, "state", "starting, running or lost (read-only)");
    object_class_property_add(klass, "memory-limit", "uint64", vgpu_pci_get_limit, NULL, NULL, NULL);
    object_class_property_set_description(klass, "memory-limit",
                                          "bytes of GPU memory the VM may have (read-only)");
    object_class_property_add(klass, "memory-used", "uint64", vgpu_pci_get_used, NULL, NULL, NULL);
    object_class_property_set_description(
        klass, "memory-used", "bytes of GPU memory the VM has now, as its renderer says (read-only)");
}

static const VirtioPCIDeviceTypeInfo vgpu_pci_info = {
    .generic_name = TYPE_VGPU_PCI,
    .parent = TYPE_VIRTIO_GPU_PCI_BASE,
    .instance_size = sizeof(VgpuPci),
    .instance_init = vgpu_pci_init,
    .class_init = vgpu_pci_class_init,
};

static void vgpu_pci_register(void)
{
    virtio_pci_types_register(&vgpu_pci_info);
}

type_init(vgpu_pci_register)
