/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hangs: three in ten minutes are too many, whichever QEMU the VM runs in and whichever vgpud is there. */
#include <glib.h>
#include <string.h>

#include "hangs.h"

#define S    (int64_t)G_USEC_PER_SEC
#define HOUR (3600 * S)

static char device[] = "vgpu0", other_device[] = "vgpu1", win10[] = "win10", win11[] = "win11";

/* One with that UUID, or with that name and no UUID of its own. */
static Vm vm_of(const char *uuid, char *name)
{
    Vm vm = { .name = name, .device = device, .owner = 1000, .uuid_given = uuid != NULL };
    g_autofree char *random = g_uuid_string_random();

    g_strlcpy(vm.uuid, uuid ? uuid : random, sizeof(vm.uuid));
    return vm;
}

#define UUID_A "12345678-9abc-def0-0102-030405060708"
#define UUID_B "22345678-9abc-def0-0102-030405060708"

static void test_window(void)
{
    static const struct {
        int64_t at[4];
        unsigned off_at; /* the how manieth hang is too many; 0: none */
    } cases[] = {
        { { 1 * S, 2 * S, 3 * S, 4 * S }, 3 },
        { { 1 * S, 300 * S, 601 * S, 602 * S }, 3 }, /* just within ten minutes */
        { { 1 * S, 300 * S, 602 * S, 700 * S }, 4 }, /* just outside; but the last three are within */
        { { 1 * S, 602 * S, 1203 * S, 1804 * S }, 0 },
        { { 1 * S, 2 * S, HOUR, HOUR + S }, 0 },
        { { 0, 0, 0, 0 }, 3 }, /* a clock that has just begun */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Hangs *h = hangs_new();
        const Vm vm = vm_of(UUID_A, win10);

        g_test_message("case %u", i);
        for (unsigned n = 0; n < 4; n++) {
            bool off = cases[i].off_at && n + 1 >= cases[i].off_at;

            g_assert_cmpint(hangs_add(h, &vm, cases[i].at[n]), ==, off);
            g_assert_cmpint(hangs_off(h, &vm), ==, off);
        }
        hangs_free(h);
    }
}

static void hang_three_times(Hangs *h, const Vm *vm)
{
    g_assert_false(hangs_add(h, vm, 1 * S));
    g_assert_false(hangs_add(h, vm, 2 * S));
    g_assert_true(hangs_add(h, vm, 3 * S));
}

/* It stays off for ever, until it is allowed; then three more may come. */
static void test_until_allowed(void)
{
    Hangs *h = hangs_new();
    const Vm vm = vm_of(UUID_A, win10);

    hang_three_times(h, &vm);
    g_assert_true(hangs_add(h, &vm, 100 * HOUR));
    g_assert_true(hangs_off(h, &vm));
    hangs_forget(h, &vm);
    g_assert_false(hangs_off(h, &vm));
    hang_three_times(h, &vm);
    hangs_free(h);
}

/* Who it is: UUID, device and user; the name of one that has no UUID. */
static void test_identity(void)
{
    Hangs *h = hangs_new();
    Vm a = vm_of(UUID_A, win10), same = vm_of(UUID_A, win11), b = vm_of(UUID_B, win10);
    Vm nameless = vm_of(NULL, win10), again = vm_of(NULL, win10), another = vm_of(NULL, win11);

    hang_three_times(h, &a);
    g_assert_true(hangs_off(h, &same));
    g_assert_false(hangs_off(h, &b));
    g_assert_false(hangs_off(h, &nameless));
    same.owner = 1001;
    g_assert_false(hangs_off(h, &same));
    same.owner = 1000;
    same.device = other_device;
    g_assert_false(hangs_off(h, &same));
    hang_three_times(h, &nameless);
    g_assert_true(hangs_off(h, &again));
    g_assert_false(hangs_off(h, &another));
    g_assert_false(hangs_off(h, &b));
    hangs_free(h);
}

