# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For the guest tests: TAP, VMs in the background, and questions to them.
# A test sources this, starts VMs, checks, and ends with done_testing.
. "$(dirname "${BASH_SOURCE[0]}")/../env/all.sh"
build_env
export VGPU_NO_BUILD=1

# with VGPU_DEBUG_KERNEL=1 guests on our driver take so many times as long
SLOW=${VGPU_DEBUG_KERNEL:+5}
SLOW=${SLOW:-1}

T=$(mktemp -d /tmp/vgpu-guest.XXXXXX)
TAP_N=0
TAP_BAD=0
declare -A VM_PID
trap 'for p in "${VM_PID[@]}"; do kill "$p" 2>/dev/null; done; wait; rm -rf "$T"' EXIT

# ok NAME COMMAND...: one TAP line; what the command prints is shown when it fails
ok() {
    local name=$1
    shift
    TAP_N=$((TAP_N + 1))
    # not in a subshell: what waits for a VM must be its parent
    if "$@" > "$T/.ok" 2>&1; then
        echo "ok $TAP_N - $name"
    else
        echo "not ok $TAP_N - $name"
        { echo "command: $*"; cat "$T/.ok"; } | sed 's/^/# /'
        TAP_BAD=1
    fi
}

skip() {
    TAP_N=$((TAP_N + 1))
    echo "ok $TAP_N - $1 # SKIP $2"
}

done_testing() {
    echo "1..$TAP_N"
    exit $TAP_BAD
}

# vm_start NAME DEVICE SCRIPT [tests/boot option...]: SCRIPT runs in the guest
# with /share = $T/NAME/share, where the test programs are.
vm_start() {
    local name=$1 device=$2 script=$3
    shift 3
    mkdir -p "$T/$name/share"
    find "$VGPU_BUILD/tests/guest/programs" -maxdepth 1 -type f -executable -exec cp {} "$T/$name/share/" \;
    rm -f "$T/$name/ended"
    {
        "$VGPU_TOP/tests/boot" --name "$name" --device "$device" --dir "$T/$name" --share "$T/$name/share" \
            --timeout "$((${VM_TIMEOUT:-240} * SLOW))" --run "$script" "$@" > "$T/$name/out" 2> "$T/$name/err"
        rc=$?
        touch "$T/$name/ended"
        exit $rc
    } &
    VM_PID[$name]=$!
}

# vm_wait NAME: to its end; its status
vm_wait() {
    local rc
    wait "${VM_PID[$1]}"
    rc=$?
    unset "VM_PID[$1]"
    [ $rc = 0 ] || { echo "VM $1 ended with status $rc"; tail -n 20 "$T/$1/err"; }
    return $rc
}

# vm_file NAME FILE [SECONDS]: waits until the guest has made /share/FILE
vm_file() {
    local n=0 end=$((${3:-120} * SLOW * 5))
    until [ -e "$T/$1/share/$2" ]; do
        [ ! -e "$T/$1/ended" ] || { echo "VM $1 ended before it made $2"; tail -n 20 "$T/$1/out" "$T/$1/err"; return 1; }
        [ $n -lt $end ] || { echo "VM $1 did not make $2 in ${3:-120} s"; tail -n 20 "$T/$1/out"; return 1; }
        n=$((n + 1))
        sleep 0.2
    done
}

# tells the guest: touch /share/FILE
vm_tell() {
    touch "$T/$1/share/$2"
}

vm_qmp() {
    local name=$1
    shift
    python3 "$VGPU_TOP/tests/env/qmp.py" "$T/$name/qmp.sock" "$@"
}

# vm_value NAME KEY: of a line KEY=VALUE that the guest printed
vm_value() {
    sed -n "s/^$2=//p" "$T/$1/out" | tail -n 1
}

# vm_is NAME KEY VALUE: or what the guest printed is shown
vm_is() {
    equal "$(vm_value "$1" "$2")" "$3" || { tail -n 40 "$T/$1/out"; return 1; }
}

# vm_json NAME KEY: what vgpuctl says of it
vm_json() {
    vgpuctl list --json | jq -r --arg vm "$1" --arg key "$2" '.[] | select(.vm == $vm) | .[$key]'
}

# eventually SECONDS COMMAND...
eventually() {
    local end=$((SECONDS + $1 * SLOW))
    shift
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { "$@"; return; }
        sleep 0.2
    done
}

