# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/bench/run survive: what it costs a VM that its renderer is lost.

Theory of operation.  A Debian guest with its stock driver writes text to its
console all the time.  A round kills the renderer (SIGKILL), waits until that
process is dead, looks at the console (screendump), and again until it shows
something else: a dead renderer's picture does not change, so what is new is
the next renderer's.  The time from the kill to that look is the figure, what
the look itself takes included.  A round waits until the new one counts as one
that lasts, so that no pause is in the figure that QEMU makes before others.

Meanwhile another connection asks query-status every few milliseconds.  Its
answers are compared with those while nobody is killed and everything else is
the same: the guest writes, the console is looked at as often.

The last part restarts a 2D renderer (which starts quickest) by vgpuctl again and
again under a guest, and counts QEMU's and vgpud's descriptors and memory of
their own after the tenth and after the last.
"""
import argparse
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from statistics import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'env'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from qmp import Qmp, QmpError  # noqa: E402
from table import row, show, status, write  # noqa: E402

START = time.monotonic()
LOOK_S = 0.01       # between two looks at the console
ASK_S = 0.005       # between two query-status
LASTS_S = 2.2       # a renderer that lives so long counts as one that lasts
GIVE_UP_S = 20.0
FOUND_S = 13.0      # the profile's hang timeout, a PING's interval, and the next renderer
MORE_KIB = 4096     # QEMU's translator takes memory in steps of 2 MiB, now and then one
SCRIPT = r'''
printf "\033[2J\033[H" > /dev/tty1
touch /share/ready
i=0; while [ ! -e /share/stop ]; do i=$((i+1)); echo "line $i" > /dev/tty1; echo $i > /share/beat; usleep 20000 2>/dev/null || sleep 0.02; done
'''


def say(text):
    print(f'{text} ({time.monotonic() - START:.0f} s)', file=sys.stderr, flush=True)


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else None


class Vm:
    """A booted guest, its vgpud and renderer."""

    def __init__(self, name, config):
        self.name = name
        self.work = tempfile.TemporaryDirectory(prefix='vgpu-survive.', ignore_cleanup_errors=True)
        self.runtime = tempfile.TemporaryDirectory(prefix='vgpu-survive-run.', ignore_cleanup_errors=True)
        self.env = dict(os.environ, XDG_RUNTIME_DIR=self.runtime.name)
        self.folder = self.work.name
        os.mkdir(f'{self.folder}/share')
        if config:
            os.mkdir(f'{self.folder}/conf')
            with open(f'{self.folder}/conf/vgpud.conf', 'w') as f:
                f.write(config)
            subprocess.run(['vgpud', '--autostart', '--config', f'{self.folder}/conf'], env=self.env, check=True)
        with open(f'{self.folder}/out', 'w') as out:
            self.boot = subprocess.Popen(
                [os.environ['VGPU_TOP'] + '/tests/boot', '--name', name, '--device', 'vgpu-pci,profile=quarter,id=gpu0,xres=800,yres=600',
                 '--dir', f'{self.folder}/boot', '--share', f'{self.folder}/share', '--timeout', '3000', '--run', SCRIPT,
                 '--qemu-arg', '-qmp', '--qemu-arg', f'unix:{self.folder}/second.sock,server=on,wait=off'],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env)
        end = time.monotonic() + 600
        while not os.path.exists(f'{self.folder}/share/ready'):
            if self.boot.poll() is not None or time.monotonic() > end:
                with open(f'{self.folder}/out') as f:
                    sys.exit('the guest did not come up:\n' + f.read()[-2000:])
            time.sleep(0.2)
        self.qmp = Qmp(f'{self.folder}/boot/qmp.sock', GIVE_UP_S)
        time.sleep(1)

    def ctl(self, *words):
        return subprocess.run(['vgpuctl', *words], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def row(self):
        rows = [r for r in json.loads(self.ctl('list', '--json').stdout or '[]') if r['vm'] == self.name]
        return rows[0] if rows else {}

    def process(self, comm):
        """The pid of QEMU or vgpud of this VM: by its environment's runtime folder."""
        for path in glob.glob('/proc/[0-9]*/comm'):
            try:
                with open(path) as f:
                    if not f.read().startswith(comm):
                        continue
                with open(path.replace('comm', 'environ'), 'rb') as f:
                    if f'XDG_RUNTIME_DIR={self.runtime.name}'.encode() in f.read().split(b'\0'):
                        return int(path.split('/')[2])
            except OSError:
                continue
        return None

    def look(self):
        """The console's picture, as bytes."""
        path = f'{self.folder}/look.ppm'
        self.qmp.command('screendump', filename=path)
        with open(path, 'rb') as f:
            return f.read()

    def beat(self):
        try:
            with open(f'{self.folder}/share/beat') as f:
                return f.read()
        except OSError:
            return ''

    def lives(self):
        before = self.beat()
        end = time.monotonic() + GIVE_UP_S
        while self.beat() == before:
            if self.boot.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def close(self):
        open(f'{self.folder}/share/stop', 'w').close()
        try:
            self.boot.wait(60)
        except subprocess.TimeoutExpired:
            say(f'the guest does not end, its device is {self.row().get("state")}')
            self.boot.kill()
        if self.boot.wait() != 0:
            for path in ('out', 'boot/console.log'):
                with open(f'{self.folder}/{path}', errors='replace') as f:
                    say(f'{path} ends with:\n' + ''.join(f.readlines()[-12:]))
        return self.boot.returncode == 0


