/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bodies of the API: any bytes give values within their bounds, or one sentence. */
#include "fuzz.h"
#include "vgpud/api_body.h"
#include "vgpud/api_change.h"
#include "vgpud/units.h"

static void check_error(const GError *error)
{
    FUZZ_ASSERT(error && error->message && *error->message);
    FUZZ_ASSERT(g_utf8_validate(error->message, -1, NULL));
    FUZZ_ASSERT(!strchr(error->message, '\n') && strlen(error->message) < 2000);
}

static void check_change(const ControlChange *c)
{
    g_autofree char *text = api_change_text(c);

    FUZZ_ASSERT(c->set && *text);
    FUZZ_ASSERT(!(c->set & CONTROL_PROFILE) || (c->profile && *c->profile));
    FUZZ_ASSERT(!(c->set & CONTROL_SHARE) || (c->share_ppm && c->share_ppm <= PPM));
    FUZZ_ASSERT(!(c->set & CONTROL_MEMORY) || c->memory || (c->memory_ppm && c->memory_ppm <= PPM));
    FUZZ_ASSERT(!(c->set & CONTROL_QUANTUM) || c->quantum_us <= SCHED_QUANTUM_MAX_NS / 1000);
    FUZZ_ASSERT(!(c->set & CONTROL_PRIORITY) || c->priority <= PROFILE_HIGH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) change_error = NULL, policy_error = NULL, empty_error = NULL;
    g_autofree char *text = g_memdup2(data, size); /* as long as it is, and no NUL after it */
    SchedPolicy policy = SCHED_EXCLUSIVE;
    ControlChange c = { 0 };

    if (api_body_change(text, size, &c, &change_error)) {
        check_change(&c);
    } else {
        check_error(change_error);
    }
    control_change_clear(&c);
    if (api_body_policy(text, size, &policy, &policy_error)) {
        FUZZ_ASSERT(policy <= SCHED_EXCLUSIVE);
    } else {
        check_error(policy_error);
    }
    if (!api_body_empty(text, size, &empty_error)) {
        check_error(empty_error);
    }
    return 0;
}
