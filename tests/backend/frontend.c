/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frontend.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#define OBJECTS_SIZE (16u << 20)

char *frontend_log(Frontend *f)
{
    off_t size = f->log_fd >= 0 ? lseek(f->log_fd, 0, SEEK_END) : 0;
    char *text = g_malloc0(size + 1);

    if (size > 0 && pread(f->log_fd, text, size, 0) < 0) {
        text[0] = '\0';
    }
    return text;
}

void frontend_fail(Frontend *f, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (f->dead) {
        return;
    }
    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_test_fail_printf("%s", text);
    f->dead = true;
}

/* Dies with the test program, whatever happens to that. */
static void child_setup(gpointer unused)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void add_arg(GPtrArray *argv, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add_arg(GPtrArray *argv, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_ptr_array_add(argv, g_strdup_vprintf(format, ap));
    va_end(ap);
}

static GPtrArray *command_line(const FrontendOptions *o)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    const char *path = g_getenv("VGPU_RENDERER"), *more = g_getenv("VGPU_TEST_RENDERER_ARGS");

    g_assert_nonnull(path);
    add_arg(argv, "%s", path);
    add_arg(argv, "--vhost-user-fd=3");
    add_arg(argv, "--channel-fd=4");
    add_arg(argv, "--stats-fd=5");
    add_arg(argv, "--objects-fd=6");
    add_arg(argv, "--vm-name=%s", o->vm_name);
    add_arg(argv, "--profile=quarter");
    add_arg(argv, "--gpu=gpu0");
    add_arg(argv, "--memory=%" G_GUINT64_FORMAT, o->memory);
    add_arg(argv, "--renderer=%s", o->renderer);
    add_arg(argv, "--max-outputs=%u", o->max_outputs);
    if (o->max_contexts) {
        add_arg(argv, "--max-contexts=%u", o->max_contexts);
    }
    if (o->max_width) {
        add_arg(argv, "--max-width=%u", o->max_width);
        add_arg(argv, "--max-height=%u", o->max_height);
    }
    if (more && *more) {
        add_arg(argv, "%s", more);
    }
    if (o->lease) {
        add_arg(argv, "--lease-fd=7");
        add_arg(argv, "--lease-call-fd=8");
        add_arg(argv, "--lease-wake-fd=9");
    }
    for (const char *const *a = o->args; a && *a; a++) {
        add_arg(argv, "%s", *a);
    }
    if (o->extra) {
        add_arg(argv, "%s", o->extra);
    }
    g_ptr_array_add(argv, NULL);
    return argv;
}

