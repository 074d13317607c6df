/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether KVM runs a guest.  /dev/kvm can be there, open, and give a VM that
 * never comes back, or one of which the kernel below emulates each instruction
 * until one comes that it does not know (seen on nested hosts: firmware runs,
 * Linux does not).  So a guest has to add two numbers with the FPU, which
 * processors can and KVM's emulator cannot, say the sum on a port, and halt.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "doctor.h"

#define GUEST_PORT  0xf4
#define GUEST_VALUE 0x2a
#define GUEST_AT    0x1000 /* physical */
#define GUEST_DATA  0x1800
#define PAGE        4096

#if defined(__x86_64__) || defined(__i386__)

typedef struct Guest {
    int kvm, vm, cpu;
    uint8_t *memory;
    struct kvm_run *run;
    size_t run_size;
} Guest;

static bool fail(const char *what)
{
    command_fail(CTL_FAILED, "%s: %s", what, g_strerror(errno));
    return false;
}

static bool make_guest(Guest *g)
{
    static const uint8_t code[] = {
        0xdb,
        0xe3, /* fninit */
        0xd9,
        0xe8, /* fld1 */
        0xd9,
        0xe8, /* fld1 */
        0xde,
        0xc1, /* faddp */
        0xdb,
        0x1d,
        GUEST_DATA & 0xff,
        GUEST_DATA >> 8,
        0x00,
        0x00, /* fistp dword [GUEST_DATA] */
        0xa0,
        GUEST_DATA & 0xff,
        GUEST_DATA >> 8,
        0x00,
        0x00, /* mov al, [GUEST_DATA] */
        0x04,
        GUEST_VALUE - 2, /* add al, GUEST_VALUE - 2 */
        0xe6,
        GUEST_PORT, /* out GUEST_PORT, al */
        0xf4,       /* hlt */
    };
    struct kvm_userspace_memory_region region = { .guest_phys_addr = GUEST_AT, .memory_size = PAGE };
    int size;

    g->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (g->kvm < 0) {
        return fail("cannot open /dev/kvm");
    }
    g->vm = ioctl(g->kvm, KVM_CREATE_VM, 0);
    if (g->vm < 0) {
        return fail("KVM makes no VM");
    }
    g->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (g->memory == MAP_FAILED) {
        return fail("no memory for a guest");
    }
    memcpy(g->memory, code, sizeof(code));
    region.userspace_addr = (uintptr_t)g->memory;
    if (ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) {
        return fail("KVM takes no memory");
    }
    g->cpu = ioctl(g->vm, KVM_CREATE_VCPU, 0);
    size = ioctl(g->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (g->cpu < 0 || size < (int)sizeof(*g->run)) {
        return fail("KVM makes no CPU");
    }
    g->run_size = (size_t)size;
    g->run = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->cpu, 0);
    return g->run != MAP_FAILED || fail("KVM shows no CPU");
}

static bool set_registers(const Guest *g)
{
    const struct kvm_segment flat = {
        .limit = 0xffffffff, .selector = 8, .type = 0xb, .present = 1, .db = 1, .s = 1, .g = 1
    };
    struct kvm_regs regs = { .rip = GUEST_AT, .rflags = 2 };
    struct kvm_sregs sregs;

    if (ioctl(g->cpu, KVM_GET_SREGS, &sregs) < 0) {
        return fail("KVM shows no registers");
    }
    /* protected mode, all of memory in each segment */
    sregs.cr0 = 0x33; /* PE, MP, ET, NE */
    sregs.cs = flat;
    sregs.ds = flat;
    sregs.ds.selector = 16;
    sregs.ds.type = 3;
    sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
    return (ioctl(g->cpu, KVM_SET_SREGS, &sregs) == 0 && ioctl(g->cpu, KVM_SET_REGS, &regs) == 0) ||
           fail("KVM takes no registers");
}

/* Until it wants something of us. */
static bool step(const Guest *g, uint32_t reason)
{
    int ret;

    do {
        ret = ioctl(g->cpu, KVM_RUN, 0);
    } while (ret < 0 && errno == EINTR);
    if (ret < 0) {
        return fail("KVM does not run a guest");
    }
    if (g->run->exit_reason != reason) {
        command_fail(CTL_FAILED, "a guest stopped at its first instructions for reason %u%s, not %u",
                     g->run->exit_reason,
                     g->run->exit_reason == KVM_EXIT_INTERNAL_ERROR ? " (KVM's internal error)"
                     : g->run->exit_reason == KVM_EXIT_FAIL_ENTRY   ? " (the CPU refused to enter it)"
                                                                    : "",
                     reason);
        return false;
    }
    return true;
}

static bool run_guest(const Guest *g)
{
    if (!step(g, KVM_EXIT_IO)) {
        return false;
    }
    if (g->run->io.port != GUEST_PORT || g->run->io.size != 1 || g->run->io.data_offset >= g->run_size ||
        ((const uint8_t *)g->run)[g->run->io.data_offset] != GUEST_VALUE) {
        command_fail(CTL_FAILED, "the guest computed something else than it should");
        return false;
    }
    return step(g, KVM_EXIT_HLT);
}

int try_kvm(const Ctl *ctl)
{
    Guest g = { .kvm = -1, .vm = -1, .cpu = -1 };

    return make_guest(&g) && set_registers(&g) && run_guest(&g) ? CTL_OK : CTL_FAILED;
}

#else

int try_kvm(const Ctl *ctl)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (kvm < 0 || ioctl(kvm, KVM_CREATE_VM, 0) < 0) {
        return command_fail(CTL_FAILED, "KVM makes no VM: %s", g_strerror(errno));
    }
    return CTL_OK;
}

#endif
