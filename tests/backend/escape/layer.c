/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layer in the process of a Vulkan context that a guest has taken over. */
#include "escape.h"

#include "vulkan-layer/confine.h"
#include "vulkan-layer/process.h"

void __real_confine_context(void);
void __wrap_confine_context(void);

void __wrap_confine_context(void)
{
    EscapePage *page;

    __real_confine_context();
    if (!process.ledger.stats) {
        return;
    }
    page = (EscapePage *)(void *)((uint8_t *)process.ledger.stats + ESCAPE_OFFSET);
    if (page->place == ESCAPE_CONTEXT && page->state == ESCAPE_ORDERED) {
        escape_run(page);
    }
}
