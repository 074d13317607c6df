# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For the guest tests of Vulkan: lib.sh, a vgpud with profiles for them, and what
# each of their VMs sources.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

vulkan_built || {
    skip 'Vulkan in the guest' 'this tree has no venus renderer or no Vulkan layer yet'
    done_testing
}

mkdir -p "$T/conf/profiles.d"
printf '[tiny]\nmemory=160M\nshare=10%%\n\n[impatient]\nmemory=512M\nshare=20%%\nhang-timeout=6s\n\n[roomy]\nmemory=1G\nshare=30%%\n' \
    > "$T/conf/profiles.d/test.conf"
vgpud --autostart --config "$T/conf" || echo "# vgpud --autostart failed"

# What each VM sources.  The guest's own software Vulkan is out of sight.  zink
# wants the last two: the host's Vulkan device may be a CPU.
mkdir -p "$T/all"
cat > "$T/all/vulkan.sh" << 'EOF'
export VK_DRIVER_FILES=/usr/share/vulkan/icd.d/virtio_icd.json
zink() { LIBGL_ALWAYS_SOFTWARE=1 MESA_LOADER_DRIVER_OVERRIDE=zink "$@"; }
# computes again and again, until told to stop; one that stands still is a bad turn
turns() {
    i=0; bad=0
    while [ ! -e /share/stop ] && [ $i -lt 400 ]; do
        timeout 90 /share/vk-compute --seconds 1 > /tmp/turn 2>&1 || { echo "status $?"; bad=$((bad+1)); cat /tmp/turn; }
        i=$((i+1)); touch /share/turning
    done
    echo "turns=$i"; echo "bad=$bad"
}
# told FILE SECONDS: until the host has made it
told() { n=0; until [ -e /share/$1 ] || [ $n = $(($2 * 5)) ]; do sleep 0.2; n=$((n+1)); done; }
EOF
start() {
    mkdir -p "$T/$1/share"
    cp "$T/all/vulkan.sh" "$T/$1/share/"
    vm_start "$@"
}
used() {
    vm_json "$1" memory_used_bytes
}
used_is() {
    equal "$(used "$1")" "$2"
}
