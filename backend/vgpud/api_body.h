/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clients send: bytes to values or to a sentence, and nothing else.
 *
 * A body is one flat JSON object, strictly: no member twice, none unknown, no
 * comments.  The text of a value follows the grammar of the profiles' keys.
 */
#ifndef VGPUD_API_BODY_H
#define VGPUD_API_BODY_H

#include "control.h"

/*
 * {"profile": "half", "share": "30%" or 0.3, "memory": "2G" or bytes, "quantum": "4ms", "priority": "high",
 * "frame_rate_limit": 60, "hang_timeout": "5s"}, at least one of them.  *change is empty before, and needs
 * control_change_clear after, whatever comes out.
 */
bool api_body_change(const char *text, size_t length, ControlChange *change, GError **error);

/* {"policy": "fixed-share"} */
bool api_body_policy(const char *text, size_t length, SchedPolicy *policy, GError **error);

/* Nothing, or {}. */
bool api_body_empty(const char *text, size_t length, GError **error);

#endif
