/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gpu-raw COMMAND [ARGUMENT]...: what a guest's kernel driver promises, without
 * Mesa in between.  Status 0 when all was as it should be.
 *
 *   lose READY SECONDS  submits all the time, makes READY, until a call fails: that
 *                       must be EIO and within SECONDS.  Then: every call is EIO, every
 *                       fence and every point of a timeline is signalled, the
 *                       driver says whose fault it was, and a file opened anew works.
 *                       Last line: lost=ok submits=N status=WORD resets=N
 *   gone READY SECONDS  the same for a device that is taken away: every call is ENODEV.
 *                       Last line: gone=ok submits=N
 *   memory MIB          buffers of that size until one is refused: refused=ENAME mib=N;
 *                       then a submit must still work, and the memory come back
 *   create MIB          one such buffer, and how long the call took: ms=N
 *   order ROUNDS        new buffers, each written to by a submit at once and then
 *                       read back by a transfer: rounds=N wrong=N
 *   rate SECONDS        submits that do nothing, fenced once in a while: rate=N a second
 *   refused MIB COUNT   as much as there is, then COUNT more, and after each an empty
 *                       submit whose fence is waited for; medians: refused-us=N fence-us=N
 *   share               a buffer goes to another process and one of its comes back:
 *                       shared=ok
 */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vgpu_drm.h>
#include <xf86drm.h>

#define LATE_MS 20000 /* a wait that lasts longer is one for ever */
#define DEPTH   16    /* submits under way */
#define GROUP   32    /* submits for one fence, where they are counted */
#define WORDS   64

static void wrong(const char *what)
{
    fprintf(stderr, "gpu-raw: %s\n", what);
    exit(1);
}

/* ---- lose ------------------------------------------------------------------- */

static void expect(int error, const char *call, int ret)
{
    if (ret != error) {
        fprintf(stderr, "gpu-raw: %s says '%s', not '%s'\n", call, ret < 0 ? strerror(-ret) : "well",
                strerror(-error));
        exit(1);
    }
}

static void expect_all(int error, int fd, const struct raw_buffer *b)
{
    struct drm_virtgpu_resource_create_blob blob = { .blob_mem = VIRTGPU_BLOB_MEM_GUEST, .size = 4096 };
    struct drm_virtgpu_context_init init = { 0 };
    struct raw_buffer other;

    expect(error, "EXECBUFFER", raw_submit(fd, &(struct raw_submit){ 0 }));
    expect(error, "RESOURCE_CREATE", raw_buffer(fd, 4096, &other));
    expect(error, "RESOURCE_CREATE_BLOB", raw_call(fd, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB, &blob));
    expect(error, "CONTEXT_INIT", raw_call(fd, DRM_IOCTL_VIRTGPU_CONTEXT_INIT, &init));
    expect(error, "TRANSFER_TO_HOST", raw_transfer(fd, b, true));
    expect(error, "TRANSFER_FROM_HOST", raw_transfer(fd, b, false));
    expect(error, "WAIT", raw_wait(fd, b->handle));
}

static struct drm_vgpu_reset_status reset_status(int fd)
{
    struct drm_vgpu_reset_status status = { 0 };

    if (raw_call(fd, DRM_IOCTL_VGPU_RESET_STATUS, &status)) {
        raw_failed("VGPU_RESET_STATUS");
    }
    return status;
}

static const char *status_word(uint32_t status)
{
    static const char *const words[] = { "none", "guilty", "innocent", "unknown" };

    return status < sizeof(words) / sizeof(words[0]) ? words[status] : "nonsense";
}

/* What nobody has told of the loss; once more where the device is not back yet, or lost again meanwhile. */
static void start_anew(double end)
{
    struct raw_submit s = { .fence = true };

    for (;;) {
        int fd = raw_open(), fence = raw_submit(fd, &s), status = 0;

        if (fence < 0 && fence != -EIO) {
            errno = -fence;
            raw_failed("a submit of a new file");
        }
        if (fence >= 0 && !raw_fence(fence, LATE_MS, &status)) {
            wrong("work of a new file does not end");
        }
        if (fence >= 0) {
            close(fence);
        }
        if (status == 1) {
            if (reset_status(fd).status != VGPU_RESET_STATUS_NONE) {
                wrong("a new file is told of a loss that it has not seen");
            }
            close(fd);
            return;
        }
        close(fd);
        if (seconds() >= end) {
            wrong("work of a new file does not end well");
        }
        usleep(50000);
    }
}

