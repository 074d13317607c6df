# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# QEMU with our device.  One source tree and one build folder in the cache;
# hw/display/vgpu and include/vgpu are copied into the tree by content, so only
# what changed is compiled again.  Each result is kept under the hash of what
# went into it: a fresh clone of the same commit builds nothing.

QEMU_SOURCE=${VGPU_QEMU_SOURCE:-}     # another tree than Debian's
QEMU_SANITIZE=${VGPU_QEMU_SANITIZE:-} # with ASan and UBSan, and a copy of the tree to itself
QEMU_CONFIGURE=(
    --target-list=x86_64-softmmu --without-default-features --enable-tcg --enable-kvm
    --enable-pixman --enable-opengl --enable-virglrenderer --enable-vnc --enable-vhost-user
    --enable-sdl --enable-gtk --enable-fdt=system --enable-slirp --enable-virtfs --enable-attr
    --enable-tools --enable-png --enable-vnc-jpeg --enable-seccomp
    --firmwarepath=/usr/share/qemu:/usr/share/seabios:/usr/lib/ipxe/qemu
    --disable-docs --disable-install-blobs --disable-werror --disable-debug-info
    "--cc=ccache gcc" "--cxx=ccache g++"
)
# -O1 and lines for the traces: what optimization takes away cannot be found
[ -z "$QEMU_SANITIZE" ] || QEMU_CONFIGURE+=(--enable-asan --enable-ubsan --disable-sdl --disable-gtk
    --disable-slirp --disable-virtfs -Doptimization=1 --extra-cflags=-g1)

# Runs in the toolbox, as all of these, where a command that fails ends the step.
# Downloads Debian's source package and unpacks it.
qemu_source_make() {
    local lists=$VGPU_CACHE/apt work dir
    [ -n "$QEMU_SOURCE" ] && return 0
    [ -e "$VGPU_CACHE/qemu-src" ] && return 0
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
    local opts=(-o "Dir::State::Lists=$lists/lists" -o "Dir::Cache=$lists/cache" -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false)
    # the toolbox knows where sources are; a Debian 13 machine's apt configuration need not
    if [ -z "${VGPU_IN_TOOLBOX:-}" ]; then
        apt_sources "$TOOLBOX_SUITE" | sed 's/^deb /deb-src /' > "$lists/sources.list"
        [ -s "$lists/sources.list" ]
        opts+=(-o "Dir::Etc::SourceList=$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null)
    fi
    work=$VGPU_CACHE/qemu-src.tmp
    rm -rf "$work"
    mkdir -p "$work"
    apt-get "${opts[@]}" update
    (cd "$work" && apt-get "${opts[@]}" source --only-source -t trixie qemu)
    dir=$(find "$work" -mindepth 1 -maxdepth 1 -type d -name 'qemu-*' | head -n 1)
    rm -rf "${VGPU_CACHE:?}/$(basename "${dir:?}")"
    mv "$dir" "$VGPU_CACHE/"
    ln -sfn "$(basename "$dir")" "$VGPU_CACHE/qemu-src"
    rm -rf "$work"
}

qemu_tree() {
    if [ -n "$QEMU_SOURCE" ]; then
        echo "$QEMU_SOURCE"
    else
        echo "$VGPU_CACHE/$(readlink "$VGPU_CACHE/qemu-src")${QEMU_SANITIZE:+-sanitize}"
    fi
}

# The one with sanitizers takes 20 minutes: other builds wait for the tree no longer than a copy takes.
qemu_tree_copy() {
    local tree
    tree=$(qemu_tree)
    [ -d "$tree" ] && return 0
    rm -rf "$tree.tmp"
    cp -a --reflink=auto "${tree%-sanitize}" "$tree.tmp"
    mv "$tree.tmp" "$tree"
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
    tree=$(qemu_tree)
    out=$(qemu_dir)
    [ -x "$out/qemu-system-x86_64" ] && return 0
    build=$(qemu_build_dir)
    qemu_sync "$tree"
    mkdir -p "$build"
    if [ ! -e "$build/build.ninja" ]; then
        (cd "$build" && "$tree/configure" "${QEMU_CONFIGURE[@]}")
    fi
    ninja -C "$build" qemu-system-x86_64 qemu-img vgpu-qtests
    rm -rf "$out.tmp"
    mkdir -p "$out.tmp"
    cp "$build/qemu-system-x86_64" "$build/qemu-img" "$out.tmp/"
    find "$build/tests/qtest/vgpu" -maxdepth 1 -type f -executable -exec cp {} "$out.tmp/" \;
    mv "$out.tmp" "$out"
    # keep the ten used last, and whatever another checkout may be running
    find "$VGPU_CACHE" -maxdepth 1 -type d -name 'qemu-????????????' -printf '%T@ %p\n' |
        sort -rn | tail -n +11 | awk -v then="$(($(date +%s) - 86400))" '$1 < then' | cut -d' ' -f2- | xargs -r rm -rf
}

# Runs in the toolbox
qemu_make() {
    with_lock qemu qemu_source_make
    [ -z "$QEMU_SANITIZE" ] || with_lock qemu qemu_tree_copy
    with_lock "qemu${QEMU_SANITIZE:+-sanitize}" qemu_make_locked
}