class Asker(threading.Thread):
    """query-status on a connection of its own; (when, ms) of each."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.qmp = Qmp(path, GIVE_UP_S)
        self.samples, self.quit = [], False

    def run(self):
        while not self.quit:
            start = time.monotonic()
            try:
                self.qmp.command('query-status')
            except (OSError, QmpError):
                return
            self.samples.append((start, (time.monotonic() - start) * 1000))
            time.sleep(ASK_S)


def wait_dead(pid):
    end = time.monotonic() + GIVE_UP_S
    while time.monotonic() < end:
        try:
            with open(f'/proc/{pid}/stat') as f:
                if f.read().rsplit(')', 1)[1].split()[0] in 'ZX':
                    return True
        except OSError:
            return True
        time.sleep(0.001)
    return False


def strike(vm, sig):
    """Seconds from the signal to the first new frame; None: none came."""
    pid = vm.row().get('pid')
    if not pid:
        return None
    start = time.monotonic()
    os.kill(pid, sig)
    if sig == signal.SIGKILL and not wait_dead(pid):
        return None
    before = vm.look()
    while time.monotonic() - start < GIVE_UP_S:
        if vm.look() != before:
            return time.monotonic() - start
        time.sleep(LOOK_S)
    return None


def watch(vm, seconds):
    """Looks at the console as strike() does, and nobody is struck."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        vm.look()
        time.sleep(LOOK_S)


def kills(vm, count, raw):
    asker = Asker(f'{vm.folder}/second.sock')
    asker.start()
    times, spans, lost = [], [], 0
    quiet_from = time.monotonic()
    watch(vm, 20)
    quiet_to = time.monotonic()
    for number in range(count):
        if number % 10 == 0:
            say(f'kill {number}/{count}')
        begin = time.monotonic()
        took = strike(vm, signal.SIGKILL)
        spans.append((begin, time.monotonic()))
        if took is None or not vm.lives():
            lost += 1
            say(f'kill {number}: the VM is lost: {vm.row()}')
            if vm.boot.poll() is not None:
                break
        else:
            times.append(took)
        watch(vm, LASTS_S - (took or 0))
    asker.quit = True
    asker.join()
    idle = [ms for t, ms in asker.samples if quiet_from <= t < quiet_to]
    during = [ms for t, ms in asker.samples if any(a <= t < b for a, b in spans)]
    raw['kills'] = {'seconds': times, 'lost': lost, 'idle_ms': idle, 'during_ms': during}
    return times, lost, idle, during