static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);

    if (fd < 0) {
        raw_failed(path);
    }
    close(fd);
}

/* Submits until that is an error; their number, when all that was begun has ended. */
static uint64_t until(int error, int fd, struct raw_buffer *b, char **arg)
{
    double end = seconds() + (double)number(arg[1]);
    int fences[DEPTH], fence, status = 0;
    uint32_t timeline;
    uint64_t n;

    if (raw_buffer(fd, 65536, b) || drmSyncobjCreate(fd, 0, &timeline)) {
        raw_failed("a buffer and a syncobj");
    }
    for (n = 0;; n++) {
        struct raw_submit s = { .fence = true, .handle = b->handle, .timeline = timeline, .point = n + 1 };

        if (n >= DEPTH) {
            fence = fences[n % DEPTH];
            if (!raw_fence(fence, LATE_MS, &status)) {
                wrong("a fence does not signal");
            }
            close(fence);
        }
        fence = raw_submit(fd, &s);
        if (fence < 0) {
            break;
        }
        fences[n % DEPTH] = fence;
        if (n == 2 * DEPTH) {
            touch(arg[0]);
        }
        if (seconds() > end) {
            wrong("nothing was lost");
        }
    }
    expect(error, "a submit", fence);
    /* the one in whose place that would have gone is waited for and closed */
    for (uint64_t i = n >= DEPTH ? n - DEPTH + 1 : 0; i < n; i++) {
        if (!raw_fence(fences[i % DEPTH], LATE_MS, &status) || (status != 1 && status != -EIO)) {
            wrong("a fence of a lost device does not signal");
        }
    }
    /* of a device that is gone there is nobody to ask */
    if (error == -EIO && drmSyncobjTimelineWait(fd, &timeline, &n, 1, INT64_MAX, 0, NULL)) {
        wrong("a point of a timeline is not reached");
    }
    return n;
}

static void lose(char **arg)
{
    int fd = raw_open();
    uint64_t resets = reset_status(fd).resets, n;
    struct drm_vgpu_reset_status found;
    struct raw_buffer b;

    n = until(-EIO, fd, &b, arg);
    expect_all(-EIO, fd, &b);
    found = reset_status(fd);
    if (found.status == VGPU_RESET_STATUS_NONE || found.resets <= resets) {
        wrong("the driver knows of no reset");
    }
    expect_all(-EIO, fd, &b);
    start_anew(seconds() + LATE_MS / 1000.0);
    printf("lost=ok submits=%llu status=%s resets=%llu\n", (unsigned long long)n, status_word(found.status),
           (unsigned long long)found.resets);
}

static void gone(char **arg)
{
    int fd = raw_open();
    struct raw_buffer b;
    uint64_t n = until(-ENODEV, fd, &b, arg);

    expect_all(-ENODEV, fd, &b);
    printf("gone=ok submits=%llu\n", (unsigned long long)n);
}

/* ---- memory ----------------------------------------------------------------- */

static void memory(char **arg)
{
    uint32_t mib = (uint32_t)number(arg[0]), handles[4096], count = 0;
    int fd = raw_open(), ret, fence, status = 0;
    struct raw_buffer b;

    while (!(ret = raw_buffer(fd, mib << 20, &b)) && count < 4096) {
        handles[count++] = b.handle;
    }
    printf("refused=%s mib=%u\n",
           ret == -ENOMEM   ? "ENOMEM"
           : ret == -ENOSPC ? "ENOSPC"
                            : strerror(-ret),
           count * mib);
    fence = raw_submit(fd, &(struct raw_submit){ .fence = true });
    if (fence < 0 || !raw_fence(fence, LATE_MS, &status) || status != 1) {
        wrong("the context is lost with what was refused");
    }
    for (uint32_t i = 0; i < count; i++) {
        raw_close(fd, handles[i]);
    }
    if (ret != -ENOMEM && ret != -ENOSPC) {
        exit(1);
    }
    ret = raw_buffer(fd, mib << 20, &b);
    if (ret) {
        errno = -ret;
        raw_failed("memory that was given back");
    }
}

