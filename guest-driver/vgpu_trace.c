// SPDX-License-Identifier: GPL-2.0 OR MIT
#include "vgpu_drv.h"

#ifndef __CHECKER__
#define CREATE_TRACE_POINTS
#include "vgpu_trace.h"
#endif