def stands_still(vm, raw):
    """SIGSTOP: seconds until there is a new frame, and QEMU's longest silence meanwhile, ms."""
    asker = Asker(f'{vm.folder}/second.sock')
    asker.start()
    took = strike(vm, signal.SIGSTOP)
    asker.quit = True
    asker.join()
    worst = max((ms for _, ms in asker.samples), default=None)
    raw['stopped'] = {'seconds': took, 'worst_ms': worst}
    return took, worst


def held(pid):
    """Descriptors, and KiB of memory of its own."""
    with open(f'/proc/{pid}/status') as f:
        anon = next(int(line.split()[1]) for line in f if line.startswith('RssAnon:'))
    return len(os.listdir(f'/proc/{pid}/fd')), anon


def restarts(count, raw):
    vm = Vm('many', '[renderer]\nkind=2d\n')
    found, times, failed = {}, [], 0
    for number in range(1, count + 1):
        if number % 100 == 0:
            say(f'restart {number}/{count}')
        start = time.monotonic()
        done = vm.ctl('restart', vm.name)
        times.append(time.monotonic() - start)
        if done.returncode:
            failed += 1
            say(f'restart {number}: {done.stderr.strip()}')
        if number == 10 or number % 100 == 0 or number == count:
            time.sleep(2)
            found[number] = {name: held(vm.process(comm)) for name, comm in (('qemu', 'qemu-system'), ('vgpud', 'vgpud'))}
    lives = vm.lives()
    ends = vm.close()
    raw['restarts'] = {'seconds': times, 'failed': failed, 'held': found, 'lives': lives, 'ends': ends}
    return found[10], found[count], times, failed + (not lives) + (not ends)


def main():
    parser = argparse.ArgumentParser(prog='tests/bench/run survive')
    parser.add_argument('--json')
    parser.add_argument('--kills', type=int, default=200)
    parser.add_argument('--restarts', type=int, default=1000, help='0: none')
    parser.add_argument('--keep-going', action='store_true')
    opts = parser.parse_args()
    if opts.kills < 0 or (opts.restarts and opts.restarts < 20):
        parser.error('--kills is at least 0 and --restarts at least 20, or 0')
    out = opts.json or os.path.join(os.environ['VGPU_CACHE'], 'log', time.strftime('bench-%Y%m%d-%H%M%S'), 'survive.json')
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    rows, raw = [], {}
    if opts.kills:
        vm = Vm('survivor', None)
        say('the guest is up')
        times, lost, idle, during = kills(vm, opts.kills, raw)
        slow, silent = stands_still(vm, raw)
        ends = vm.close()
        groups = [times[i:i + 50] for i in range(0, len(times), 50)]
        worst = max((max(g) for g in groups if g), default=None)
        rows += [row('kill_to_frame_median', 's', median(times) if times else None, ('<=', 1.0)),
                 row('kill_to_frame_worst', 's', worst, ('<=', 2.0)),
                 row('vms_lost', '', lost + (not ends), ('<=', 0)),
                 row('qmp_p99_idle', 'ms', percentile(idle, 0.99)),
                 row('qmp_p99_during', 'ms', percentile(during, 0.99)),
                 row('qmp_p99_over_idle', 'ratio', percentile(during, 0.99) / percentile(idle, 0.99) if during and idle else None,
                     ('<=', 1.5)),
                 row('stopped_to_frame', 's', slow, ('<=', FOUND_S)),
                 row('stopped_qmp_worst', 'ms', silent)]
    if opts.restarts:
        early, late, times, failed = restarts(opts.restarts, raw)
        rows += [row('restart_median', 's', median(times)), row('restarts_failed', '', failed, ('<=', 0))]
        for name in ('qemu', 'vgpud'):
            rows += [row(f'{name}_descriptors_more', '', late[name][0] - early[name][0], ('<=', 0)),
                     row(f'{name}_memory_more', 'KiB', late[name][1] - early[name][1], ('<=', MORE_KIB))]
    write(out, rows, raw=raw)
    print(f'{opts.kills} kills, {opts.restarts} restarts; guest 2 vCPUs under TCG; host {os.cpu_count()} CPUs, load {os.getloadavg()[1]:.1f}')
    show(rows)
    print(f'figures: {out}')
    return status(rows, opts.keep_going)


if __name__ == '__main__':
    sys.exit(main())
