# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# QEMU with our device.  One source tree and one build folder in the cache;
# hw/display/vgpu and include/vgpu are copied into the tree by content, so only
# what changed is compiled again.  Each result is kept under the hash of what
# went into it: a fresh clone of the same commit builds nothing.

QEMU_SOURCE=${VGPU_QEMU_SOURCE:-}     # another tree than Debian's
QEMU_CONFIGURE=(
    --target-list=x86_64-softmmu --without-default-features --enable-tcg --enable-kvm
    --enable-pixman --enable-opengl --enable-virglrenderer --enable-vnc --enable-vhost-user
    --enable-sdl --enable-gtk --enable-fdt=system --enable-slirp --enable-virtfs --enable-attr
    --enable-tools --enable-png --enable-vnc-jpeg --enable-seccomp
    --firmwarepath=/usr/share/qemu:/usr/share/seabios:/usr/lib/ipxe/qemu
    --disable-docs --disable-install-blobs --disable-werror --disable-debug-info
    "--cc=ccache gcc" "--cxx=ccache g++"
)

# Runs in the toolbox.  Downloads Debian's source package and unpacks it.
qemu_source_make() {
    local lists=$VGPU_CACHE/apt work dir
    [ -n "$QEMU_SOURCE" ] && return 0
    [ -e "$VGPU_CACHE/qemu-src" ] && return 0
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
    local opts=(-o "Dir::State::Lists=$lists/lists" -o "Dir::Cache=$lists/cache" -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false)
    work=$VGPU_CACHE/qemu-src.tmp
    rm -rf "$work"
    mkdir -p "$work"
    apt-get "${opts[@]}" update || return 1
    (cd "$work" && apt-get "${opts[@]}" source --only-source -t trixie qemu) || return 1
    dir=$(find "$work" -mindepth 1 -maxdepth 1 -type d -name 'qemu-*' | head -n 1)
    rm -rf "${VGPU_CACHE:?}/$(basename "${dir:?}")"
    mv "$dir" "$VGPU_CACHE/" || return 1
    ln -sfn "$(basename "$dir")" "$VGPU_CACHE/qemu-src"
    rm -rf "$work"
}

qemu_tree() {
    if [ -n "$QEMU_SOURCE" ]; then echo "$QEMU_SOURCE"; else echo "$VGPU_CACHE/$(readlink "$VGPU_CACHE/qemu-src")"; fi
}

# what the result is made of
qemu_key() {
    hash_of "$VGPU_TOP/hw" "$VGPU_TOP/include" "$VGPU_TOP/tests/qtest" \
        "tree:$(qemu_tree)" "${QEMU_CONFIGURE[*]}" "$TOOLBOX_SUITE 1"
}

# the folder with qemu-system-x86_64, qemu-img and the qtest programs
qemu_dir() {
    echo "$VGPU_CACHE/qemu-$(qemu_key)"
}

# where it is compiled
qemu_build_dir() {
    echo "$VGPU_CACHE/qemu-build-$(hash_of "tree:$(qemu_tree)" "${QEMU_CONFIGURE[*]}" "$TOOLBOX_SUITE")"
}

# copy_if_changed FROM TO: keeps the time of what has the same content
copy_if_changed() {
    mkdir -p "$2"
    rsync -r --checksum --delete --exclude '*~' "$1/" "$2/"
}

# hook FILE ANCHOR LINE: adds LINE after the first line that contains ANCHOR
hook() {
    grep -qxF -- "$3" "$1" && return 0
    grep -qF -- "$2" "$1" || { echo "$1 has no line '$2': is this a QEMU 10.0 tree?" >&2; return 1; }
    awk -v a="$2" -v l="$3" '{ print } !done && index($0, a) { print l; done = 1 }' "$1" > "$1.vgpu"
    mv "$1.vgpu" "$1"
}

# Puts our folder into the tree.  All that is touched outside of it is here:
# one line each in two build files and Kconfig, and one for our qtests.
qemu_sync() {
    local tree=$1
    copy_if_changed "$VGPU_TOP/hw/display/vgpu" "$tree/hw/display/vgpu"
    copy_if_changed "$VGPU_TOP/include/vgpu" "$tree/include/vgpu"
    copy_if_changed "$VGPU_TOP/tests/qtest" "$tree/tests/qtest/vgpu"
    grep -q '^source vgpu/Kconfig$' "$tree/hw/display/Kconfig" || echo 'source vgpu/Kconfig' >> "$tree/hw/display/Kconfig"
    hook "$tree/hw/display/meson.build" "system_ss.add(when: 'CONFIG_OMAP'" "subdir('vgpu')"
    hook "$tree/meson.build" "    'hw/display'," "    'hw/display/vgpu',"
    grep -q "^subdir('vgpu')$" "$tree/tests/qtest/meson.build" || echo "subdir('vgpu')" >> "$tree/tests/qtest/meson.build"
}

qemu_make_locked() {
    local tree build out
    qemu_source_make || return 1
    tree=$(qemu_tree)
    out=$(qemu_dir)
    [ -x "$out/qemu-system-x86_64" ] && return 0
    build=$(qemu_build_dir)
    qemu_sync "$tree" || return 1
    mkdir -p "$build"
    if [ ! -e "$build/build.ninja" ]; then
        (cd "$build" && "$tree/configure" "${QEMU_CONFIGURE[@]}") || return 1
    fi
    ninja -C "$build" qemu-system-x86_64 qemu-img vgpu-qtests || return 1
    rm -rf "$out.tmp"
    mkdir -p "$out.tmp"
    cp "$build/qemu-system-x86_64" "$build/qemu-img" "$out.tmp/" || return 1
    find "$build/tests/qtest/vgpu" -maxdepth 1 -type f -executable -exec cp {} "$out.tmp/" \;
    mv "$out.tmp" "$out"
    # keep the ten used last, and whatever another checkout may be running
    find "$VGPU_CACHE" -maxdepth 1 -type d -name 'qemu-????????????' -printf '%T@ %p\n' |
        sort -rn | tail -n +11 | awk -v then="$(($(date +%s) - 86400))" '$1 < then' | cut -d' ' -f2- | xargs -r rm -rf
}

# Runs in the toolbox
qemu_make() {
    with_lock qemu qemu_make_locked
}
