# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Guests on our driver: a guest image with two layers on it, put together by
# overlayfs in the guest's initramfs, with memory as the last.
#
#   devel     what a user installs before the package: dkms, gcc, the kernel's
#             headers, and what makes initramfses; once per image
#   driver    vgpu-guest-dkms, installed by dpkg, built by DKMS for the image's
#             kernel; once per content of guest-driver/
#
# Each layer is made by an overlay mount and a chroot, so that it holds what the
# installation has changed and nothing else, and any image gets the driver
# without being made again.

LAYER_PACKAGES=(dkms gcc make libc6-dev initramfs-tools plymouth plymouth-themes zstd intel-gpu-tools)

layer_devel_dir() {
    echo "$VGPU_CACHE/layer-devel-$1-$(hash_of "$(image_dir "$1") ${LAYER_PACKAGES[*]} $(declare -f layer_devel_build layer_initramfs_conf layer_enter layer_image)")"
}

layer_driver_dir() {
    echo "$VGPU_CACHE/layer-driver-$1-$(hash_of "$(layer_devel_dir "$1") $(driver_package) $(declare -f layer_driver_build layer_initrd layer_init layer_enter layer_image)")"
}

# layer_enter IMAGE UPPER LOWER...: mounts the image with the folders on it and
# UPPER for what is written; LAYER_ROOT is the place.  As root, in a mount
# namespace of one's own: it ends with that.
layer_enter() {
    local image=$1 upper=$2 x lower=''
    shift 2
    LAYER_ROOT=$upper.mnt
    mkdir -p "$upper" "$upper.work" "$LAYER_ROOT/root" "$LAYER_ROOT/all"
    mount -o loop,ro "$(image_dir "$image")/root.img" "$LAYER_ROOT/root"
    for x in "$@"; do
        lower=$x:$lower
    done
    mount -t overlay layer -o "lowerdir=$lower$LAYER_ROOT/root,upperdir=$upper,workdir=$upper.work" "$LAYER_ROOT/all"
    LAYER_ROOT=$LAYER_ROOT/all
    mount -t proc proc "$LAYER_ROOT/proc"
    mount --rbind /dev "$LAYER_ROOT/dev"
    for x in run tmp var/lib/apt/lists var/cache; do
        mount -t tmpfs tmpfs "$LAYER_ROOT/$x"
    done
    mkdir -p "$LAYER_ROOT/var/cache/apt/archives/partial" "$LAYER_ROOT/var/cache/debconf"
    if [ -e "$LAYER_ROOT/etc/resolv.conf" ]; then
        mount --bind /etc/resolv.conf "$LAYER_ROOT/etc/resolv.conf"
    fi
    kver=$(basename "$(ls -d "$LAYER_ROOT"/lib/modules/*)")
}

# layer_image FOLDER OUT: a file system of it
layer_image() {
    local kib
    kib=$(du -sk "$1" | cut -f1)
    mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$1" "$2" "$((kib * 5 / 4 + 16 * 1024))k"
}

# A small initramfs, quickly made: what a test's guest has and no more.
layer_initramfs_conf() {
    mkdir -p "$1/etc/initramfs-tools/conf.d"
    printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n' > "$1/etc/initramfs-tools/conf.d/vgpu-test"
    printf '%s\n' virtio_pci virtio_blk ext4 virtio_console 9p 9pnet_virtio overlay > "$1/etc/initramfs-tools/modules"
}

# As root.  layer_devel_build IMAGE OUT
layer_devel_build() {
    local image=$1 out=$2 kver proxy
    layer_enter "$image" "$out/tree"
    proxy=$(apt-config dump Acquire::http::Proxy | sed -n 's/.*"\(.*\)";/\1/p' | head -n 1)
    chroot "$LAYER_ROOT" sh -ec '
        export DEBIAN_FRONTEND=noninteractive
        opts="-o APT::Install-Recommends=false -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none"
        [ -z "$PROXY" ] || opts="$opts -o Acquire::http::Proxy=$PROXY"
        apt-get $opts update
        apt-get $opts install -y "$@"' \
        install "linux-headers-$kver" "${LAYER_PACKAGES[@]}"
    layer_initramfs_conf "$LAYER_ROOT"
    cp "$LAYER_ROOT/usr/src/linux-headers-$kver/.config" "$LAYER_ROOT/boot/config-$kver"
    chroot "$LAYER_ROOT" plymouth-set-default-theme spinner
    chroot "$LAYER_ROOT" update-initramfs -c -k "$kver"
    layer_image "$out/tree" "$out/devel.img"
}

