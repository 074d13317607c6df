/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The domain of all errors of vgpud's, for who has a part of it only. */
#include "ini.h"

G_DEFINE_QUARK(vgpud, vgpud_error)
