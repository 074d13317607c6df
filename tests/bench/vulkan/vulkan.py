# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/bench/run vulkan: Vulkan in the guest, against QEMU's own virtio-gpu-gl-pci
with venus=on in the same binary, and against the host's Vulkan itself.

Theory of operation.  The programs of tests/guest/programs measure themselves
and check their pictures and words against the CPU.  Each device has one VM,
booted once, that runs what it finds in its share; while it is not its turn it
is stopped (QMP), so that it costs nothing.  A round is all programs, each on
both devices and on the host within seconds, in an order that changes: what
else the machine does meets all three.  A ratio is taken inside a round, the
figure is the median of the rounds'.  'floor' is the host's own lavapipe, which
nobody in a guest can beat by much.

How much of a program is the GPU's work is what tells them apart.  'fill' and
'compute' keep both of lavapipe's threads busy for 100 ms with one submit: they
are bound by the GPU.  The others are bound by the guest's CPU, which TCG
emulates, and by the way there: 'draws' records 512 draws for a picture of
512 x 512, 'dispatches' waits for 0.2 ms of work at a time, 'zink' goes through
an OpenGL driver in the guest for each of its small frames.
"""
import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from statistics import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'env'))
from bench import Xvfb  # noqa: E402
from qmp import Qmp, QmpError  # noqa: E402
from table import row, show, status, write  # noqa: E402

START = time.monotonic()
ICD = '/usr/share/vulkan/icd.d'
ZINK = 'LIBGL_ALWAYS_SOFTWARE=1 MESA_LOADER_DRIVER_OVERRIDE=zink'

# name: (environment, program and options, is it bound by the GPU)
PROGRAMS = {
    'draws': ('', 'vk-draw --side 512 --cells 16', False),
    'fill': ('', 'vk-draw --side 1024 --cells 4 --rounds 200', True),
    'dispatches': ('', 'vk-compute --words 4096 --rounds 16', False),
    'compute': ('', 'vk-compute --words 262144 --rounds 512', True),
    'zink': (ZINK, 'gl-triangle --size 1024', False),
}
SECONDS = 4
BOOT_S, RUN_S = 400, 120        # for a VM to be there; for a program beside its own seconds

# In the guest: what is found in the share as 'do' is done.  A file is there when it has its name.
OBEY = '''
mkdir /tmp/vk
cp /share/programs/* /tmp/vk/
: > /share/ready
until [ -e /share/end ]; do
    if mv /share/do /share/doing 2> /dev/null; then
        sh /share/doing > /share/out 2>&1
        mv /share/out /share/done
    fi
    sleep 0.2
done
'''


def script(name, folder, icd, seconds):
    environment, program, _ = PROGRAMS[name]
    return f'VK_DRIVER_FILES={ICD}/{icd} {environment} {folder}/{program} --seconds {seconds} --json'


def result(text):
    """What the program said of itself, or None."""
    found = [line for line in text.splitlines() if line.startswith('{')]
    return json.loads(found[-1]) if found else None


class Host:
    """The programs without a VM."""
    name, spec, says = 'native', "the host's Vulkan, no VM", 'llvmpipe'

    def start(self, programs):
        self.folder = programs

    def run(self, name, seconds):
        return subprocess.run(['sh', '-c', script(name, self.folder, 'lvp_icd.json', seconds)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=seconds + RUN_S).stdout

    def end(self):
        pass


class Guest:
    """The programs in a VM with this device."""
    says = 'Virtio-GPU Venus'

    def __init__(self, name, spec, display=(), options=(), config=None):
        """options: more of tests/boot; config: of a vgpud of its own."""
        self.name, self.spec, self.display, self.options, self.config = name, spec, display, options, config
        self.boot = self.qmp = None

    def start(self, programs):
        """Boots it, and stops it when it is ready."""
        self.runtime = tempfile.TemporaryDirectory(prefix='vgpu-bench-run.', ignore_cleanup_errors=True)
        self.work = tempfile.TemporaryDirectory(prefix='vgpu-bench.', ignore_cleanup_errors=True)
        self.share = f'{self.work.name}/share'
        os.mkdir(self.share)
        subprocess.run(['cp', '-r', programs, f'{self.share}/programs'], check=True)
        command = [f"{os.environ['VGPU_TOP']}/tests/boot", '--device', self.spec, '--dir', f'{self.work.name}/boot',
                   '--share', self.share, '--timeout', '7200', '--run', OBEY, *self.options]
        for arg in self.display:
            command += ['--qemu-arg', arg]
        environment = dict(os.environ, XDG_RUNTIME_DIR=self.runtime.name)
        if self.config:
            subprocess.run(['vgpud', '--autostart', '--config', self.config], check=True, env=environment)
        self.log = tempfile.TemporaryFile('w+')
        self.boot = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                     start_new_session=True, env=environment)
        self._wait('ready', BOOT_S)
        self.qmp = Qmp(f'{self.work.name}/boot/qmp.sock')
        self.qmp.command('stop')

    def _wait(self, name, seconds):
        end = time.monotonic() + seconds
        while not os.path.exists(f'{self.share}/{name}'):
            if self.boot.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                raise RuntimeError(f'{self.name}: the VM has ended or is stuck: {self.log.read()[-1000:]}')
            time.sleep(0.05)

    def run(self, name, seconds):
        return self.shell(script(name, '/tmp/vk', 'virtio_icd.json', seconds), seconds)

    def shell(self, text, seconds):
        """What it prints."""
        with open(f'{self.share}/new', 'w') as f:
            f.write(text)
        os.rename(f'{self.share}/new', f'{self.share}/do')
        self.qmp.command('cont')
        self._wait('done', seconds + RUN_S)
        self.qmp.command('stop')
        with open(f'{self.share}/done') as f:
            text = f.read()
        os.remove(f'{self.share}/done')
        return text

    def end(self):
        try:
            if self.qmp and self.boot.poll() is None:
                open(f'{self.share}/end', 'w').close()
                self.qmp.command('cont')
                self.boot.wait(60)
        except (OSError, QmpError, subprocess.TimeoutExpired):
            pass
        if self.boot and self.boot.poll() is None:
            os.killpg(self.boot.pid, signal.SIGKILL)


def usable(found, says):
    """The rate, if the program ran where it should and what it made is right."""
    if not found or not found['right'] or says not in found['device']:
        return None
    return found['per_second']


def programs_for(names, folder):
    built = os.environ['VGPU_BUILD'] + '/tests/guest/programs'
    os.mkdir(folder)
    for name in {PROGRAMS[n][1].split()[0] for n in names}:
        subprocess.run(['cp', f'{built}/{name}', folder], check=True)
    return folder


def measure(chosen, names, opts, out):
    """rounds as in figures(), and what went wrong."""
    rounds, problems = [], []

    def say(what):
        print(f'{what} ({time.monotonic() - START:.0f} s)', file=sys.stderr, flush=True)

    for number in range(opts.rounds):
        rates = {d: {} for d in ('ours', 'rival', 'native')}
        for index, name in enumerate(names):
            turn = (number + index) % len(chosen)
            say(f'round {number + 1}/{opts.rounds}: {name}')
            for device in chosen[turn:] + chosen[:turn]:
                text = device.run(name, opts.seconds)
                with open(f'{out}-raw/round{number + 1}-{device.name}.txt', 'a') as f:
                    f.write(f'{name}:\n{text}')
                rates[device.name][name] = usable(result(text), device.says)
                if rates[device.name][name] is None:
                    problems.append(f'round {number + 1}, {device.name}: {name}: {text.strip()[-300:] or "no result"}')
        rounds.append(rates)
    return rounds, problems


def middle(values):
    values = [v for v in values if v is not None]
    return median(values) if values else None


def figures(names, rounds):
    """rounds: [{'ours': {program: rate or None}, 'rival': ..., 'native': ...}]"""
    def ratio(one, other, name):
        return middle([r[one][name] / r[other][name] for r in rounds if r[one].get(name) and r[other].get(name)])

    rows = [row(f'vulkan_{n}', '1/s', **{column: middle([r[d].get(n) for r in rounds])
            for column, d in (('ours', 'ours'), ('rival', 'rival'), ('floor', 'native'))})
            for n in names]
    rows += [row(f'vulkan_{n}_over_rival', 'ratio', ratio('ours', 'rival', n)) for n in names]
    rows += [row(f'vulkan_{n}_over_native', 'ratio', ratio('ours', 'native', n), rival=ratio('rival', 'native', n),
                 goal=('>=', 0.8) if PROGRAMS[n][2] else None) for n in names]
    each = [r['ours'] for r in rows if r['name'].endswith('_over_rival')]
    mean = math.exp(sum(map(math.log, each)) / len(each)) if each and all(each) else None
    return rows + [row('vulkan_geomean_over_rival', 'ratio', mean, goal=('>=', 1.0))]


def main():
    parser = argparse.ArgumentParser(prog='tests/bench/run vulkan')
    parser.add_argument('programs', nargs='*', metavar='PROGRAM', help=f"of {', '.join(PROGRAMS)}")
    parser.add_argument('--json')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=int, default=SECONDS, help='for each program')
    parser.add_argument('--ours', default='vgpu-pci,profile=full')
    parser.add_argument('--devices', default='ours,rival,native')
    parser.add_argument('--keep-going', action='store_true')
    opts = parser.parse_args()
    for name in opts.programs:
        if name not in PROGRAMS:
            parser.error(f"there is no program '{name}': {', '.join(PROGRAMS)}")
    if opts.rounds < 1 or opts.seconds < 1:
        parser.error('--rounds and --seconds are at least 1')
    names = [n for n in PROGRAMS if not opts.programs or n in opts.programs]
    everybody = [Guest('ours', opts.ours),
                 Guest('rival', 'virtio-gpu-gl-pci,venus=on,blob=on,hostmem=4G', ('-display', 'sdl,gl=on')), Host()]
    chosen = [d for d in everybody if d.name in opts.devices.split(',')]
    out = opts.json or os.path.join(os.environ['VGPU_CACHE'], 'log', time.strftime('bench-%Y%m%d-%H%M%S'), 'figures.json')
    os.makedirs(f'{out}-raw', exist_ok=True)
    with Xvfb(), tempfile.TemporaryDirectory(prefix='vgpu-bench.') as work:
        programs = programs_for(names, f'{work}/programs')
        try:
            for device in chosen:
                device.start(programs)
            rounds, problems = measure(chosen, names, opts, out)
        except (OSError, QmpError, RuntimeError, subprocess.TimeoutExpired) as error:
            print(f'tests/bench/run vulkan: {error}', file=sys.stderr)
            return 2
        finally:
            for device in chosen:
                device.end()
    rows = figures(names, rounds)
    write(out, rows, rounds=rounds)
    for device in chosen:
        print(f'{device.name}: {device.spec}')
    print(f'{opts.rounds} rounds, medians; guest 2 vCPUs; host {os.cpu_count()} CPUs, load {os.getloadavg()[1]:.1f}; floor: native')
    show(rows)
    print(f'figures: {out}; raw: {out}-raw/')
    return status(rows, opts.keep_going, problems)


if __name__ == '__main__':
    sys.exit(main())
