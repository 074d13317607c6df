/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that runs (under TCG, with a firmware of our own) and reads and writes
 * its window all the time, while its renderer maps and unmaps: whenever it looks,
 * it sees a blob or a hole, and never has to wait for the one or the other.
 */
#include "vgpu-duel.h"
#include "vgpu-cases.h"
#include "vgpu-qmp.h"
#include "hw/pci/pci_regs.h"

#define ROM_SIZE   0x10000
#define LOW_WINDOW 0xc0000000ull /* the guest's program is of 32 bits */
#define RUN_US     (3 * G_USEC_PER_SEC)

/* What the program and the test tell each other, in guest memory. */
#define GO     0x1000 /* not 0: begin */
#define ROUNDS 0x1004 /* through all of the window */
#define WRONG  0x1008 /* words that were neither DUEL_MARK nor 0 */
#define LAST   0x100c /* of them */

/*
 * It runs where PCs have a copy of the ROM's last 64 KiB, at 0xf0000: on top of the ROM
 * itself, up to 4 GiB, the window lies for a moment when its size is asked for.
 *
 *       cli                     ; to 32 bits
 *       lgdtl %cs:gdtp
 *       movl %cr0, %eax
 *       orb $1, %al
 *       movl %eax, %cr0
 *       ljmpl $8, $0xf0000 + pm
 * pm:   movw $16, %ax
 *       movw %ax, %ds
 *       movw %ax, %es
 * wait: cmpl $0, GO
 *       je wait
 * all:  movl $LOW_WINDOW, %esi
 *       movl $0x4000, %ecx      ; DUEL_WINDOW in pages
 * next: movl (%esi), %eax
 *       testl %eax, %eax
 *       je fine
 *       cmpl $DUEL_MARK, %eax
 *       je fine
 *       incl WRONG
 *       movl %eax, LAST
 * fine: movl %ecx, 8(%esi)
 *       addl $4096, %esi
 *       loop next
 *       incl ROUNDS
 *       jmp all
 */
static const uint8_t program[] = {
    0xfa, 0x2e, 0x66, 0x0f, 0x01, 0x16, 0x30, 0x00, 0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0,
    0x66, 0xea, 0x36, 0x00, 0x0f, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xcf, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00,
    0x17, 0x00, 0x18, 0x00, 0x0f, 0x00, 0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x83, 0x3d,
    0x00, 0x10, 0x00, 0x00, 0x00, 0x74, 0xf7, 0xbe, 0x00, 0x00, 0x00, 0xc0, 0xb9, 0x00, 0x40, 0x00,
    0x00, 0x8b, 0x06, 0x85, 0xc0, 0x74, 0x12, 0x3d, 0x0d, 0xf0, 0x0d, 0x60, 0x74, 0x0b, 0xff, 0x05,
    0x08, 0x10, 0x00, 0x00, 0xa3, 0x0c, 0x10, 0x00, 0x00, 0x89, 0x4e, 0x08, 0x81, 0xc6, 0x00, 0x10,
    0x00, 0x00, 0xe2, 0xdd, 0xff, 0x05, 0x04, 0x10, 0x00, 0x00, 0xeb, 0xcb,
};

static const uint8_t at_reset[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 }; /* ljmp $0xf000, $0 */

static char *write_rom(void)
{
    g_autofree uint8_t *rom = g_malloc0(ROM_SIZE);
    char *path = g_build_filename(g_get_tmp_dir(), "rom.bin", NULL);

    memcpy(rom, program, sizeof(program));
    memcpy(rom + 0xfff0, at_reset, sizeof(at_reset));
    g_assert_true(g_file_set_contents(path, (char *)rom, ROM_SIZE, NULL));
    return path;
}

static uint32_t told(Duel *d, uint64_t addr)
{
    return qtest_readl(d->vm->qts, addr);
}

static void wait_for(Duel *d, uint64_t addr, uint32_t count)
{
    int64_t end = g_get_monotonic_time() + FAKE_SOON_MS * 1000ll;

    while (told(d, addr) < count) {
        if (g_get_monotonic_time() >= end) {
            g_error("the guest has made %u rounds, and %u wrong words, the last 0x%x", told(d, ROUNDS),
                    told(d, WRONG), told(d, LAST));
        }
        g_usleep(1000);
    }
}

static Duel *start(void)
{
    g_autofree char *rom = write_rom(), *args = g_strdup_printf("-accel tcg -bios %s", rom);
    Duel *d = duel_new(DUEL_FEATURES, args);
    QPCIDevice *p = d->gpu->pci->pdev;

    qpci_config_writel(p, PCI_BASE_ADDRESS_4, LOW_WINDOW);
    qpci_config_writel(p, PCI_BASE_ADDRESS_5, 0);
    d->base = LOW_WINDOW;
    duel_expect_empty(d);
    qtest_writel(d->vm->qts, GO, 1);
    return d;
}

static void map_and_unmap(Gpu *none)
{
    Duel *d = start();
    int fd = duel_memory(64 * 4096, F_SEAL_SHRINK);
    int64_t end = g_get_monotonic_time() + RUN_US;
    unsigned maps = 0;

    while (g_get_monotonic_time() < end || !told(d, ROUNDS)) {
        uint64_t size = 4096ull * g_random_int_range(1, 65);
        uint64_t offset = 4096ull * g_random_int_range(0, (DUEL_WINDOW - size) / 4096);
        struct vgpu_channel_blob_map m = duel_map_of(d, offset, size);

        g_assert_true(duel_send_map(d, &m, fd));
        duel_expect_done(d, VGPU_BLOB_OK);
        g_assert_true(duel_send_unmap(d, offset, size));
        duel_expect_done(d, VGPU_BLOB_OK);
        maps++;
    }
    g_test_message("%u rounds of the guest, %u maps; %u wrong words, the last 0x%x", told(d, ROUNDS), maps,
                   told(d, WRONG), told(d, LAST));
    g_assert_cmpuint(maps, >, 100);
    g_assert_cmpuint(told(d, WRONG), ==, 0);
    /* and it does look */
    duel_map_well(d, 0, 4096);
    qtest_writel(d->vm->qts, d->base, 0xbad);
    wait_for(d, WRONG, 1);
    g_assert_cmphex(told(d, LAST), ==, 0xbad);
    close(fd);
    duel_free(d);
}

/* The renderer goes, with all that it had mapped, under the guest's hands. */
static void renderer_lost(Gpu *none)
{
    Duel *d = start();
    uint32_t before;
    unsigned i;

    for (i = 0; i < 64; i++) {
        duel_map_well(d, i * (DUEL_WINDOW / 64), 2 * 4096);
    }
    wait_for(d, ROUNDS, 1);
    g_assert_true(fake_send_bytes(d->fake, "nonsense, and enough of it", 24, NULL, 0));
    g_assert_true(fake_hung_up(d->fake, FAKE_SOON_MS));
    qmp_wait_state(d->gpu, "lost", FAKE_SOON_MS);
    before = told(d, ROUNDS);
    duel_expect_empty(d);
    wait_for(d, ROUNDS, before + 2);
    g_test_message("%u rounds of the guest, %u before the loss; %u wrong words, the last 0x%x",
                   told(d, ROUNDS), before, told(d, WRONG), told(d, LAST));
    g_assert_cmpuint(told(d, WRONG), ==, 0);
    duel_free(d);
}

const GpuCase cases_running[] = {
    { "running/map-and-unmap", map_and_unmap, CASE_OURS | CASE_RAW },
    { "running/renderer-lost", renderer_lost, CASE_OURS | CASE_RAW },
    { NULL },
};