static void create(char **arg)
{
    struct raw_buffer b;
    int fd = raw_open(), ret;
    double start;

    /* of the context alone */
    if (raw_submit(fd, &(struct raw_submit){ 0 })) {
        raw_failed("a submit");
    }
    start = seconds();
    ret = raw_buffer(fd, (uint32_t)number(arg[0]) << 20, &b);
    if (ret) {
        errno = -ret;
        raw_failed("a buffer");
    }
    printf("ms=%.0f\n", (seconds() - start) * 1000);
}

/* ---- order ------------------------------------------------------------------ */

/*
 * Each round stands for what Mesa does all the time: what was made by one request
 * is used by the next, what a submit wrote is read by a transfer.
 */
static void order(char **arg)
{
    unsigned rounds = (unsigned)number(arg[0]), bad = 0;
    uint32_t words[WORDS], commands[RAW_WRITE_HEAD + WORDS];
    int fd = raw_open();

    for (unsigned i = 0; i < rounds; i++) {
        struct raw_submit s = { .commands = commands };
        struct raw_buffer b;
        int ret;

        for (unsigned w = 0; w < WORDS; w++) {
            words[w] = (i + 1) * 2654435761u + w;
        }
        ret = raw_buffer(fd, sizeof(words), &b);
        if (!ret) {
            raw_map(fd, &b);
            s.count = raw_write(commands, &b, words, WORDS);
            s.handle = b.handle;
            ret = raw_submit(fd, &s);
        }
        if (!ret) {
            ret = raw_transfer(fd, &b, false);
        }
        if (!ret) {
            ret = raw_wait(fd, b.handle);
        }
        if (ret) {
            errno = -ret;
            raw_failed("a round");
        }
        bad += memcmp(b.words, words, sizeof(words)) != 0;
        munmap(b.words, b.size);
        raw_close(fd, b.handle);
    }
    printf("rounds=%u wrong=%u\n", rounds, bad);
    if (bad) {
        exit(1);
    }
}

/* ---- rate ------------------------------------------------------------------- */

static void rate(char **arg)
{
    double start = 0, length = (double)number(arg[0]);
    int fd = raw_open(), before = -1, status;
    unsigned long groups = 0;

    for (;; groups++) {
        int fence = -1;

        for (unsigned i = 0; i < GROUP; i++) {
            fence = raw_submit(fd, &(struct raw_submit){ .fence = i == GROUP - 1 });
            if (fence < 0) {
                errno = -fence;
                raw_failed("a submit");
            }
        }
        /* one group is always under way */
        if (before >= 0 && (!raw_fence(before, LATE_MS, &status) || close(before))) {
            wrong("a fence does not signal");
        }
        before = fence;
        if (!start) {
            start = seconds(); /* the context is there now */
            groups = 0;
        } else if (seconds() - start > length) {
            break;
        }
    }
    printf("rate=%.0f\n", (double)(groups * GROUP) / (seconds() - start));
}

/* ---- refused ---------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *figures, unsigned count)
{
    qsort(figures, count, sizeof(*figures), compare);
    return figures[count / 2];
}

static void refused(char **arg)
{
    uint32_t size = (uint32_t)number(arg[0]) << 20;
    unsigned count = (unsigned)number(arg[1]);
    double *errors = calloc(count + 1, sizeof(double)), *fences = calloc(count + 1, sizeof(double)), start;
    int fd = raw_open(), ret, fence, status = 0;
    struct raw_buffer b;

    if (!errors || !fences) {
        raw_failed("memory");
    }
    do {
        ret = raw_buffer(fd, size, &b);
    } while (!ret);
    for (unsigned i = 0; i < count; i++) {
        start = seconds();
        ret = raw_buffer(fd, size, &b);
        errors[i] = seconds() - start;
        if (ret != -ENOMEM && ret != -ENOSPC) {
            wrong("what is too much is not refused");
        }
        start = seconds();
        fence = raw_submit(fd, &(struct raw_submit){ .fence = true });
        if (fence < 0 || !raw_fence(fence, LATE_MS, &status) || close(fence)) {
            wrong("a fence does not signal");
        }
        fences[i] = seconds() - start;
    }
    printf("refused-us=%.0f fence-us=%.0f\n", median(errors, count) * 1e6, median(fences, count) * 1e6);
}

/* ---- share ------------------------------------------------------------------ */

