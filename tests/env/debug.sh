# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A kernel that looks for mistakes in the guest driver: KASAN, lockdep, kmemleak and
# what tells of sleeping where it must not be.  Built from Debian's source package of
# the kernel that the guest image has, as small as a guest in tests can have it: all
# that reaches the root is in it, the two GPU drivers alone are modules.
#
# VGPU_DEBUG_KERNEL=1 in front of tests/boot --driver vgpu or of a test of the driver
# boots it (it is made first, which takes 10-15 minutes).

DEBUG_SOURCE=linux-source-6.12
# for building kernels, and not in the toolbox
DEBUG_BUILD=(bc cpio libelf-dev libelf1t64 zlib1g-dev)

debug_config() {
    local x on off set
    on=(
        # a Debian root, with udev
        SMP PREEMPT PRINTK PRINTK_TIME BUG TTY VT VT_CONSOLE UNIX98_PTYS SERIAL_8250 SERIAL_8250_CONSOLE
        BINFMT_ELF BINFMT_SCRIPT MULTIUSER FUTEX EPOLL SIGNALFD TIMERFD EVENTFD SHMEM AIO ADVISE_SYSCALLS MEMBARRIER
        POSIX_TIMERS SYSVIPC POSIX_MQUEUE INOTIFY_USER FHANDLE FILE_LOCKING PROC_FS PROC_SYSCTL PROC_PAGE_MONITOR SYSFS
        TMPFS TMPFS_POSIX_ACL TMPFS_XATTR DEVTMPFS BLOCK SWAP EXT4_FS EXT4_FS_POSIX_ACL OVERLAY_FS BLK_DEV_INITRD RSEQ
        MODULES MODULE_UNLOAD KALLSYMS MAGIC_SYSRQ HIGH_RES_TIMERS NO_HZ_IDLE RTC_CLASS RTC_DRV_CMOS NAMESPACES SECCOMP
        INPUT INPUT_EVDEV INPUT_KEYBOARD KEYBOARD_ATKBD CC_OPTIMIZE_FOR_PERFORMANCE X86_X2APIC HYPERVISOR_GUEST
        # the machine that QEMU makes of q35
        PCI PCI_MSI PCIEPORTBUS HOTPLUG_PCI HOTPLUG_PCI_PCIE HOTPLUG_PCI_ACPI ACPI ACPI_BUTTON
        NET UNIX INET NETDEVICES NET_CORE NET_9P NET_9P_VIRTIO NETWORK_FILESYSTEMS 9P_FS
        VIRTIO_MENU VIRTIO_PCI BLK_DEV VIRTIO_BLK VIRTIO_CONSOLE BLK_DEV_LOOP
        # displays
        DRM DRM_FBDEV_EMULATION FB FB_DEVICE FRAMEBUFFER_CONSOLE DMABUF_HEAPS UDMABUF DRM_VIRTIO_GPU_KMS
        # sleep and what comes after
        SUSPEND HIBERNATION PM_DEBUG PM_ADVANCED_DEBUG KEXEC KEXEC_FILE
        # what it is for
        DEBUG_KERNEL DEBUG_FS KASAN KASAN_GENERIC KASAN_INLINE KASAN_VMALLOC PROVE_LOCKING DEBUG_ATOMIC_SLEEP
        DEBUG_KMEMLEAK DEBUG_LIST DEBUG_SG DEBUG_PREEMPT FTRACE ENABLE_DEFAULT_TRACERS UNWINDER_FRAME_POINTER
    )
    off=(SLUB_TINY CC_OPTIMIZE_FOR_SIZE PREEMPT_NONE PREEMPT_VOLUNTARY CPU_MITIGATIONS RANDOMIZE_BASE COMPAT_32 IA32_EMULATION X86_5LEVEL UNWINDER_ORC
        UNWINDER_GUESS DEBUG_KMEMLEAK_AUTO_SCAN DEBUG_KMEMLEAK_DEFAULT_OFF DEBUG_INFO_BTF WLAN ETHERNET IPV6 LEGACY_PTYS LOGO KASAN_OUTLINE VIRTIO_NET
        DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT MICROCODE)
    # the driver is loaded a hundred times: each is a new set of locks
    set=(DRM_VIRTIO_GPU=m NR_CPUS=8 LOCKDEP_BITS=17 LOCKDEP_CHAINS_BITS=18 LOCKDEP_STACK_TRACE_BITS=21 DEBUG_INFO_NONE=y
        DEBUG_KMEMLEAK_MEM_POOL_SIZE=40000 LOG_BUF_SHIFT=19 'LOCALVERSION="-vgpu-debug"')
    for x in "${on[@]}"; do echo "CONFIG_$x=y"; done
    for x in "${off[@]}"; do echo "# CONFIG_$x is not set"; done
    for x in "${set[@]}"; do echo "CONFIG_$x"; done
}

debug_dir() {
    echo "$VGPU_CACHE/debug-kernel-$(hash_of "$DEBUG_SOURCE ${DEBUG_BUILD[*]} $(declare -f debug_config debug_build)" "toolbox:$(toolbox_dir)")"
}

