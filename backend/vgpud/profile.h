/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Profiles: what a VM may take of a GPU.
 *
 * A profile is a group of /etc/vgpu/profiles.d/NAME.conf:
 *
 *   [workstation]
 *   memory = 2G              bytes (K, M, G, T) or a percentage of the GPU
 *   share = 25%              of the GPU's time; default: as memory's
 *   cpus = 2                 host CPUs of the renderer, or "all"
 *
 * Read and checked, but not enforced yet: idle-timeout.
 */
#ifndef VGPUD_PROFILE_H
#define VGPUD_PROFILE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ini.h"

#define PROFILE_MEMORY_MIN (16ull * 1024 * 1024) /* less holds no screen and no context */
#define PROFILE_DEFAULT    "full"

enum {
    PROFILE_API_GL = 1 << 0,
    PROFILE_API_VULKAN = 1 << 1,
};

typedef enum ProfilePriority { PROFILE_LOW, PROFILE_NORMAL, PROFILE_HIGH } ProfilePriority;

typedef struct Profile {
    char *name;
    char *origin;          /* "FILE:LINE" or "built in" */
    uint64_t memory_bytes; /* 0: memory_ppm counts */
    uint32_t memory_ppm;   /* of the GPU's memory */
    uint32_t share_ppm;    /* of the GPU's time; 0: as memory */
    ProfilePriority priority;
    uint64_t quantum_us;            /* 0: the GPU's default */
    uint32_t apis;                  /* PROFILE_API_* */
    uint32_t displays;              /* 1 to 16 */
    uint32_t max_width, max_height; /* pixels, 0: no bound */
    uint32_t frame_rate_limit;      /* per second, 0: no bound */
    uint32_t max_contexts;          /* 0: no bound */
    uint32_t cpus;                  /* 0: "all", or by share on a software GPU */
    bool cpus_all;                  /* cpus=all was written */
    bool exclusive;                 /* isolation=exclusive: no other VM on its GPU */
    bool strict;                    /* isolation=strict: while it has work on the GPU no other VM has */
    uint64_t hang_timeout_us;
    uint64_t idle_timeout_us; /* 0: never */
    char **groups;            /* who may use it; NULL: everybody */
} Profile;

typedef struct ProfileSet {
    GPtrArray *profiles; /* Profile, largest share of memory first, as listed */
} ProfileSet;

ProfileSet *profile_set_new(void); /* with the built-in ones */
void profile_set_free(ProfileSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProfileSet, profile_set_free)

/*
 * Puts one key's value into a profile.  False with *why, a sentence to free,
 * when there is no such key or it does not take that value.
 */
bool profile_set_value(Profile *p, const char *key, const char *value, char **why);

/*
 * Adds the profiles of a file.  One that has the name of a built-in profile
 * takes its place; one that has the name of another file's is an error.
 */
bool profile_set_add(ProfileSet *set, const Ini *ini, GError **error);

/* All *.conf files of a folder, by name; no folder is no profile. */
bool profile_set_add_folder(ProfileSet *set, const char *folder, GError **error);

/* Refuses profiles that need more than the largest GPU has. */
bool profile_set_check(const ProfileSet *set, uint64_t largest_gpu, GError **error);

/* "" is the default one; NULL when there is none of that name. */
const Profile *profile_set_find(const ProfileSet *set, const char *name);

/* "full, half, quarter" */
char *profile_set_names(const ProfileSet *set);

/* What it takes of a GPU with that much memory, bytes: whole MiB. */
uint64_t profile_memory(const Profile *p, uint64_t gpu_memory);
uint32_t profile_share(const Profile *p, uint64_t gpu_memory); /* ppm, 1 up */
/* PROFILE_API_* as apis= writes them. */
const char *profile_apis_text(uint32_t apis);
/* Host CPUs for its renderer, 0: no bound.  online: CPUs there are. */
uint32_t profile_cpus(const Profile *p, uint64_t gpu_memory, bool software, uint32_t online);
/* The same with another share of the GPU's time than the profile's. */
uint32_t profile_cpus_by_share(const Profile *p, uint32_t share_ppm, bool software, uint32_t online);

#endif
