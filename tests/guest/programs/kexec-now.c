/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kexec-now KERNEL INITRD: another kernel takes over, with this one's command line,
 * after devices were shut down; what "kexec -l, kexec -e" does, for images without
 * kexec-tools.  Comes back only when that is not possible, with status 1.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/reboot.h>

int main(int argc, char **argv)
{
    char line[4096] = "";
    int kernel, initrd, file = open("/proc/cmdline", O_RDONLY);
    ssize_t length = read(file, line, sizeof(line) - 1);

    if (argc != 3 || length < 1) {
        fprintf(stderr, "kexec-now KERNEL INITRD\n");
        return 1;
    }
    line[strcspn(line, "\n")] = 0;
    kernel = open(argv[1], O_RDONLY);
    initrd = open(argv[2], O_RDONLY);
    if (kernel < 0 || initrd < 0 ||
        syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, 0UL)) {
        perror("kexec-now: cannot load that kernel");
        return 1;
    }
    sync();
    reboot(LINUX_REBOOT_CMD_KEXEC);
    perror("kexec-now: cannot start that kernel");
    return 1;
}
