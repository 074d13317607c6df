# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the guest driver is built against: the kernel headers of each Debian
# suite it is for, unpacked side by side, and the kernel's own checkpatch.  The
# newest kernel of backports is the one there was when the folder was made: to
# take a later one, remove $VGPU_CACHE/kernels-*.

KERNEL_SUITES=(bookworm trixie trixie-backports) # 6.1, 6.12 and the newest
KERNEL_SOURCE=linux-source-6.12

kernels_dir() {
    echo "$VGPU_CACHE/kernels-$(hash_of "${KERNEL_SUITES[*]} $KERNEL_SOURCE $(declare -f kernel_unpack checkpatch_unpack)")"
}

# kernel_unpack DEBS OUT: OUT/build is then what /lib/modules/VERSION/build is
# where the packages are installed, OUT/version names the kernel
kernel_unpack() {
    local deb out=$2 makefile
    mkdir -p "$out"
    for deb in "$1"/linux-{headers,kbuild}-*.deb; do
        dpkg-deb -x "$deb" "$out"
    done
    makefile=$(ls "$out"/usr/src/linux-headers-*-amd64/Makefile)
    sed -i "s#/usr/src/#$out/usr/src/#g" "$makefile"
    ln -s "$(dirname "${makefile#"$out"/}")" "$out/build"
    # newer kernels ask a script whether sparse is there and new enough, which Debian does not package
    for makefile in "$out"/usr/src/linux-headers-*-common/Makefile; do
        if grep -q scripts/checker-valid.sh "$makefile"; then
            printf '#!/bin/sh\n"$1" --version > /dev/null && echo 1\n' > "$(dirname "$makefile")/scripts/checker-valid.sh"
            chmod +x "$(dirname "$makefile")/scripts/checker-valid.sh"
        fi
    done
    sed -n 's/^override KERNELRELEASE = //p' "$out/build/.kernelvariables" > "$out/version"
    [ -s "$out/version" ]
}

# checkpatch_unpack DEBS OUT
checkpatch_unpack() {
    mkdir -p "$2"
    dpkg-deb --fsys-tarfile "$1/$KERNEL_SOURCE"_*.deb 2> /dev/null | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' 2> /dev/null | xz -dc 2> /dev/null |
        tar -x -C "$2" --strip-components=2 --wildcards --occurrence=1 \
            '*/scripts/checkpatch.pl' '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch' || true
    # tar leaves when it has them: who writes to it says that the pipe has broken
    [ -s "$2/const_structs.checkpatch" ]
}

kernels_make_locked() {
    local dir work suite
    dir=$(kernels_dir)
    [ -d "$dir" ] && return 0
    work=$dir.work
    rm -rf "$work" "$dir.tmp"
    for suite in "${KERNEL_SUITES[@]}"; do
        apt_private "$work/$suite" "$suite"
        # the packages of one kernel: linux-headers-amd64 names it
        # shellcheck disable=SC2046
        apt_fetch "$work/$suite" $(APT_CONFIG=$work/$suite/apt.conf apt-cache depends -i --recurse linux-headers-amd64 |
            grep -oE 'linux-(headers|kbuild)-[0-9][a-z0-9.+-]*' | sort -u)
    done
    apt_fetch "$work/trixie" "$KERNEL_SOURCE"
    mkdir -p "$dir.tmp"
    for suite in "${KERNEL_SUITES[@]}"; do
        kernel_unpack "$work/$suite/debs" "$dir.tmp/$suite"
        sed -i "s#$dir.tmp/#$dir/#g" "$dir.tmp/$suite/build/Makefile"
    done
    checkpatch_unpack "$work/trixie/debs" "$dir.tmp/checkpatch"
    rm -rf "$work"
    mv "$dir.tmp" "$dir"
    # another checkout may still use an older one: keep two
    find "$VGPU_CACHE" -maxdepth 1 -type d -name 'kernels-????????????' -printf '%T@ %p\n' |
        sort -rn | tail -n +3 | cut -d' ' -f2- | xargs -r rm -rf
}

# On the host, not in the toolbox
kernels_make() {
    host_install xz-utils
    with_lock kernels kernels_make_locked
}
