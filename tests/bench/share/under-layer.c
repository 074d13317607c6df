/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * under-layer PROGRAM [ARG...]: runs a Vulkan program with the Vulkan layer under
 * it, on lavapipe: books with room for all it wants and a lease that nobody else
 * does.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "vulkan_host.h"

int main(int argc, char **argv)
{
    VulkanHost *h = vulkan_host_new(1ull << 40, true);
    const int fds[] = { h->lease.page_fd, h->lease.call, h->lease.wake };

    if (argc < 2) {
        fprintf(stderr, "under-layer PROGRAM [ARG...]\n");
        return 2;
    }
    h->lease.page->state = GRANTED;
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        fcntl(fds[i], F_SETFD, 0);
    }
    vulkan_host_environment(vulkan_host_variable(h));
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