static Hangs *over_a_restart(Hangs *h, bool same_boot)
{
    g_autoptr(GKeyFile) file = g_key_file_new(), read = g_key_file_new();
    g_autofree char *text = NULL;
    Hangs *back = hangs_new();

    hangs_save(h, file);
    text = g_key_file_to_data(file, NULL, NULL);
    g_assert_true(!*text || g_key_file_load_from_data(read, text, strlen(text), G_KEY_FILE_NONE, NULL));
    hangs_load(back, read, same_boot, "the test");
    hangs_free(h);
    return back;
}

static void test_restart(void)
{
    Hangs *h = hangs_new();
    static char odd[] = "odd [vm 7]\\n;= name \xc3\xa9";
    const Vm off = vm_of(UUID_A, win10), twice = vm_of(NULL, odd);

    hang_three_times(h, &off);
    g_assert_false(hangs_add(h, &twice, 5 * S));
    g_assert_false(hangs_add(h, &twice, 6 * S));
    h = over_a_restart(over_a_restart(h, true), true);
    g_assert_true(hangs_off(h, &off));
    g_assert_false(hangs_off(h, &twice));
    g_assert_true(hangs_add(h, &twice, 100 * S)); /* the third */
    h = over_a_restart(h, false);                 /* the host was started again: other times, the same VMs */
    g_assert_true(hangs_off(h, &off));
    g_assert_true(hangs_off(h, &twice));
    hangs_forget(h, &twice);
    g_assert_false(hangs_add(h, &twice, 5 * S));
    h = over_a_restart(h, false);
    g_assert_false(hangs_add(h, &twice, 6 * S));
    g_assert_false(hangs_add(h, &twice, 7 * S));
    hangs_free(h);
}

static void test_damaged(void)
{
    static const char good[] =
        "[hangs 0]\nvm=uuid " UUID_A "\ndevice=vgpu0\nowner=1000\noff=true\nat-0=3000000\n"
        "at-1=2000000\nat-2=1000000\n";
    static const struct {
        const char *from, *to;
    } damages[] = {
        { "vm=uuid", "vm=" },          { "vm=uuid", "wm=" },          { "device=vgpu0", "device=" },
        { "owner=1000", "owner=-1" },  { "owner=1000", "" },          { "at-2=1000000", "at-2=x" },
        { "at-1=2000000", "at-1=-1" }, { "owner=1000", "owner=1e3" },
    };

    for (unsigned i = 0; i <= G_N_ELEMENTS(damages); i++) {
        g_autoptr(GString) text = g_string_new(good);
        g_autoptr(GKeyFile) file = g_key_file_new();
        const Vm vm = vm_of(UUID_A, win10);
        Hangs *h = hangs_new();

        if (i < G_N_ELEMENTS(damages)) {
            g_assert_cmpuint(g_string_replace(text, damages[i].from, damages[i].to, 0), ==, 1);
            g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*damaged*");
        }
        g_assert_true(g_key_file_load_from_data(file, text->str, text->len, G_KEY_FILE_NONE, NULL));
        hangs_load(h, file, true, "the test");
        g_test_assert_expected_messages();
        g_assert_cmpint(hangs_off(h, &vm), ==, i == G_N_ELEMENTS(damages));
        hangs_free(h);
    }
}

/* A user with many VMs makes room among its own, and first of those that are not off. */
static void test_bounds(void)
{
    Hangs *h = hangs_new();
    const Vm mine = vm_of(UUID_A, win10);
    Vm theirs = vm_of(UUID_B, win10);
    int64_t now = 10 * S;

    hang_three_times(h, &mine);
    theirs.owner = 2000;
    hang_three_times(h, &theirs);
    for (unsigned i = 0; i < 10 * HANGS_KEPT; i++) {
        Vm vm = vm_of(NULL, win10);

        vm.uuid_given = true;
        vm.owner = 2000;
        g_assert_false(hangs_add(h, &vm, now++));
    }
    g_assert_true(hangs_off(h, &mine));
    g_assert_true(hangs_off(h, &theirs));
    hangs_free(h);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hangs/window", test_window);
    g_test_add_func("/hangs/until-allowed", test_until_allowed);
    g_test_add_func("/hangs/identity", test_identity);
    g_test_add_func("/hangs/restart", test_restart);
    g_test_add_func("/hangs/damaged", test_damaged);
    g_test_add_func("/hangs/bounds", test_bounds);
    return g_test_run();
}
