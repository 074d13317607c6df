/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The renderer of a guest that has taken it over: it obeys one command more. */
#include "escape.h"

#include "renderer/command.h"
#include "renderer/isolation.h"

Element *__real_dispatch(Device *d, Element *e);
Element *__wrap_dispatch(Device *d, Element *e);
bool __real_isolate_starting(bool devices, GError **error);
bool __wrap_isolate_starting(bool devices, GError **error);
void __real_isolate_serving(bool devices);
void __wrap_isolate_serving(bool devices);

Element *__wrap_dispatch(Device *d, Element *e)
{
    EscapePage *page = (EscapePage *)(void *)((uint8_t *)d->stats + ESCAPE_OFFSET);
    struct virtio_gpu_ctrl_hdr answer = { .type = VIRTIO_GPU_RESP_OK_NODATA };
    struct EscapeCommand command;

    if (!element_read(e, 0, &command, sizeof(command)) || command.hdr.type != ESCAPE_COMMAND) {
        return __real_dispatch(d, e);
    }
    *page = command.page;
    if (page->place == ESCAPE_RENDERER) {
        escape_run(page);
    }
    element_answer(e, &answer, sizeof(answer));
    return e;
}

static bool filtered(void)
{
    return !g_getenv(ESCAPE_NO_FILTER);
}

bool __wrap_isolate_starting(bool devices, GError **error)
{
    return !filtered() || __real_isolate_starting(devices, error);
}

void __wrap_isolate_serving(bool devices)
{
    if (filtered()) {
        __real_isolate_serving(devices);
    }
}
