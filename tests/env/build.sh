# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The host programs (backend/) and their tests, one build folder per checkout.

# build_dir [sanitize|sanitize-threads|fuzz]
build_dir() {
    echo "$VGPU_CACHE/build-$(hash_of "path:$VGPU_TOP")${1:+-$1}"
}

# Runs in the toolbox.  backend_make [sanitize|sanitize-threads|fuzz]: with ASan and
# UBSan; with TSan; with the first two, clang and its coverage, the libFuzzer targets
backend_make() {
    local dir what opts=()
    dir=$(build_dir "$@")
    [ "${1:-}" = sanitize ] && opts+=(-Db_sanitize=address,undefined)
    [ "${1:-}" = sanitize-threads ] && opts+=(-Db_sanitize=thread)
    if [ "${1:-}" = fuzz ]; then
        local -x CC=clang
        what=fuzz-targets
        opts+=(-Db_sanitize=address,undefined -Dfuzz=true -Dc_args=-fsanitize=fuzzer-no-link)
        # gone where another one made QEMU; what needs it is left out then
        [ ! -e "$(qemu_build_dir)/config-host.h" ] || opts+=("-Dqemu_build=$(qemu_build_dir)")
    fi
    if [ ! -e "$dir/build.ninja" ]; then
        rm -rf "$dir"
        meson setup "$dir" "$VGPU_TOP" "-Dqemu_source=$(qemu_tree)" "${opts[@]}"
    fi
    ninja -C "$dir" ${what:+"$what"}
}

# what programs started from here find: sourced inside the toolbox
build_env() {
    local b q
    b=$(build_dir)
    export VGPU_BUILD=$b
    export VGPU_RENDERER=$b/backend/renderer/vgpu-renderer
    export VGPUD=$b/backend/vgpud/vgpud
    PATH=$b/backend/vgpud:$b/backend/vgpuctl:$b/backend/renderer:$PATH
    if [ -e "$VGPU_CACHE/qemu-src" ] || [ -n "${QEMU_SOURCE:-}" ]; then
        # the caller's, if it has one: sources may change while a run goes on
        q=${VGPU_QEMU_DIR:-$(qemu_dir)}
        export VGPU_QEMU_DIR=$q VGPU_QEMU_TREE
        VGPU_QEMU_TREE=$(qemu_tree)
        PATH=$q:$PATH
    fi
    export PATH
}
