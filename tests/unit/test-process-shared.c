/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared memory that a process has made, however it has it; what its QEMU has open is not its own. */
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_shared.h"

#define MIB (1ull << 20)

/* A child that does what it is told and then waits; *done: it has. */
typedef struct Child {
    pid_t pid;
    int tell, done;
} Child;

static int filled(size_t size)
{
    int fd = memfd_create("filled", MFD_CLOEXEC);

    g_assert_cmpint(posix_fallocate(fd, 0, (off_t)size), ==, 0);
    return fd;
}

static void act(char what, int ram)
{
    int fd;
    void *map;

    switch (what) {
    case 'w': /* written and open */
        filled(8 * MIB);
        break;
    case 'd': /* the same twice open counts once */
        fd = filled(8 * MIB);
        dup(fd);
        mmap(NULL, 8 * MIB, PROT_READ, MAP_SHARED, fd, 0);
        break;
    case 'c': /* mapped and closed */
        fd = filled(8 * MIB);
        mmap(NULL, 8 * MIB, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
        break;
    case 'a': /* without a file */
        map = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        memset(map, 1, 8 * MIB);
        break;
    case 's': /* long, and nothing in it */
        fd = memfd_create("sparse", MFD_CLOEXEC);
        g_assert_cmpint(ftruncate(fd, 1 << 30), ==, 0);
        break;
    case 'r': /* the guest's RAM */
        mmap(NULL, 8 * MIB, PROT_READ, MAP_SHARED, ram, 0);
        break;
    }
}

static Child start(int ram)
{
    int tell[2], done[2];
    Child c;

    g_assert_cmpint(pipe(tell), ==, 0);
    g_assert_cmpint(pipe(done), ==, 0);
    c.pid = fork();
    if (c.pid == 0) {
        char what;

        close(tell[1]);
        while (read(tell[0], &what, 1) == 1) {
            act(what, ram);
            if (write(done[1], &what, 1) != 1) {
                break;
            }
        }
        _exit(0);
    }
    close(tell[0]);
    close(done[1]);
    c.tell = tell[1];
    c.done = done[0];
    return c;
}

static void tell(const Child *c, char what)
{
    g_assert_cmpint(write(c->tell, &what, 1), ==, 1);
    g_assert_cmpint(read(c->done, &what, 1), ==, 1);
}

static void end(const Child *c)
{
    close(c->tell);
    close(c->done);
    kill(c->pid, SIGKILL);
    g_assert_cmpint(waitpid(c->pid, NULL, 0), ==, c->pid);
}

static uint64_t shared_of(const pid_t *pids, unsigned n, const SharedOwner *owner)
{
    uint64_t bytes = 1;

    g_assert_true(process_shared_memory(pids, n, owner, &bytes));
    return bytes;
}

static void test_ways(void)
{
    int ram = filled(8 * MIB);
    Child c = start(ram);
    /* of one user: this process is its QEMU */
    const SharedOwner same = { geteuid(), geteuid(), getpid() };
    uint64_t sum = 0;

    g_assert_cmpuint(shared_of(&c.pid, 1, &same), ==, 0);
    tell(&c, 'r');
    tell(&c, 's');
    g_assert_cmpuint(shared_of(&c.pid, 1, &same), ==, 0);
    for (const char *way = "wdca"; *way; way++) {
        tell(&c, *way);
        sum += 8 * MIB;
        g_test_message("way %c", *way);
        g_assert_cmpuint(shared_of(&c.pid, 1, &same), ==, sum);
    }
    end(&c);
    close(ram);
}

/* Where renderers have user ids of their own, a file's owner tells, whatever QEMU has open. */
static void test_owner(void)
{
    int ram = filled(8 * MIB);
    Child c = start(ram);
    const SharedOwner its_own = { geteuid(), geteuid() + 1, 0 }, qemus = { geteuid() + 1, geteuid(), 0 },
                      unknown = { geteuid(), geteuid(), 0 };

    tell(&c, 'w');
    tell(&c, 'c');
    g_assert_cmpuint(shared_of(&c.pid, 1, &its_own), >=, 16 * MIB);
    g_assert_cmpuint(shared_of(&c.pid, 1, &qemus), ==, 0);
    g_assert_cmpuint(shared_of(&c.pid, 1, &unknown), ==, 0); /* rather than the guest's RAM */
    end(&c);
    close(ram);
}

/* What two of its processes have is there once. */
static void test_two(void)
{
    const SharedOwner same = { geteuid(), geteuid(), getppid() };
    int shared = filled(8 * MIB);
    Child a = start(shared), b = start(shared);
    const pid_t both[] = { a.pid, b.pid };

    tell(&a, 'r');
    tell(&b, 'r');
    tell(&b, 'w');
    g_assert_cmpuint(shared_of(both, 2, &same), ==, 16 * MIB);
    end(&a);
    end(&b);
    close(shared);
}

static void test_gone(void)
{
    const SharedOwner same = { geteuid(), geteuid(), getpid() };
    const pid_t nobody = 1 << 30;
    uint64_t bytes;

    g_assert_false(process_shared_memory(&nobody, 1, &same, &bytes));
    g_assert_cmpuint(bytes, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/process-shared/ways", test_ways);
    g_test_add_func("/process-shared/owner", test_owner);
    g_test_add_func("/process-shared/two-processes", test_two);
    g_test_add_func("/process-shared/gone", test_gone);
    return g_test_run();
}