equal() {
    [ "$1" = "$2" ] || { echo "is '$1', expected '$2'"; return 1; }
}

has() {
    grep -qE -- "$2" "$1" || { echo "$1 has no '$2'; it ends with:"; tail -n 12 "$1"; return 1; }
}

# whether this tree can do Vulkan at all: its parts come one by one
vulkan_built() {
    compgen -G "$VGPU_TOP/backend/renderer/venus*.c" > /dev/null && [ -e "$VGPU_BUILD/backend/vulkan-layer/libVkLayer_vgpu.so" ]
}

# the log of this test's vgpud and its renderers
host_log() {
    cat "$XDG_RUNTIME_DIR"/vgpu/*.log
}

# picture FILE: colours of a screenshot, most frequent first
picture_colours() {
    python3 - "$1" << 'PY'
import sys
from PIL import Image
image = Image.open(sys.argv[1]).convert('RGB')
colours = sorted(image.getcolors(1 << 24), reverse=True)
print(image.size[0], image.size[1], len(colours), ' '.join('%02x%02x%02x' % c for n, c in colours[:4]))
PY
}

# For scripts in guests.  content NAME: what the kernel complained of until now, as
# lines bad-kernel: NAME: ..., and what the debug kernel found to be lost.  word A B:
# tells the test A, and waits for its B.  ready FILE: until it is there.  ends NAME PID:
# until it has ended, or is told as one that hangs, and is ended.  slab: KiB that the
# kernel has for itself and cannot give back.
#
# write_text, write_white: what the console is made to show.  The kernel hands it to
# a new framebuffer when /dev/fb0 is there already, and clears it: who writes to the
# framebuffer waits for that.  In one piece: Linux' drm_fb_helper drops the damage of
# a write that begins and ends in one line, at the end of that line.
# shellcheck disable=SC2016,SC2034
guest_script='
slow='$SLOW'
# what was freed a moment ago is looked at twice; what is younger than 5 s is not told
leaks() {
    [ -e /sys/kernel/debug/kmemleak ] || mount -t debugfs debugfs /sys/kernel/debug 2> /dev/null
    [ -e /sys/kernel/debug/kmemleak ] || return
    sleep 6; echo scan > /sys/kernel/debug/kmemleak; sleep 6; echo scan > /sys/kernel/debug/kmemleak
    cat /sys/kernel/debug/kmemleak; echo clear > /sys/kernel/debug/kmemleak
}
content() {
    { leaks; dmesg | grep -A 24 -E "WARNING:|BUG:|Oops|Call Trace"; } | sed "s/^/bad-kernel: $1: /"
    echo "kernel-$1=looked"
}
word() { echo "at-$1=$(cut -d. -f1 /proc/uptime)"; touch "/share/$1"; n=0; until [ -e "/share/$2" ] || [ $n = $((600*slow)) ]; do sleep 0.1; n=$((n+1)); done; }
ready() { n=0; until [ -e "$1" ] || [ $n = $((400*slow)) ]; do sleep 0.1; n=$((n+1)); done; }
ends() {
    n=0; while kill -0 $2 2> /dev/null && [ $n -lt $((400*slow)) ]; do sleep 0.1; n=$((n+1)); done
    kill -0 $2 2> /dev/null && { echo "hangs=$1"; cat /proc/$2/stack /proc/$2/wchan; kill -9 $2; }
    wait $2; echo "$1-status=$?"; echo "at-end-of-$1=$(cut -d. -f1 /proc/uptime)"
}
slab() { sed -n "s/^SUnreclaim: *\([0-9]*\) kB/\1/p" /proc/meminfo; }
console_up() {
    n=0
    until grep -l "frame buffer" /sys/class/vtconsole/*/name 2> /dev/null | sed s/name$/bind/ | xargs -r cat | grep -q 1 || [ $n = $((100*slow)) ]; do
        n=$((n + 1)); sleep 0.2
    done
}
write_text() { printf "\033[2J\033[?25l\033[20;1Hthe quick brown fox" > /dev/tty1; console_up; }
write_white() { head -c 320000 /dev/zero | tr "\0" "\377" > /tmp/white; dd if=/tmp/white of=/dev/fb0 bs=320000 2> /dev/null; }
'
