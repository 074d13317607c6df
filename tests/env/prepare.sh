# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes what is missing, as numbered steps.  With everything there it takes a
# second and prints nothing.

in_toolbox() {
    toolbox_run bash -c 'set -eE; . "$VGPU_TOP/tests/env/all.sh"; trap step_blame ERR; "$@"' toolbox "$@"
}

qemu_ready() {
    local dir
    [ -n "$QEMU_SOURCE" ] || [ -e "$VGPU_CACHE/qemu-src" ] || return 1
    dir=$(qemu_dir)
    [ -x "$dir/qemu-system-x86_64" ] && touch "$dir" # in use: see qemu_make_locked
}

# names what the last good build was made of
backend_mark() {
    echo "$(build_dir)/.made-$(hash_of "$VGPU_TOP/backend" "$VGPU_TOP/include" "$VGPU_TOP/tests/unit" \
        "$VGPU_TOP/tests/backend" "$VGPU_TOP/tests/guest/programs" "$VGPU_TOP/tests/bench" "$VGPU_TOP/meson.build" \
        "$VGPU_TOP/meson_options.txt" "toolbox:$(toolbox_dir)")"
}

backend_ready() {
    [ -e "$(backend_mark)" ]
}

backend_make_marked() {
    local mark
    mark=$(backend_mark)
    in_toolbox backend_make
    rm -f "$(build_dir)"/.made-*
    touch "$mark"
}

# prepare WHAT...: toolbox, qemu, backend, engine, kernels, debian13, debian13-desktop, debian12,
# and driver-debian13 and so on: our driver in that image, with VGPU_DEBUG_KERNEL=1
# for the debug kernel as well.  Sets STEP_TOTAL
# to what is missing plus $STEP_MORE (steps the caller will add).
# VGPU_NO_BUILD=1 takes what is there (VGPU_QEMU_DIR names the QEMU to use).
prepare() {
    local what todo=()
    [ -z "${VGPU_NO_BUILD:-}" ] || return 0
    if [ -n "${VGPU_IN_TOOLBOX:-}" ]; then
        # who is in the toolbox already cannot make the toolbox, the engine or an image
        for what in "$@"; do
            case $what in
            qemu) qemu_ready || with_lock build in_toolbox qemu_make >> "$VGPU_LOG" 2>&1 || die "building QEMU failed: see $VGPU_LOG" ;;
            backend) backend_ready || with_lock build backend_make_marked >> "$VGPU_LOG" 2>&1 || die "building backend/ failed: see $VGPU_LOG" ;;
            driver-*) [ -e "$(driver_initrd "${what#driver-}")" ] || die "the guest driver is not in the image ${what#driver-} yet: run tests/boot --driver vgpu --image ${what#driver-} --run true outside of tests/shell once" ;;
            kernels) [ -d "$(kernels_dir)" ] || die "there are no kernel headers yet: run tests/run driver outside of tests/shell once" ;;
            debian*) [ -d "$(image_dir "$what")" ] || die "there is no $what guest image yet: run tests/boot --image $what --run true outside of tests/shell once" ;;
            esac
        done
        return 0
    fi
    for what in "$@"; do
        case $what in
        toolbox) toolbox_ready || todo+=("$what") ;;
        qemu) qemu_ready || todo+=("$what") ;;
        backend) backend_ready || todo+=("$what") ;;
        engine) [ -d "$(engine_dir)" ] || todo+=("$what") ;;
        kernels) [ -d "$(kernels_dir)" ] || todo+=("$what") ;;
        driver-*)
            [ -d "$(layer_devel_dir "${what#driver-}")" ] || todo+=("devel-${what#driver-}")
            [ -d "$(layer_driver_dir "${what#driver-}")" ] || todo+=("$what")
            [ -n "${VGPU_DEBUG_KERNEL:-}" ] || continue
            [ -d "$(debug_dir)" ] || todo+=(debug)
            [ -d "$(debug_driver_dir "${what#driver-}")" ] || todo+=("debug-${what#driver-}")
            ;;
        debian*) [ -d "$(image_dir "$what")" ] || todo+=("$what") ;;
        esac
    done
    STEP_TOTAL=$((${#todo[@]} + ${STEP_MORE:-0}))
    for what in "${todo[@]}"; do
        case $what in
        toolbox) step "$(toolbox_title)" toolbox_make ;;
        qemu) step "QEMU 10.0 with our device (first time 5-10 min)" in_toolbox qemu_make ;;
        backend) step "renderer, daemon and tools" backend_make_marked ;;
        engine) step "an inference engine: llama.cpp from Debian packages" engine_make ;;
        kernels) step "kernel headers that the guest driver is built against" kernels_make ;;
        devel-*) step "compiler and kernel headers for the guest image ${what#devel-}" layer_devel_make "${what#devel-}" ;;
        driver-*) step "our driver in the guest image ${what#driver-}" layer_driver_make "${what#driver-}" ;;
        debug) step "a kernel with KASAN, lockdep and kmemleak (10-15 min)" debug_make ;;
        debug-*) step "our driver for that kernel" debug_driver_make "${what#debug-}" ;;
        debian*) step "guest image $what (2-3 min)" image_make "$what" ;;
        esac
    done
}
