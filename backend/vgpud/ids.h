/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's user ids that renderers get when vgpud is root: a range that owns
 * nothing, one id per VM, so that no renderer has rights over another's files,
 * processes or memory, nor over anybody else's.
 *
 * The default lies where systemd gives ids to nobody (1879048192 to 2147352575
 * are unused, see https://systemd.io/UIDS-GIDS) and above what useradd's subuid
 * ranges (to 600100000) and sssd's default mapping (to 2000200000) take.  Not in
 * DynamicUser's range (61184 to 65519): a service may have any id of that.
 */
#ifndef VGPUD_IDS_H
#define VGPUD_IDS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define IDS_COUNT   4096u
#define IDS_DEFAULT 2130706432u /* 0x7f000000 */
#define IDS_MIN     65536u
#define IDS_MAX     (4294967294u - IDS_COUNT)

/* The id of the VM with that slot; base 0: vgpud's own, so 0 again. */
uid_t ids_of_slot(uid_t base, unsigned slot);

/* Who else may have been given ids of this range: a sentence's end, or NULL; to free. */
char *ids_overlap(uid_t base, const char *subuid_file);

/*
 * Tries the range on real processes: base, or 0 with a warning that says what
 * renderers run as then.  For root only; as another user it is always 0.
 */
uid_t ids_choose(uid_t base);

#endif
