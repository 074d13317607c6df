# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in the guest: one shell script for all phases of one boot.

The host follows it by marker lines ('@@ PHASE') on the script's output, so
that nothing has to be synchronised in the other direction.

glmark2 takes the largest mode a connector offers, and QEMU's EDID offers up
to 5120x2160 whatever xres and yres say.  So the guest's driver is loaded with
an EDID of ours that has a single mode: both devices then show the same number
of pixels.  And glmark2 asks for an alpha channel, which virtio-gpu's plane
cannot scan out: every page flip then fails and nothing is shown, so the scenes
ask for a surface without one.
"""
import base64

WIDTH, HEIGHT = 1920, 1080
GLMARK2 = 'glmark2-drm --visual-config alpha=0'
SCENES = ('build', 'texture', 'shading')

# Keeps udev from loading the driver before the EDID is in place.
APPEND = 'modprobe.blacklist=virtio_gpu'


def edid(width=WIDTH, height=HEIGHT):
    """An EDID 1.4 block whose only mode is width x height at 60 Hz."""
    hblank, vblank = 160, 31            # CVT reduced blanking
    clock = (width + hblank) * (height + vblank) * 60 // 10000
    detailed = bytes([
        clock & 255, clock >> 8,
        width & 255, hblank & 255, (width >> 8) << 4 | hblank >> 8,
        height & 255, vblank & 255, (height >> 8) << 4 | vblank >> 8,
        48, 32, 3 << 4 | 5, 0,          # sync offsets and widths
        width // 4 & 255, height // 4 & 255,
        (width // 4 >> 8) << 4 | height // 4 >> 8,
        0, 0, 0x1a])
    name = b'\0\0\0\xfc\0' + b'vgpu bench\n'.ljust(13)
    unused = b'\0\0\0\x10\0' + bytes(13)
    block = (b'\0\xff\xff\xff\xff\xff\xff\0'
             + b'\x59\x07\x01\0\x01\0\0\0' + b'\x01\x22'
             + b'\x01\x04\xa5' + bytes([width // 40, height // 40]) + b'\x78\x06'
             + bytes.fromhex('ee91a3544c99260f5054')
             + bytes(3)                 # no established timings
             + b'\x01\x01' * 8          # no standard timings
             + detailed + name + unused + unused + b'\0')
    assert len(block) == 127
    return block + bytes([-sum(block) & 255])


def script(phases, idle_s, scene_s, load_s):
    """The script for these phases: a subset of idle, busy, scenes, cube, load."""
    lines = [
        'exec 2>&1',
        'mkdir -p /lib/firmware/edid',
        f"echo {base64.b64encode(edid()).decode()} | base64 -d > /lib/firmware/edid/bench.bin",
        'modprobe drm',
        'echo edid/bench.bin > /sys/module/drm/parameters/edid_firmware',
        'modprobe virtio_gpu',
        'udevadm settle --timeout=20',
        'echo "@@ modes $(cat /sys/class/drm/card*-Virtual-1/modes | tr "\\n" " ")"',
        'echo "@@ cpus $(nproc)"',
    ]
    if 'idle' in phases:
        # let the boot's own work end first
        lines += ['sleep 3', 'echo @@ idle', f'sleep {idle_s}', 'echo @@ end']
    if 'busy' in phases:
        # the floor of 'load': the guest's CPUs have work and nothing is drawn
        lines += ['echo @@ busy',
                  'for cpu in $(seq $(nproc)); do',
                  f'    timeout {idle_s} sh -c "while :; do :; done" &',
                  'done',
                  'wait', 'echo @@ end']
    if 'scenes' in phases:
        # one process each: a scene that breaks leaves the others
        for scene in SCENES:
            lines += [f'echo @@ scene {scene}',
                      f'timeout {scene_s * 2 + 25} {GLMARK2} -b {scene}:duration={scene_s}',
                      'echo "@@ end $?"']
    if 'cube' in phases:
        # It reports every two seconds and never ends by itself; it would if it
        # could read its input.  After some reports nobody reads its output.
        reports = max(2, (scene_s + 1) // 2)
        lines += ['mkfifo /tmp/silent',
                  'echo @@ cube',
                  'timeout 60 stdbuf -oL kmscube 0<> /tmp/silent | { n=0; while read -r line; do echo "$line"; '
                  f'case $line in Rendered*) n=$((n + 1)); [ $n = {reports} ] && break ;; esac; done; }}',
                  'echo "@@ end"']
    if 'load' in phases:
        lines += ['echo @@ load',
                  f'timeout {load_s * 3 + 40} {GLMARK2} -b terrain:duration={load_s}',
                  'echo "@@ end $?"']
    lines += ['echo "@@ done"']
    return '\n'.join(lines) + '\n'
