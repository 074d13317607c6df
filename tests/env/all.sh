# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$VGPU_TOP/tests/env/toolbox.sh"
. "$VGPU_TOP/tests/env/qemu.sh"
. "$VGPU_TOP/tests/env/build.sh"
. "$VGPU_TOP/tests/env/image.sh"
. "$VGPU_TOP/tests/env/fetch.sh"
. "$VGPU_TOP/tests/env/engine.sh"
. "$VGPU_TOP/tests/env/kernels.sh"
. "$VGPU_TOP/tests/env/driver.sh"
. "$VGPU_TOP/tests/env/layer.sh"
. "$VGPU_TOP/tests/env/kvm.sh"
. "$VGPU_TOP/tests/env/prepare.sh"