static bool spawn(Frontend *f, FrontendFds *ours)
{
    g_autoptr(GPtrArray) argv = command_line(&f->o);
    g_autoptr(GError) error = NULL;
    struct vgpu_stats page = { .magic = VGPU_STATS_MAGIC,
                               .version = VGPU_STATS_VERSION,
                               .memory_limit = f->o.memory };
    int vhost[2], channel[2], theirs[7];
    static const int as[7] = { 3, 4, 5, 6, 7, 8, 9 };
    bool ok;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, vhost), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, channel), ==, 0);
    /* our end may block: a renderer that does not read is a failure we want to see */
    fcntl(channel[0], F_SETFL, fcntl(channel[0], F_GETFL) & ~O_NONBLOCK);
    ours->vhost = vhost[0];
    ours->channel = channel[0];
    ours->stats = memfd_create("stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_assert_cmpint(ftruncate(ours->stats, VGPU_STATS_SIZE), ==, 0);
    g_assert_cmpint(pwrite(ours->stats, &page, sizeof(page), 0), ==, sizeof(page));
    fcntl(ours->stats, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    ours->objects = memfd_create("objects", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_assert_cmpint(ftruncate(ours->objects, OBJECTS_SIZE), ==, 0);
    fcntl(ours->objects, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    theirs[0] = vhost[1];
    theirs[1] = channel[1];
    theirs[2] = ours->stats;
    theirs[3] = ours->objects;
    if (f->o.lease) {
        memcpy(&theirs[4], f->o.lease, 3 * sizeof(int));
    }
    f->log_fd = memfd_create("renderer-log", MFD_CLOEXEC);
    fcntl(f->log_fd, F_SETFL, O_APPEND);
    ok = g_spawn_async_with_pipes_and_fds(
        NULL, (const char *const *)argv->pdata, NULL, G_SPAWN_DO_NOT_REAP_CHILD, child_setup, NULL, -1,
        f->log_fd, f->log_fd, theirs, as, f->o.lease ? 7 : 4, &f->pid, NULL, NULL, NULL, &error);
    close(vhost[1]);
    close(channel[1]);
    if (!ok) {
        frontend_fail(f, "the renderer does not start: %s", error->message);
    }
    return ok;
}

void frontend_push_display(Frontend *f, unsigned outputs, uint32_t width, uint32_t height)
{
    struct vgpu_channel_display_info info = { .count = outputs };

    for (unsigned i = 0; i < outputs; i++) {
        struct vgpu_channel_edid edid = { .scanout_id = i, .size = 256 };

        info.mode[i] =
            (struct vgpu_channel_mode){ .enabled = 1, .x = i * width, .width = width, .height = height };
        for (unsigned b = 0; b < edid.size; b++) {
            edid.edid[b] = b + i;
        }
        channel_send(&f->channel, VGPU_CHANNEL_EDID, &edid, sizeof(edid));
    }
    channel_send(&f->channel, VGPU_CHANNEL_DISPLAY_INFO, &info, sizeof(info));
}

static uint64_t guest_features(Frontend *f)
{
    uint64_t f64 = f->hello.virtio_features | 1ull << VIRTIO_F_VERSION_1;

    if (!f->o.submit_queues) {
        f64 &= ~(1ull << VGPU_F_SUBMIT_QUEUES);
    }
    if (f->o.stock) {
        f64 &= ~(1ull << VGPU_F_EXTENSION);
    }
    if (!f->o.plain_rings) {
        f64 |= f->vhost.features & (1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC);
    }
    return f64;
}

static bool bring_up(Frontend *f)
{
    g_autoptr(ChannelMsg) hello = NULL;

    hello = channel_find(&f->channel, VGPU_CHANNEL_HELLO, FRONTEND_HELLO_DEADLINE);
    if (!hello) {
        frontend_fail(f, "no HELLO from the renderer");
        return false;
    }
    f->hello = hello->hello;
    frontend_push_display(f, f->o.max_outputs, 1024, 768);
    if (!vhost_handshake(&f->vhost, !f->o.mem_table) || !vhost_set_memory(&f->vhost, f->ram)) {
        frontend_fail(f, "the vhost-user handshake failed");
        return false;
    }
    f->features = guest_features(f);
    for (unsigned i = 0; i < f->queues; i++) {
        f->ring[i] = vring_new(f->ram, f->o.ring_size, f->features & 1ull << VIRTIO_RING_F_EVENT_IDX,
                               f->features & 1ull << VIRTIO_RING_F_INDIRECT_DESC);
    }
    return frontend_resume(f);
}

static Frontend *frontend_base(const FrontendOptions *o)
{
    static const FrontendOptions none;
    Frontend *f = g_new0(Frontend, 1);

    f->o = o ? *o : none;
    f->o.renderer = f->o.renderer ? f->o.renderer : "2d";
    f->o.vm_name = f->o.vm_name ? f->o.vm_name : "test";
    f->o.memory = f->o.memory ? f->o.memory : 256ull << 20;
    f->o.max_outputs = f->o.max_outputs ? f->o.max_outputs : 1;
    f->o.ram = f->o.ram ? f->o.ram : 128ull << 20;
    f->o.ring_size = f->o.ring_size ? f->o.ring_size : 256;
    f->queues = SUBMIT + f->o.submit_queues;
    f->log_fd = -1;
    f->ram = ram_new(f->o.ram, f->o.ram);
    return f;
}

static void take_fds(Frontend *f, const FrontendFds *fds)
{
    vhost_init(&f->vhost, fds->vhost);
    channel_init(&f->channel, fds->channel);
    f->channel.pieces = f->o.channel_in_pieces;
    screen_init(&f->screen, &f->channel);
    f->stats_fd = fds->stats;
    f->objects_fd = fds->objects;
    f->stats = mmap(NULL, VGPU_STATS_SIZE, PROT_READ, MAP_SHARED, fds->stats, 0);
    g_assert_true(f->stats != MAP_FAILED);
}

Frontend *frontend_new(const FrontendOptions *o)
{
    Frontend *f = frontend_base(o);
    FrontendFds fds;
    bool ok = spawn(f, &fds);

    take_fds(f, &fds);
    if (ok) {
        bring_up(f);
    }
    return f;
}

Frontend *frontend_adopt(const FrontendOptions *o, const FrontendFds *fds)
{
    Frontend *f = frontend_base(o);

    take_fds(f, fds);
    bring_up(f);
    return f;
}

void frontend_kill(Frontend *f)
{
    if (f->pid) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
        f->pid = 0;
    }
    f->exit_unchecked = true;
    f->running = false;
}

/* As channel_send(), with a descriptor at its first byte.  a, b: the payload. */
static bool send_fd(Frontend *f, uint32_t request, uint32_t a, uint32_t b, int fd)
{
    struct {
        struct vgpu_channel_hdr hdr;
        uint32_t a, b;
    } m = { { request, 0, 2 * sizeof(uint32_t) }, a, b };
    union {
        struct cmsghdr hdr;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { &m, sizeof(m) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };

    control.hdr.cmsg_level = SOL_SOCKET;
    control.hdr.cmsg_type = SCM_RIGHTS;
    control.hdr.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.hdr), &fd, sizeof(int));
    return sendmsg(f->channel.fd, &msg, MSG_NOSIGNAL) == sizeof(m);
}

static bool replace(Frontend *f, int table_fd, enum vgpu_adopt_form form)
{
    int kept = f->objects_fd;
    g_autoptr(ChannelMsg) hello = NULL;
    FrontendFds fds;

    screen_finish(&f->screen);
    vhost_finish(&f->vhost);
    channel_finish(&f->channel);
    munmap(f->stats, VGPU_STATS_SIZE);
    close(f->stats_fd);
    if (f->log_fd >= 0) {
        close(f->log_fd);
    }
    if (!spawn(f, &fds)) {
        return false;
    }
    take_fds(f, &fds);
    f->exit_unchecked = false;
    hello = channel_find(&f->channel, VGPU_CHANNEL_HELLO, FRONTEND_HELLO_DEADLINE);
    if (!hello || !vhost_handshake(&f->vhost, !f->o.mem_table) || !vhost_set_memory(&f->vhost, f->ram)) {
        frontend_fail(f, "the next renderer does not come up");
        return false;
    }
    f->hello = hello->hello;
    if (table_fd >= 0 && !send_fd(f, VGPU_CHANNEL_ADOPT, f->generation, form, table_fd)) {
        frontend_fail(f, "ADOPT cannot be sent");
        return false;
    }
    close(kept);
    frontend_push_display(f, f->o.max_outputs, 1024, 768);
    for (unsigned i = 0; i < 2; i++) {
        f->base[i] = f->ring[i]->used->idx; /* all that QEMU knows */
        vring_kick_now(f->ring[i]);
    }
    return frontend_resume(f);
}

bool frontend_replace(Frontend *f, int table_fd)
{
    return replace(f, table_fd, VGPU_ADOPT_TABLE);
}

bool frontend_replace_saved(Frontend *f, int saved_fd, char **why)
{
    g_autoptr(ChannelMsg) msg = NULL;

    *why = NULL;
    if (!replace(f, saved_fd, VGPU_ADOPT_SAVED)) {
        return false;
    }
    msg = channel_find(&f->channel, VGPU_CHANNEL_JUDGED, FRONTEND_HELLO_DEADLINE);
    if (!msg) {
        frontend_fail(f, "no JUDGED from the renderer");
        return false;
    }
    *why = msg->judged.ok ? NULL : g_strndup(msg->judged.message, sizeof(msg->judged.message));
    return true;
}

int frontend_save(Frontend *f, bool leave_contexts, char **why)
{
    int pair[2], saved = memfd_create("saved", MFD_CLOEXEC);
    struct vgpu_save_refused refused;
    g_autofree uint8_t *frame = g_malloc(VGPU_SAVE_FRAME_MAX);
    uint32_t size;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_true(send_fd(f, VGPU_CHANNEL_SAVE, leave_contexts, 0, pair[1]));
    close(pair[1]);
    *why = NULL;
    while (recv(pair[0], &size, sizeof(size), MSG_WAITALL) == sizeof(size) && size &&
           size <= VGPU_SAVE_FRAME_MAX) {
        g_assert_cmpint(recv(pair[0], frame, size, MSG_WAITALL), ==, size);
        g_assert_cmpint(write(saved, frame, size), ==, size);
    }
    if (size) {
        g_assert_cmphex(size, ==, VGPU_SAVE_REFUSED);
        g_assert_cmpint(recv(pair[0], &refused, sizeof(refused), MSG_WAITALL), ==, sizeof(refused));
        *why = g_strndup(refused.message, sizeof(refused.message));
        close(saved);
        saved = -1;
    }
    close(pair[0]);
    return saved;
}

bool frontend_adopted(Frontend *f, struct vgpu_channel_adopted *m)
{
    g_autoptr(ChannelMsg) msg = channel_find(&f->channel, VGPU_CHANNEL_ADOPTED, FRONTEND_HELLO_DEADLINE);

    if (!msg) {
        frontend_fail(f, "no ADOPTED from the renderer");
        return false;
    }
    if (m) {
        *m = msg->adopted;
    }
    return true;
}

bool frontend_resume(Frontend *f)
{
    if (f->dead) {
        return false;
    }
    if (!vhost_set_features(&f->vhost, f->features | 1ull << VHOST_F_PROTOCOL_FEATURES)) {
        frontend_fail(f, "the features were not taken");
        return false;
    }
    for (unsigned i = 0; i < f->queues; i++) {
        if (!vhost_start_ring(&f->vhost, i, f->ring[i], f->base[i])) {
            frontend_fail(f, "the rings could not be started");
            return false;
        }
    }
    f->running = true;
    return true;
}

bool frontend_stop(Frontend *f)
{
    if (f->dead) {
        return false;
    }
    for (unsigned i = 0; i < f->queues; i++) {
        if (!vhost_stop_ring(&f->vhost, i, &f->base[i])) {
            frontend_fail(f, "GET_VRING_BASE of queue %u was not answered", i);
            return false;
        }
    }
    f->running = false;
    return true;
}

bool frontend_reset(Frontend *f)
{
    struct vgpu_channel_reset r = { .generation = ++f->generation };

    if (f->running && !frontend_stop(f)) {
        return false;
    }
    channel_send(&f->channel, VGPU_CHANNEL_RESET, &r, sizeof(r));
    for (unsigned i = 0; i < f->queues; i++) {
        memset(f->by_head[i], 0, sizeof(f->by_head[i]));
        vring_reset(f->ring[i]);
        f->base[i] = 0;
    }
    return frontend_resume(f);
}

/* The renderer ends by itself when its sockets close, with status 0. */
static void reap(Frontend *f)
{
    int64_t deadline = g_get_monotonic_time() + FRONTEND_EXIT_DEADLINE * 1000ll;
    int status = 0;
    pid_t got;

    while (!(got = waitpid(f->pid, &status, WNOHANG)) && g_get_monotonic_time() < deadline) {
        g_usleep(2000);
    }
    if (!got) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, &status, 0);
        if (!f->dead) {
            g_test_fail_printf("the renderer did not end when its sockets closed");
        }
    } else if (!f->exit_unchecked && status != 0) {
        g_test_fail_printf("the renderer ended with %s %d", WIFSIGNALED(status) ? "signal" : "status",
                           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    f->pid = 0;
}

void frontend_free(Frontend *f)
{
    if (!f) {
        return;
    }
    if (!f->dead && f->channel.failed && !f->exit_unchecked) {
        g_test_fail_printf("the gpu channel was closed by the renderer");
    }
    screen_finish(&f->screen);
    vhost_finish(&f->vhost);
    channel_finish(&f->channel);
    if (f->pid) {
        reap(f);
    }
    if (g_test_failed()) {
        g_autofree char *log = frontend_log(f);

        g_test_message("the renderer's log:\n%s", log);
    }
    munmap(f->stats, VGPU_STATS_SIZE);
    close(f->stats_fd);
    close(f->objects_fd);
    if (f->log_fd >= 0) {
        close(f->log_fd);
    }
    for (unsigned i = 0; i < f->queues; i++) {
        vring_free(f->ring[i]);
    }
    ram_free(f->ram);
    g_free(f);
}

pid_t frontend_worker(Frontend *f)
{
    return f->pid ? proc_deepest(f->pid) : 0;
}

bool frontend_alive(Frontend *f)
{
    uint64_t features;

    return !f->dead && vhost_get_features(&f->vhost, &features) && (!f->pid || proc_alive(f->pid));
}

uint64_t frontend_used(Frontend *f)
{
    return vgpu_stats_get(&f->stats->memory_used);
}
