/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Profile files and vgpud.conf: each text gives values within their bounds, or one sentence with a line. */
#include <stdio.h>

#include "fuzz.h"
#include "vgpud/config.h"
#include "vgpud/gpu.h"
#include "vgpud/profile.h"

static void check_error(const GError *error)
{
    FUZZ_ASSERT(error && error->message && *error->message);
    FUZZ_ASSERT(g_utf8_validate(error->message, -1, NULL));
    FUZZ_ASSERT(!strchr(error->message, '\n'));
}

static void check_profiles(const ProfileSet *set)
{
    for (guint i = 0; i < set->profiles->len; i++) {
        const Profile *p = set->profiles->pdata[i];

        FUZZ_ASSERT(p->name && *p->name);
        FUZZ_ASSERT(p->memory_bytes ? p->memory_bytes >= PROFILE_MEMORY_MIN
                                    : p->memory_ppm && p->memory_ppm <= 1000000);
        FUZZ_ASSERT(p->share_ppm <= 1000000 && p->displays >= 1 && p->displays <= 16);
        FUZZ_ASSERT(profile_set_find(set, p->name) == p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(ProfileSet) set = profile_set_new();
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) error = NULL, other = NULL;
    g_autoptr(Ini) ini = ini_parse("fuzz.conf", (const char *)data, size, &error);

    if (!ini) {
        check_error(error);
        return 0;
    }
    if (profile_set_add(set, ini, &error)) {
        check_profiles(set);
    } else {
        check_error(error);
    }
    if (!config_add(config, ini, &other)) {
        check_error(other);
    }
    return 0;
}
