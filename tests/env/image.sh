# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The guest images: a Debian root as ext4, its stock kernel, and an initramfs
# of one shell and the modules that reach the root.  What runs in the guest
# comes from outside at each boot (tests/guest/init, over 9p), so a new test
# never needs a new image.

# image_packages NAME
image_packages() {
    echo linux-image-amd64 busybox-static cpio udev kmod procps mount
    echo libgl1-mesa-dri libegl1 libgles2 libgbm1 libgl1 libglx-mesa0
    echo mesa-utils mesa-utils-bin kmscube glmark2-drm glmark2-es2-drm libdrm-tests
    echo mesa-vulkan-drivers vulkan-tools
    # an image of its own, so that the others stay small
    [ "$1" != debian13-desktop ] || echo weston xserver-xorg-core x11-xserver-utils x11-apps xdotool mesa-opencl-icd clinfo
}

image_modules=(virtio_pci virtio_blk ext4 virtio_console 9p 9pnet_virtio crc32c_generic)

image_suite() {
    case $1 in
    debian13 | debian13-desktop) echo trixie ;;
    debian12) echo bookworm ;;
    *) die "unknown guest image '$1': there are debian12, debian13 and debian13-desktop" ;;
    esac
}

image_dir() {
    echo "$VGPU_CACHE/guest-$1-$(hash_of "$(image_suite "$1") $(image_packages "$1") ${image_modules[*]} $(declare -f image_packages image_initrd image_build chroot_cpio)")"
}

# image_initrd ROOT OUT: busybox, the modules that reach the root, and a script
image_initrd() {
    local root=$1 out=$2 work kver m f
    work=$(mktemp -d)
    kver=$(basename "$(ls -d "$root"/lib/modules/*)")
    mkdir -p "$work"/{bin,proc,sys,dev,root,mod}
    cp "$root/bin/busybox" "$work/bin/busybox"
    for m in "${image_modules[@]}"; do
        chroot "$root" modprobe -S "$kver" --show-depends "$m" 2>/dev/null || true
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$work/list"
    while read -r f; do
        case $f in
        *.xz) xz -dc "$root$f" > "$work/mod/$(basename "$f" .xz)" ;;
        *) cp "$root$f" "$work/mod/" ;;
        esac
        basename "$f" .xz >> "$work/mod/order"
    done < "$work/list"
    rm "$work/list"
    cat > "$work/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r m; do $b insmod /mod/$m; done < /mod/order
n=0
until [ -b /dev/vda ] || [ $n = 100 ]; do n=$((n + 1)); $b sleep 0.1; done
$b mount -t ext4 -o rw,noatime /dev/vda /root || exec $b sh
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 boot /root/run/boot
$b mount --move /dev /root/dev
$b umount /sys /proc
exec $b switch_root /root /run/boot/init
INIT
    chmod +x "$work/init"
    (cd "$work" && find . | chroot_cpio "$root" "$work") > "$out"
    rm -rf "$work"
}

# cpio from the guest's own packages: the host need not have it
chroot_cpio() {
    local root=$1 work=$2
    tar -C "$work" -cf - . | chroot "$root" sh -c \
        'd=$(mktemp -d) && cd $d && tar -xf - && find . | cpio -o -H newc --quiet; rm -rf $d'
}

# As root, on the host.  image_build NAME OUT
image_build() {
    local name=$1 out=$2 root kib
    root=$out.root
    # shellcheck disable=SC2046
    debian_root "$(image_suite "$name")" "$root" $(image_packages "$name")
    root=$root.tmp
    mkdir -p "$root/run/boot" "$root/share"
    mkdir -p "$out.tmp"
    cp "$root"/boot/vmlinuz-* "$out.tmp/vmlinuz"
    image_initrd "$root" "$out.tmp/initrd"
    rm -rf "${root:?}"/boot/* "$root"/var/cache/apt "$root"/var/lib/apt/lists "$root"/usr/share/{doc,man,locale,info}
    mkdir -p "$root/var/lib/apt/lists"
    kib=$(du -sk "$root" | cut -f1)
    mke2fs -q -t ext4 -L vgpu-guest -m 0 -d "$root" "$out.tmp/root.img" "$((kib * 5 / 4 + 512 * 1024))k"
    rm -rf --one-file-system "$root"
    chmod -R a+rX "$out.tmp"
}

image_make_locked() {
    local dir
    dir=$(image_dir "$1")
    [ -d "$dir" ] && return 0
    as_root rm -rf "$dir.tmp"
    as_root env "HOME=$HOME" "VGPU_STEP_MARK=${VGPU_STEP_MARK:-}" "VGPU_CACHE=$VGPU_CACHE" "VGPU_LOG=$VGPU_LOG" bash -c \
        'set -eE; . "$0/tests/env/all.sh"; trap step_blame ERR; image_build "$1" "$2"' "$VGPU_TOP" "$1" "$dir"
    as_root chown -R "$(id -u):$(id -g)" "$dir.tmp"
    mv "$dir.tmp" "$dir"
    # another checkout may still use an older one: keep three
    find "$VGPU_CACHE" -maxdepth 1 -type d -name "guest-$1-????????????" -printf '%T@ %p\n' |
        sort -rn | tail -n +4 | cut -d' ' -f2- | xargs -r rm -rf
}

# On the host, not in the toolbox.  image_make debian13
image_make() {
    host_install mmdebstrap debian-archive-keyring e2fsprogs xz-utils
    with_lock "guest-$1" image_make_locked "$1"
}