# In the toolbox.  debug_build DEBS OUT: OUT/bzImage, OUT/modules (a root), OUT/version,
# and OUT/build to build modules against
debug_build() {
    local debs=$1 out=$2 deb opts need=''
    mkdir -p "$out/build" "$out/tools"
    for deb in "${DEBUG_BUILD[@]}"; do
        dpkg-deb -x "$debs/$deb"_*.deb "$out/tools"
    done
    PATH=$PATH:$out/tools/usr/bin
    dpkg-deb --fsys-tarfile "$debs/$DEBUG_SOURCE"_*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 |
        tar -x -C "$out/build" --strip-components=1 --exclude='*/Documentation/*/*' --exclude='*/drivers/gpu/drm/amd/include/*' --exclude='*/tools/testing/*'
    cd "$out/build" || return
    opts=(ARCH=x86_64 "CC=ccache gcc" "HOSTCC=ccache gcc" "HOSTCFLAGS=-I$out/tools/usr/include" "HOSTLDFLAGS=-L$out/tools/usr/lib/x86_64-linux-gnu"
        KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=vgpu KBUILD_BUILD_HOST=vgpu "-j$(nproc)")
    make "${opts[@]}" tinyconfig
    debug_config > .fragment
    scripts/kconfig/merge_config.sh -m .config .fragment > /dev/null
    make "${opts[@]}" olddefconfig
    # what it is for has to be there, whatever else of the list this kernel names otherwise
    for need in KASAN PROVE_LOCKING DEBUG_KMEMLEAK DEBUG_ATOMIC_SLEEP; do
        grep -qx "CONFIG_$need=y" .config || { echo "the debug kernel's configuration has no CONFIG_$need"; return 1; }
    done
    make "${opts[@]}" bzImage modules
    make "${opts[@]}" INSTALL_MOD_PATH="$out/modules" modules_install
    cp arch/x86/boot/bzImage include/config/kernel.release "$out/"
    mv "$out/kernel.release" "$out/version"
    # modules are built against the rest
    find . -maxdepth 1 -type d ! -name . ! -name include ! -name arch ! -name scripts ! -name tools -exec rm -rf {} +
    find arch tools -mindepth 1 -maxdepth 1 ! -name x86 ! -name objtool ! -name include -exec rm -rf {} +
    find . -name '*.o' ! -path './scripts/*' -delete
    rm -f vmlinux*
}

debug_make_locked() {
    local dir work
    dir=$(debug_dir)
    [ -d "$dir" ] && return 0
    work=$dir.work
    rm -rf "$work" "$dir.tmp"
    apt_private "$work" "$TOOLBOX_SUITE"
    apt_fetch "$work" "$DEBUG_SOURCE" "${DEBUG_BUILD[@]}"
    mkdir -p "$dir.tmp"
    in_toolbox debug_build "$work/debs" "$dir.tmp"
    rm -rf "$work"
    mv "$dir.tmp" "$dir"
    # another checkout may still use an older one: keep two
    find "$VGPU_CACHE" -maxdepth 1 -type d -name 'debug-kernel-????????????' -printf '%T@ %p\n' |
        sort -rn | tail -n +3 | cut -d' ' -f2- | xargs -r rm -rf
}

# On the host, not in the toolbox
debug_make() {
    with_lock debug-kernel debug_make_locked
}

# ---- our driver on it ----

# What the image IMAGE with our driver is booted with on the debug kernel: its own
# initramfs of layers (tests/env/layer.sh), and another one behind it that has
# the debug kernel's modules and ours, and puts them on the root.
debug_driver_dir() {
    echo "$VGPU_CACHE/debug-driver-$1-$(hash_of "$(debug_dir) $(layer_driver_dir "$1") $(declare -f debug_driver_build debug_init)")"
}

debug_init() {
    # all that the modules there were for is in the kernel
    layer_init | grep -v insmod | sed 's#^exec .*#$b cp -a /debug/lib/modules/. /root/usr/lib/modules/\n&#'
}

# In the toolbox.  debug_driver_build IMAGE OUT
debug_driver_build() {
    local out=$2 kernel kver root=$2/root
    kernel=$(debug_dir)
    kver=$(cat "$kernel/version")
    driver_sync "$out/src"
    make -C "$kernel/build" ARCH=x86_64 "M=$out/src/guest-driver" CC="ccache gcc" W=1 KCFLAGS=-Werror "-j$(nproc)" modules
    mkdir -p "$root/mod" "$root/debug/lib"
    cp -a "$kernel/modules/lib/modules" "$root/debug/lib/"
    rm -f "$root/debug/lib/modules/$kver/build"
    install -D -m 644 "$out/src/guest-driver/vgpu.ko" "$root/debug/lib/modules/$kver/updates/vgpu.ko"
    depmod -b "$root/debug" "$kver"
    debug_init > "$root/init"
    chmod +x "$root/init"
    (cd "$root" && find . | "$kernel/tools/usr/bin/cpio" -o -H newc --quiet) > "$out/cpio"
    cat "$(layer_driver_dir "$1")/initrd" "$out/cpio" > "$out/initrd"
    rm -rf "$out/cpio" "$out/src" "$root"
}

debug_driver_make_locked() {
    local dir
    dir=$(debug_driver_dir "$1")
    [ -d "$dir" ] && return 0
    rm -rf "$dir.tmp"
    mkdir -p "$dir.tmp"
    in_toolbox debug_driver_build "$1" "$dir.tmp"
    mv "$dir.tmp" "$dir"
    find "$VGPU_CACHE" -maxdepth 1 -type d -name "debug-driver-$1-????????????" -printf '%T@ %p\n' |
        sort -rn | tail -n +6 | cut -d' ' -f2- | xargs -r rm -rf
}

debug_driver_make() {
    with_lock debug-driver debug_driver_make_locked "$1"
}

# ---- what a guest with our driver is booted with, whichever kernel is asked for ----

driver_kernel() {
    if [ -n "${VGPU_DEBUG_KERNEL:-}" ]; then
        echo "$(debug_dir)/bzImage"
    else
        echo "$(image_dir "$1")/vmlinuz"
    fi
}

driver_initrd() {
    if [ -n "${VGPU_DEBUG_KERNEL:-}" ]; then
        echo "$(debug_driver_dir "$1")/initrd"
    else
        echo "$(layer_driver_dir "$1")/initrd"
    fi
}
