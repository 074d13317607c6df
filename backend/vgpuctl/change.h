/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KEY=VALUE words as the JSON of a change. */
#ifndef VGPUCTL_CHANGE_H
#define VGPUCTL_CHANGE_H

#include <json-glib/json-glib.h>

/* What "set" may change, and the policies of a GPU; both end with NULL. */
const char *const *change_keys(void);
const char *const *change_policies(void);

/*
 * An object for PATCH /v1/vms/ID.  Which keys there are is checked here, what
 * they may be is vgpud's to say.  NULL with a sentence in *error.
 */
JsonNode *change_parse(char *const *words, int count, GError **error);

/* What is in force now, for people: "desk: profile half, share 30 %, ..."; to free. */
char *change_describe(JsonObject *vm);

#endif
