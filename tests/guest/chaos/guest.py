# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of a chaos run: light Debians with their stock driver, each with work of another kind."""
import os
import signal
import subprocess
import threading
import time

import host
from qmp import Qmp, QmpError

TOP = os.environ['VGPU_TOP']
WIDTH, HEIGHT = 320, 240
PATIENCE_S = 60 # for a guest under TCG beside three others

# Work that is ended from outside when it hangs: a program whose context was lost may
# wait for ever, and that is the guest's own affair.
SCRIPT = r'''
paint() {
    read -r stride < /sys/class/graphics/fb0/stride
    IFS=, read -r width height < /sys/class/graphics/fb0/virtual_size
    head -c $((stride * height)) /dev/zero | tr "\0" "\\$1" > /dev/fb0
}
# until the end of the chaos: the command, over and over
on_and_on() { while [ ! -e /share/calm ]; do timeout -s KILL 10 "$@" > /dev/null 2>&1; sleep 0.2; done; }
printf "\033[2J\033[?25l" > /dev/tty1
export VK_DRIVER_FILES=/usr/share/vulkan/icd.d/virtio_icd.json
# the stock driver asks for what a kind of contexts can do once, and believes a first no for ever
[ $1 = 2d ] || for ask in "vgpu-glinfo" "vk-compute --words 4096"; do timeout -s KILL 60 /share/$ask > /dev/null 2>&1; done
(while [ ! -e /share/calm ]; do i=$((i+1)); echo "line $i" > /dev/tty1; echo $i > /share/beat; sleep 0.1; done) & text=$!
work=
case $1 in
gl) on_and_on /share/gl-triangle --frames 200 & work=$! ;;
vulkan) on_and_on /share/vk-compute --seconds 5 --words 4096 & work=$! ;;
both) (on_and_on /share/gl-triangle --frames 50; ) & on_and_on /share/vk-compute --seconds 3 --words 4096 & work=$! ;;
2d) (while [ ! -e /share/calm ]; do paint 063; paint 146; done) & work=$! ;;
esac
touch /share/ready
until [ -e /share/calm ]; do sleep 0.2; done
n=0; while kill -0 $text $work 2> /dev/null && [ $n -lt 150 ]; do sleep 0.2; n=$((n+1)); done
printf "\033[2J\033[?25l" > /dev/tty1
paint 252
touch /share/painted
until [ -e /share/seen ]; do sleep 0.2; done
until timeout -s KILL 30 /share/vgpu-glinfo | grep "^GL_RENDERER=virgl" || [ -e /share/again ]; do sleep 1; done
until [ -e /share/again ]; do sleep 0.2; done
[ $1 = 2d ] || timeout -s KILL 60 /share/vk-compute --words 4096 > /dev/null 2>&1 && echo vulkan=works
'''


class Vm:
    def __init__(self, folder, number, work):
        self.name, self.work = f'chaos-{number}', work
        self.folder = f'{folder}/{self.name}'
        os.makedirs(f'{self.folder}/share')
        for name in ('gl-triangle', 'vk-compute', 'vgpu-glinfo'):
            subprocess.run(['cp', f'{os.environ["VGPU_BUILD"]}/tests/guest/programs/{name}', f'{self.folder}/share/'], check=True)
        with open(f'{self.folder}/out', 'w') as out, open(f'{self.folder}/err', 'w') as err:
            self.boot = subprocess.Popen(
                [f'{TOP}/tests/boot', '--light', '--name', self.name, '--memory', '512M', '--timeout', '3000', '--dir', self.folder,
                 '--device', f'vgpu-pci,profile=eighth,id=gpu0,xres={WIDTH},yres={HEIGHT}', '--share', f'{self.folder}/share',
                 '--run', f'set -- {work}\n{SCRIPT}'], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=host.jumping())
        self.qmp = self.asker = None
        self.lock = threading.Lock() # of qmp
        self.worst_s, self.silent = 0, None

    def has(self, name):
        return os.path.exists(f'{self.folder}/share/{name}')

    def tell(self, name):
        open(f'{self.folder}/share/{name}', 'w').close()

    def ends(self):
        return self.boot.poll() is not None

    def err(self):
        return host.read(f'{self.folder}/qemu.err')

    def ask(self, command, **arguments):
        with self.lock:
            return self.qmp.command(command, **arguments)

    def watch(self):
        """From now on QEMU has to answer."""
        self.qmp = Qmp(f'{self.folder}/qmp.sock', PATIENCE_S)
        self.asker = threading.Thread(target=self._ask, daemon=True)
        self.quit = False
        self.asker.start()

    def _ask(self):
        while not self.quit:
            start = time.monotonic()
            try:
                self.ask('query-status')
            except (OSError, QmpError) as error:
                self.silent = self.silent or f'{error!r} after {time.monotonic() - start:.1f} s'
                return
            self.worst_s = max(self.worst_s, time.monotonic() - start)
            time.sleep(0.1)

    def rest(self):
        self.quit = True
        self.asker.join(PATIENCE_S + 10)
        return self.silent

    def device_state(self):
        try:
            return self.ask('qom-get', path='/machine/peripheral/gpu0', property='state')
        except (OSError, QmpError):
            return 'silent'

    def shows(self, colour):
        """Every pixel of the screen has it."""
        path = f'{self.folder}/screen.ppm'
        try:
            self.ask('screendump', filename=path)
        except (OSError, QmpError):
            return False
        return host.read(path, 'rb') == b'P6\n%d %d\n255\n' % (WIDTH, HEIGHT) + bytes(colour) * WIDTH * HEIGHT

    def wait(self, seconds):
        try:
            return self.boot.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self):
        """However it stands."""
        if not self.ends():
            pid = host.qemu(self.name)
            if pid:
                host.kill(pid, signal.SIGKILL)
            self.boot.terminate()
            self.wait(10)