# The guest's /init: as the image's own (tests/env/image.sh), with layers.
layer_init() {
    cat << 'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r m; do $b insmod /mod/$m; done < /mod/order
$b insmod /mod/overlay.ko
n=0
until [ -b /dev/vda -a -b /dev/vdb -a -b /dev/vdc ] || [ $n = 100 ]; do n=$((n + 1)); $b sleep 0.1; done
# who hibernated goes on from there, and not from here
if $b grep -q resume=/dev/vdd /proc/cmdline; then $b cat /sys/class/block/vdd/dev > /sys/power/resume; fi
$b mkdir -p /layer/root /layer/devel /layer/driver /layer/top
$b mount -t ext4 -o ro,noload /dev/vda /layer/root || exec $b sh
$b mount -t ext4 -o ro /dev/vdb /layer/devel
$b mount -t ext4 -o ro /dev/vdc /layer/driver
$b mount -t tmpfs top /layer/top
$b mkdir /layer/top/upper /layer/top/work
$b mount -t overlay root -o lowerdir=/layer/driver:/layer/devel:/layer/root,upperdir=/layer/top/upper,workdir=/layer/top/work /root || exec $b sh
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 boot /root/run/boot
$b mount --move /dev /root/dev
$b umount /sys /proc
exec $b switch_root /root /run/boot/init
INIT
}

# layer_initrd IMAGE OUT: the image's, with another archive behind it: what is in
# both is taken from the later one
layer_initrd() {
    local work=$2.work m
    rm -rf "$work"
    mkdir -p "$work/mod"
    layer_init > "$work/init"
    chmod +x "$work/init"
    m=$(ls "$LAYER_ROOT/lib/modules/$kver"/kernel/fs/overlayfs/overlay.ko*)
    case $m in
    *.xz) xz -dc "$m" > "$work/mod/overlay.ko" ;;
    *) cp "$m" "$work/mod/overlay.ko" ;;
    esac
    (cd "$work" && find . | chroot_cpio "$LAYER_ROOT" "$work") > "$work.cpio"
    cat "$(image_dir "$1")/initrd" "$work.cpio" > "$2"
    rm -rf "$work" "$work.cpio"
}

# As root.  layer_driver_build IMAGE OUT
layer_driver_build() {
    local image=$1 out=$2 kver
    layer_enter "$image" "$out/tree" "$(layer_devel_dir "$image")/tree"
    cp "$(driver_package)" "$LAYER_ROOT/tmp/vgpu-guest-dkms.deb"
    # the stock driver in the initramfs, as where the kernel's configuration is the usual one
    echo virtio_gpu >> "$LAYER_ROOT/etc/initramfs-tools/modules"
    # a user's would go on with the stock driver; a test must not
    chroot "$LAYER_ROOT" dpkg -i /tmp/vgpu-guest-dkms.deb || { cat "$LAYER_ROOT"/var/lib/dkms/vgpu-guest/*/build/make.log; return 1; }
    chroot "$LAYER_ROOT" modinfo -k "$kver" vgpu
    layer_image "$out/tree" "$out/driver.img"
    layer_initrd "$image" "$out/initrd"
    cp "$LAYER_ROOT/boot/initrd.img-$kver" "$out/initramfs"
    rm -rf "$out/tree"
}

layer_make_locked() {
    local kind=$1 image=$2 dir=$3
    [ -d "$dir" ] && return 0
    as_root rm -rf --one-file-system "$dir.tmp"
    mkdir -p "$dir.tmp"
    as_root env "HOME=$HOME" "VGPU_STEP_MARK=${VGPU_STEP_MARK:-}" "VGPU_CACHE=$VGPU_CACHE" "VGPU_LOG=$VGPU_LOG" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin unshare --mount bash -c \
        'set -eE; . "$0/tests/env/all.sh"; trap step_blame ERR; "layer_$1_build" "$2" "$3"' "$VGPU_TOP" "$kind" "$image" "$dir.tmp"
    as_root rm -rf --one-file-system "$dir.tmp"/tree.{mnt,work}
    as_root chmod a+rX "$dir.tmp"
    mv "$dir.tmp" "$dir"
    # another checkout may still use an older one
    find "$VGPU_CACHE" -maxdepth 1 -type d -name "layer-$kind-$image-????????????" -printf '%T@ %p\n' |
        sort -rn | tail -n "+$4" | cut -d' ' -f2- | while read -r dir; do as_root rm -rf --one-file-system "$dir"; done
}

# On the host, not in the toolbox.
layer_devel_make() {
    host_install e2fsprogs xz-utils util-linux
    with_lock "layer-devel-$1" layer_make_locked devel "$1" "$(layer_devel_dir "$1")" 3
}

layer_driver_make() {
    in_toolbox driver_package_make
    with_lock "layer-driver-$1" layer_make_locked driver "$1" "$(layer_driver_dir "$1")" 9
}
