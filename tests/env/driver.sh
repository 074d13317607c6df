# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The guest driver, built as its users build it: out of tree, against packaged
# kernel headers.  Runs in the toolbox.

# what the module is made of: not vgpu-smi, the package and the Vulkan layer
driver_sources() {
    (cd "$VGPU_TOP" && ls guest-driver/Kbuild guest-driver/dkms.conf guest-driver/*.[ch] include/vgpu/*.h)
}

# Where it is built: for all checkouts, so that one builds only what another did not.
# tests/env/driver has the lock.
driver_build_dir() {
    echo "$VGPU_CACHE/driver-build-$(hash_of "kernels:$(kernels_dir) toolbox:$(toolbox_dir)")"
}

# driver_mark KIND WHAT...: names that WHAT has passed, for a month
driver_mark() {
    local dir
    dir=$(driver_build_dir)/passed
    mkdir -p "$dir"
    find "$dir" -type f -mtime +30 -delete
    echo "$dir/$1-$(hash_of "${@:2}")"
}

# driver_sync DIR: a copy to build in, which keeps the times of what is the same
driver_sync() {
    mkdir -p "$1"
    (cd "$VGPU_TOP" && driver_sources | rsync -r --checksum --files-from=- . "$1/")
    # what has gone from the checkout
    comm -13 <(driver_sources | LC_ALL=C sort) \
        <(cd "$1" && find guest-driver include -name '*.[ch]' ! -name '*.mod.c' ! -name '.*' | LC_ALL=C sort) |
        (cd "$1" && xargs -r rm -f)
}

# Things that kbuild says of the headers that are not this system's own.
DRIVER_NOISE='the compiler differs from the one used to build the kernel|The kernel was built by:|You are using:|Skipping BTF generation|pahole version differs'

# Sparse 0.6.4 lags behind the newest kernel's headers in these two.
DRIVER_SPARSE="sparse -Wsparse-error -D__typeof_unqual__=__typeof__ '-D__builtin_strlen(s)=(sizeof(s) - 1)'"

# driver_build SUITE: against that suite's kernel, with every warning there is
# (W=1) and sparse (C=1), none of which may say anything.  What passed once, in
# whichever checkout, is not built again until a source or the kernel changes.
driver_build() {
    local kernel dir key log
    kernel=$(kernels_dir)/$1
    dir=$(driver_build_dir)/$1
    log=$dir.log
    key=$(driver_mark "$1" "kernel:$kernel" "$(declare -f driver_build) $DRIVER_SPARSE $DRIVER_NOISE" \
        "$(cd "$VGPU_TOP" && driver_sources | xargs sha256sum)")
    [ ! -e "$key" ] || return 0
    driver_sync "$dir"
    if make -C "$kernel/build" "M=$dir/guest-driver" CC="ccache gcc" W=1 C=1 CHECK="$DRIVER_SPARSE" KCFLAGS=-Werror \
        -j"$(nproc)" modules > "$log" 2>&1 && ! grep -vE "$DRIVER_NOISE" "$log" | grep -iE 'warning|error'; then
        touch "$key"
        return
    fi
    grep -vE "$DRIVER_NOISE" "$log" | tail -n 40
    # or the next run would not hear of what was compiled with a warning
    find "$dir/guest-driver" -name '*.o' -delete
    return 1
}

# the kernel's own style, as its maintainers would ask for it; once for each
# content, as above
driver_checkpatch() {
    local f ignore key rc=0
    key=$(driver_mark style "$(declare -f driver_checkpatch) $(kernels_dir)" "$(cd "$VGPU_TOP" && sha256sum guest-driver/{,*/}*.[ch])")
    [ ! -e "$key" ] || return 0
    # in a folder of its own: it leaves a list there of the names that the kernel has
    cd "$(kernels_dir)/checkpatch" || return
    for f in "$VGPU_TOP"/guest-driver/{,*/}*.[ch]; do
        case $f in
        # what a driver in the kernel's own tree need not ask
        */vgpu_compat.h) ignore=(--ignore LINUX_VERSION_CODE,CONSTANT_COMPARISON) ;;
        # tracepoints have an indentation of their own
        */vgpu_trace.h) ignore=(--ignore PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE) ;;
        # programs: the names and types of libc, EGL and Vulkan; spacing is clang-format's
        */guest-driver/*/*) ignore=(--ignore CAMELCASE,PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,SPACING,OPEN_ENDED_LINE,VOLATILE) ;;
        *) ignore=() ;;
        esac
        perl checkpatch.pl --no-tree --root="$(echo ../trixie/usr/src/*-common)" --strict --terse --no-summary --show-types \
            "${ignore[@]}" -f "$f" || rc=1
    done
    [ $rc != 0 ] || touch "$key"
    return $rc
}

# ---- as a user installs it by hand ----

# driver_install_tree: every file and link of a root, with its content
driver_install_tree() {
    (cd "$1" && find . -type f -exec sha256sum {} + -o -type l -printf '%p -> %l\n' | LC_ALL=C sort)
}

# make install and make uninstall in a root of their own, with the module that
# driver_build has made: what comes is all there, what goes leaves nothing
driver_install() {
    local kernel dir root kver opts before f
    kernel=$(kernels_dir)/trixie
    kver=$(cat "$kernel/version")
    dir=$(driver_build_dir)/trixie
    root=$(mktemp -d) || return
    # the same words as driver_build: nothing is compiled again
    opts=("KVER=$kver" "KDIR=$kernel/build" "DESTDIR=$root" CC="ccache gcc" W=1 C=1 "CHECK=$DRIVER_SPARSE" KCFLAGS=-Werror)
    (cd "$VGPU_TOP" && driver_package_sources | rsync -r --checksum --files-from=- . "$dir/")
    mkdir -p "$root/lib/modules/$kver/kernel"
    touch "$root/lib/modules/$kver"/modules.{order,builtin,builtin.modinfo}
    depmod -b "$root" "$kver"
    before=$(driver_install_tree "$root")
    make -s -C "$dir/guest-driver" "${opts[@]}" install || return
    for f in "lib/modules/$kver/updates/vgpu.ko" usr/lib/modprobe.d/vgpu.conf usr/share/initramfs-tools/hooks/vgpu \
        usr/local/bin/vgpu-smi usr/local/share/man/man1/vgpu-smi.1 \
        usr/local/lib/vgpu/libVkLayer_vgpu_memory.so usr/local/share/vulkan/implicit_layer.d/VkLayer_vgpu_memory.json; do
        [ -s "$root/$f" ] || { echo "make install did not make $f"; return 1; }
    done
    f=$(jq -r .layer.library_path "$root/usr/local/share/vulkan/implicit_layer.d/VkLayer_vgpu_memory.json")
    [ -s "$root$f" ] || { echo "the Vulkan layer's manifest names $f, which is not there"; return 1; }
    # so that it comes first, where both can have the device
    modprobe -d "$root" -S "$kver" --show-depends vgpu 2> /dev/null | grep -q updates/vgpu.ko || {
        echo "modprobe does not find vgpu in updates"
        return 1
    }
    grep -q '^softdep virtio_gpu pre: vgpu$' "$root/usr/lib/modprobe.d/vgpu.conf" || { echo "there is no softdep"; return 1; }
    make -s -C "$dir/guest-driver" "${opts[@]}" uninstall > /dev/null || return
    diff <(echo "$before") <(driver_install_tree "$root") || { echo "make uninstall does not put everything back"; return 1; }
    rm -rf "$root"
}

# ---- the package ----

driver_package_sources() {
    (cd "$VGPU_TOP" && find guest-driver include/vgpu -type f ! -name '*.o' ! -name '*.ko' ! -name '*.mod' ! -name '*.mod.c' \
        ! -name '*.cmd' ! -name '*~' ! -name modules.order ! -name '*.so' ! -name Module.symvers ! -path '*/smi/vgpu-smi' \
        ! -path '*/debian/vgpu-guest-dkms/*' | LC_ALL=C sort)
}

driver_package_key() {
    hash_of "$(declare -f driver_package_make_locked)" "$(cd "$VGPU_TOP" && driver_package_sources | xargs sha256sum)" "$(toolbox_dir)"
}

# vgpu-guest-dkms_VERSION_amd64.deb of this checkout's sources
driver_package() {
    echo "$VGPU_CACHE/driver-package-$(driver_package_key)/vgpu-guest-dkms.deb"
}

# In the toolbox: dpkg-buildpackage in a copy, as anybody would who has the sources
driver_package_make_locked() {
    local out work=$VGPU_CACHE/driver-package.work
    out=$(dirname "$(driver_package)")
    [ ! -e "$out/vgpu-guest-dkms.deb" ] || return 0
    rm -rf "$work"
    mkdir -p "$work" "$out"
    (cd "$VGPU_TOP" && driver_package_sources | tar -cf - -T -) | tar -xf - -C "$work"
    (cd "$work/guest-driver" && dpkg-buildpackage --build=binary --no-sign) || return 1
    mv "$work"/vgpu-guest-dkms_*.deb "$out/vgpu-guest-dkms.deb"
    rm -rf "$work"
    find "$VGPU_CACHE" -maxdepth 1 -type d -name 'driver-package-????????????' -printf '%T@ %p\n' |
        sort -rn | tail -n +6 | cut -d' ' -f2- | xargs -r rm -rf
}

driver_package_make() {
    with_lock driver-package driver_package_make_locked
}

# what is in it, and that Debian 12 can take it
driver_package_check() {
    local deb list f
    f=$(driver_package_make 2>&1) || { tail -n 30 <<< "$f"; return 1; }
    deb=$(driver_package)
    list=$(dpkg-deb -c "$deb" | awk '{ print $6 }')
    for f in usr/bin/vgpu-smi usr/share/man/man1/vgpu-smi.1.gz usr/lib/vgpu/libVkLayer_vgpu_memory.so \
        usr/share/vulkan/implicit_layer.d/VkLayer_vgpu_memory.json usr/lib/modprobe.d/vgpu.conf usr/share/initramfs-tools/hooks/vgpu \
        usr/src/vgpu-guest-0.1.0/dkms.conf usr/src/vgpu-guest-0.1.0/guest-driver/vgpu_drv.c usr/src/vgpu-guest-0.1.0/include/vgpu/virtio.h; do
        grep -qxF "./$f" <<< "$list" || { echo "the package has no $f"; return 1; }
    done
    # dkms 3.0.10 and libc 2.36
    [ "$(dpkg-deb -f "$deb" Depends | tr -d ' ' | tr , '\n' | sed -n 's/^libc6(>=\([0-9.]*\))/\1\n2.36/p' | sort -V | tail -n 1)" = 2.36 ] &&
        dpkg-deb -f "$deb" Depends | grep -q 'dkms (>= 3.0.10)' || {
        echo "Debian 12 does not have what the package wants: $(dpkg-deb -f "$deb" Depends)"
        return 1
    }
    [ "$(dpkg-deb -f "$deb" Version)" = "$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$VGPU_TOP/guest-driver/dkms.conf")" ] || {
        echo "debian/changelog and dkms.conf have different versions"
        return 1
    }
}