static void write_words(int fd, const struct raw_buffer *b, uint32_t seed)
{
    uint32_t words[WORDS], commands[RAW_WRITE_HEAD + WORDS];
    struct raw_submit s = { .commands = commands, .handle = b->handle };
    int ret;

    for (unsigned w = 0; w < WORDS; w++) {
        words[w] = seed * 2654435761u + w;
    }
    s.count = raw_write(commands, b, words, WORDS);
    ret = raw_submit(fd, &s);
    if (ret) {
        errno = -ret;
        raw_failed("a submit");
    }
}

static void check_words(int fd, struct raw_buffer *b, uint32_t seed)
{
    int ret = raw_transfer(fd, b, false);

    if (!ret) {
        ret = raw_wait(fd, b->handle);
    }
    if (ret) {
        errno = -ret;
        raw_failed("a transfer");
    }
    for (unsigned w = 0; w < WORDS; w++) {
        if (b->words[w] != seed * 2654435761u + w) {
            wrong("what the other process wrote is not there");
        }
    }
}

/* By another file: the same resource of the host under a handle of its own. */
static struct raw_buffer import(int fd, int dmabuf)
{
    struct drm_virtgpu_resource_info info = { 0 };
    struct raw_buffer b = { 0 };

    if (drmPrimeFDToHandle(fd, dmabuf, &b.handle)) {
        raw_failed("an import");
    }
    info.bo_handle = b.handle;
    if (drmIoctl(fd, DRM_IOCTL_VIRTGPU_RESOURCE_INFO, &info)) {
        raw_failed("RESOURCE_INFO");
    }
    b.resource = info.res_handle;
    b.size = info.size;
    raw_map(fd, &b);
    return b;
}

static void other_process(int dmabuf)
{
    int fd = raw_open();
    struct raw_buffer b = import(fd, dmabuf);

    check_words(fd, &b, 1);
    write_words(fd, &b, 2);
    check_words(fd, &b, 2);
    exit(0);
}

static void share(char **arg)
{
    int fd = raw_open(), dmabuf = -1, status = 0;
    struct raw_buffer b, again;
    pid_t other;

    (void)arg;
    if (raw_buffer(fd, 4096, &b)) {
        raw_failed("a buffer");
    }
    raw_map(fd, &b);
    write_words(fd, &b, 1);
    if (drmPrimeHandleToFD(fd, b.handle, DRM_CLOEXEC | DRM_RDWR, &dmabuf)) {
        raw_failed("an export");
    }
    other = fork();
    if (!other) {
        other_process(dmabuf);
    }
    if (other < 0 || waitpid(other, &status, 0) != other || status) {
        wrong("the other process failed");
    }
    check_words(fd, &b, 2);
    again = import(fd, dmabuf);
    if (again.handle != b.handle || again.resource != b.resource) {
        wrong("one's own buffer comes back as another");
    }
    printf("shared=ok\n");
}

static const struct {
    const char *name;
    int arguments;
    void (*run)(char **arg);
} commands[] = {
    { "lose", 2, lose },   { "gone", 2, gone }, { "memory", 1, memory }, { "create", 1, create },
    { "order", 1, order }, { "rate", 1, rate }, { "share", 0, share },   { "refused", 2, refused },
};

int main(int argc, char **argv)
{
    for (unsigned i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!strcmp(argv[1], commands[i].name) && argc == commands[i].arguments + 2) {
            commands[i].run(argv + 2);
            return 0;
        }
    }
    fprintf(stderr, "gpu-raw: what is '%s'?\n", argc > 1 ? argv[1] : "");
    return 2;
}
