/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpud.conf, all of it optional:
 *
 *   [vgpud]
 *   sandbox = on | off           off: renderers run with vgpud's rights
 *   gpus = auto | software | all auto: render nodes, software where there are none; software: leave
 *                                render nodes alone; all: software as well, when no node has room
 *   group = vgpu                 who may use a socket in /run/vgpu
 *   policy = best-effort | equal-share | fixed-share | exclusive
 *   vms-per-user = 256           of users who are not admin
 *   connections-per-user = 512
 *   [renderer]
 *   path = /usr/libexec/vgpu/vgpu-renderer
 *   vulkan-layer = /usr/lib/vgpu/libVkLayer_vgpu.so
 *   kind = auto | virgl | 2d | null
 *   zygote = on | off            see zygote.h
 *   memory-overhead = 512M       host memory for driver and compiler
 *   uid-base = 2130706432        host ids of renderers, 4096 from there, see ids.h
 *   environment = KEY=VALUE;...
 *   [gpu NAME]                   name or PCI address
 *   memory = 8G                  what there is to share
 *   policy = fixed-share         else the one of [vgpud]
 *   [group NAME]                 what a VM may name in place of a GPU
 *   gpus = gpu0, 0000:03:00.0    the one of these with most free memory
 *   [http]                       see remote.h
 *   listen = 127.0.0.1:9843      TCP beside the Unix socket; needs the next three
 *   certificate = FILE           PEM
 *   key = FILE                   PEM
 *   tokens = FILE                see tokens.h
 *   timeout = 10s                for a request to come in
 *   [roles]                      see roles.h
 *   admin = alice, @wheel        users and @groups
 *   operator = @helpdesk
 *   tenant = @vgpu
 */
#ifndef VGPUD_CONFIG_H
#define VGPUD_CONFIG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "gpu.h"
#include "ini.h"

#define CONFIG_FOLDER "/etc/vgpu"

/* Who has a role; ids are filled in by roles_resolve. */
typedef struct ConfigRole {
    char **names; /* NULL: not written */
    GArray *uids, *gids;
} ConfigRole;

typedef struct Config {
    bool sandbox, zygote;
    GpuKinds gpus;
    uint32_t user_vms, user_connections; /* at most, of one who is not admin */
    char *group;
    char *renderer;     /* path, NULL: found beside vgpud */
    char *vulkan_layer; /* the same of the Vulkan layer */
    char *record;       /* folder for recordings, NULL: none are made */
    char *kind;
    uint64_t memory_overhead; /* bytes */
    uint32_t uid_base;
    char **environment;                                            /* KEY=VALUE, may be NULL */
    GHashTable *gpu_memory;                                        /* name -> uint64_t * */
    SchedPolicy policy;                                            /* of GPUs that have no other */
    GHashTable *gpu_policy;                                        /* name -> SchedPolicy */
    GHashTable *gpu_groups;                                        /* name -> char **, GPUs */
    char *http_listen, *http_certificate, *http_key, *http_tokens; /* NULL: not written */
    uint32_t http_timeout_s;
    ConfigRole admin, operator, tenant;
    GHashTable *user_names; /* uid -> name, of those the roles name */
    GHashTable *group_ids;  /* name -> gid, of those the profiles name */
} Config;

Config *config_new(void);
void config_free(Config *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)

bool config_add(Config *config, const Ini *ini, GError **error);

/* FOLDER/vgpud.conf if it is there. */
bool config_add_folder(Config *config, const char *folder, GError **error);

bool config_kind_valid(const char *kind);

/* Puts memory=, policy= and groups into the GPUs; warns of names that no GPU has. */
void config_apply(const Config *config, GPtrArray *gpus);

#endif
