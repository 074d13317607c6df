# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs at work, and everything that can go wrong on their host does.

Theory of operation.  Guests render: four when all is asked for (OpenGL, Vulkan, both,
2D alone), else two.  For some seconds a random fault strikes every moment: renderers, the render servers and contexts
below them and vgpud are killed or stand still, descriptors run out, memory files cannot be
made or have no room, OpenGL fails in the middle of its start, the disk is full, the clock
jumps, an operator restarts a renderer.  Some last for a while, and overlap.  Then it is calm, and:

  nothing hangs      each QEMU answered all the time; each guest gets to its end
  every VM works     its screen shows what it paints then, new programs render on the host
  it was told        of each blow there is a line in a log that names the VM and the cause
  nothing leaks      QEMU's descriptors are as many as before; with the last VM everything
                     that this run has started is gone, and what was booked is free

The seed is printed: VGPU_TEST_SEED=N strikes in the same order again (what each blow
meets depends on time, too).
"""
import os
import random
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'env'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import host  # noqa: E402
from guest import PATIENCE_S, Vm  # noqa: E402

SECONDS = 8
FULL_SECONDS = 600
FULL_WORK = ['gl', 'vulkan', 'both', '2d']
WORK = ['both', '2d']
TOLD_S = 40     # a renderer that stands still is found after 12 s, and then there are three others
FDS_MORE = 4    # of QEMU: a handful come and go
BOOT_S = 240
SAVES_S = 6     # a vgpud that could not has written its state file by then
AT_ONCE = 4     # faults that last


class Tap:
    def __init__(self):
        self.count, self.bad = 0, 0

    def ok(self, good, name, why=''):
        self.count += 1
        print(f'{"ok" if good else "not ok"} {self.count} - {name}', flush=True)
        if not good:
            self.bad += 1
            for line in str(why).splitlines()[-25:]:
                print('# ' + line, flush=True)
        return good


class Blow:
    """One thing that was done: to whom, and what a log has to say of it from there on."""

    def __init__(self, what, vm=None, told=None):
        self.what, self.vm, self.told = what, vm, told
        self.at = time.monotonic()
        self.log_from = len(host.log())
        self.err_from = len(vm.err()) if vm else 0

    def was_told(self):
        if not self.told:
            return True
        text = host.log()[self.log_from:] + (self.vm.err()[self.err_from:] if self.vm else '')
        return re.search(self.told, text) is not None


def lost(vm):
    """What is said of a renderer that is gone: by QEMU, by its vgpud, or by the next one."""
    n = re.escape(vm.name)
    return (rf"VM '{n}' (lost its renderer|got no new renderer) \(|renderer of {n} (was|ended)|{n}: its renderer ended while"
            rf"|{n}: .*(cannot|could not|did not)")


class Chaos:
    def __init__(self, vms, seed, folder, full_disk):
        self.vms, self.random, self.folder = vms, random.Random(seed), folder
        self.blows, self.lasting, self.background = [], [], []
        self.saved_at = 0 # what vgpud knows is in its state file from then on
        self.seen = set() # (pid, born): of all processes below a renderer
        self.strikes = [(6, self.renderer), (4, self.child), (3, self.vgpud_killed), (2, self.vgpud_stopped), (2, self.starved),
                        (4, self.refused), (2, self.egl), (1, self.restart),
                        (1, self.clock)] + [(1, self.full)] * full_disk

    def some_vm(self):
        return self.random.choice(self.vms)

    def some_signal(self):
        return self.random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])

    # ---- blows: each gives a Blow, or None where there was nobody to strike ----

    def renderer(self):
        vm, sig = self.some_vm(), self.some_signal()
        pids = host.renderers(vm.name)
        if not pids:
            return None
        blow = Blow(f'{sig.name} for the renderer of {vm.name}', vm, lost(vm))
        return blow if host.kill(pids[0], sig) else None

    def child(self):
        vm, sig = self.some_vm(), self.some_signal()
        pids = [p for r in host.renderers(vm.name) for p in host.below(r)]
        if not pids:
            return None
        pid = self.random.choice(pids)
        # one that stands still, of which nobody wants anything, is noticed by nobody
        told = None if sig == signal.SIGSTOP else lost(vm) + rf"|VM '{vm.name}'.* (is lost|has ended|has no Vulkan)|{vm.name}.*suppressed"
        blow = Blow(f'{sig.name} for {host.read(f"/proc/{pid}/comm").strip()} of {vm.name}', vm, told)
        return blow if host.kill(pid, sig) else None

    def vgpud_killed(self):
        """But not when it could not write down which VMs it has: then the next one knows them not, as its log says."""
        pid = host.vgpud()
        if not pid or time.monotonic() < self.saved_at:
            return None
        blow = Blow('SIGKILL for vgpud')
        host.kill(pid, signal.SIGKILL)
        host.wait_for(10, lambda: not host.alive(pid))
        if self.random.random() < 0.5:
            time.sleep(self.random.uniform(0, 1))
        host.serve()
        return blow

    def last(self, fault, seconds):
        self.lasting.append((time.monotonic() + seconds, fault))
        if isinstance(fault, host.Full) or isinstance(fault, host.Starved) and fault.pid == host.vgpud():
            self.saved_at = max(self.saved_at, time.monotonic() + seconds + SAVES_S)

    def vgpud_stopped(self):
        pid = host.vgpud()
        if not pid:
            return None
        self.last(host.Stopped(pid), self.random.uniform(0.5, 3))
        return Blow('vgpud stands still')

    def starved(self):
        vm = self.some_vm()
        pid = self.random.choice([host.vgpud(), host.qemu(vm.name)])
        if not pid:
            return None
        try:
            self.last(host.Starved(pid), self.random.uniform(1, 3))
        except OSError:
            return None
        return Blow(f'no descriptors for {host.read(f"/proc/{pid}/comm").strip()} ({vm.name})')

    def refuse(self, pid, calls, error, when=''):
        path = f'{self.folder}/strace-{len(self.blows)}'
        self.last(host.Refused(pid, calls, error, when, path), self.random.uniform(1, 3))

    def refused(self):
        vm = self.some_vm()
        error = self.random.choice(['ENOSPC', 'ENOMEM', 'EMFILE'])
        calls = 'memfd_create' if error == 'EMFILE' else 'memfd_create,ftruncate,fallocate'
        qemu = host.qemu(vm.name)
        pid = self.random.choice([host.vgpud(), qemu, *host.renderers(vm.name)])
        if not pid:
            return None
        if pid == qemu: # whose guest's folder is in files that are made longer, too
            calls = 'memfd_create'
        self.refuse(pid, calls, error)
        if self.random.random() < 0.5: # so that somebody wants to make some
            for renderer in host.renderers(vm.name):
                if renderer != pid:
                    host.kill(renderer, signal.SIGKILL)
        return Blow(f'{error} of memory files for {host.read(f"/proc/{pid}/comm").strip()} ({vm.name})')

    def egl(self):
        """A new renderer that has no OpenGL yet starts it when the guest wants some: some of the calls for that fail."""
        vm = self.random.choice([vm for vm in self.vms if vm.work != '2d'])
        old = host.renderers(vm.name)
        if not old:
            return None
        blow = Blow(f'OpenGL of {vm.name} fails half-way', vm, lost(vm))
        host.kill(old[0], signal.SIGKILL)
        if host.wait_for(4, lambda: any(p not in old for p in host.renderers(vm.name))):
            new = next((p for p in host.renderers(vm.name) if p not in old), None)
            if new:
                self.refuse(new, 'mmap,openat', 'ENOMEM', f':when={self.random.randint(1, 12)}+{self.random.randint(1, 3)}')
        return blow

    def restart(self):
        vm = self.some_vm()
        if not host.vgpud():
            return None
        self.background.append(subprocess.Popen(['vgpuctl', 'restart', vm.name], stdin=subprocess.DEVNULL,
                                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return Blow(f'vgpuctl restart {vm.name}')

    def full(self):
        if any(isinstance(fault, host.Full) for _, fault in self.lasting):
            return None
        self.last(host.Full(), self.random.uniform(1, 3))
        return Blow('the disk is full')

    def clock(self):
        seconds = self.random.choice([-1, 1]) * self.random.choice([1, 60, 3600, 86400, 20 * 365 * 86400])
        host.set_clock(seconds)
        return Blow(f'the clock is {seconds} s away')

    # ---- the run ----

    def end_lasting(self, now):
        for end, fault in list(self.lasting):
            if end <= now:
                self.lasting.remove((end, fault))
                fault.end()
                if fault.hits is not None:
                    print(f'#   {fault.hits} calls were refused', flush=True)

    def strike(self, begin):
        kinds = [s for weight, s in self.strikes for _ in range(weight)]
        if len(self.lasting) >= AT_ONCE:
            kinds = [self.renderer]
        for vm in self.vms:
            for pid in host.renderers(vm.name):
                self.seen |= {(p, host.born(p)) for p in (pid, *host.below(pid))}
        blow = self.random.choice(kinds)()
        if blow:
            self.blows.append(blow)
            print(f'# {time.monotonic() - begin:6.2f} s: {blow.what}', flush=True)

    def run(self, seconds):
        begin = time.monotonic()
        try:
            while time.monotonic() - begin < seconds and not any(vm.ends() for vm in self.vms):
                self.strike(begin)
                time.sleep(self.random.uniform(0.05, 0.8))
                self.end_lasting(time.monotonic())
        finally:
            self.end_lasting(float('inf'))
            for child in self.background:
                child.wait()


def descriptors(vm):
    pid = host.qemu(vm.name)
    return len(os.listdir(f'/proc/{pid}/fd')) if pid else 0


def check_told(tap, chaos):
    for blow in chaos.blows:
        host.wait_for(max(0.1, blow.at + TOLD_S - time.monotonic()), blow.was_told)
    silent = [b.what for b in chaos.blows if not b.was_told()]
    tap.ok(not silent, f'a log tells of each of the {sum(b.told is not None for b in chaos.blows)} blows, of which VM and why', silent)


def check_vm(tap, vm):
    vm.tell('calm')
    tap.ok(host.wait_for(PATIENCE_S + 60, lambda: vm.has('painted') or vm.ends()) and vm.has('painted'), f'{vm.name} is calm again',
           host.read(f'{vm.folder}/out') + vm.err())
    host.ctl('allow', vm.name) # its 3D, after too many hangs
    if vm.work != '2d': # without its render server, or started when there was no memory, it has no Vulkan until then
        old = host.renderers(vm.name)
        host.ctl('restart', vm.name)
        tap.ok(host.wait_for(PATIENCE_S, lambda: any(p not in old for p in host.renderers(vm.name))), f'{vm.name} is restarted', old)
    tap.ok(host.wait_for(PATIENCE_S, lambda: vm.shows((0xaa, 0xaa, 0xaa))), f'{vm.name} shows what it paints', vm.device_state())
    vm.tell('seen')


def check_end(tap, vm):
    out = f'{vm.folder}/out'
    tap.ok(host.wait_for(PATIENCE_S, lambda: 'GL_RENDERER=virgl' in host.read(out)), f'{vm.name}: OpenGL works on the host',
           host.read(out) + str(host.rows('list')))
    vm.tell('again')
    status = vm.wait(PATIENCE_S + 60)
    tap.ok(status == 0, f'{vm.name} comes to its end', f'status {status}\n' + host.read(out) + vm.err())
    if vm.work != '2d':
        tap.ok('vulkan=works' in host.read(out), f'{vm.name}: Vulkan works', host.read(out))


def left(chaos):
    own = {p for p, born in chaos.seen if born and host.born(p) == born}
    own |= {p for p, comm, words in host.processes() if comm.startswith(('vgpu', 'qemu'))}
    return [(p, host.read(f'/proc/{p}/comm').strip(), host.state(p)) for p in own if host.alive(p)]


def check_books(tap, chaos):
    host.wait_for(20, lambda: not host.rows('list'))
    gpus = host.rows('gpus')
    if gpus is not None: # else the last vgpud has left with the last VM
        tap.ok(all(g['memory_booked_bytes'] == 0 for g in gpus), 'nothing is booked', gpus)
    tap.ok(host.wait_for(30, lambda: not left(chaos)), 'nothing that this run has started is left', left(chaos))


def main():
    tap, start = Tap(), time.monotonic()
    folder = sys.argv[1]
    seed = int(os.environ.get('VGPU_TEST_SEED') or random.SystemRandom().randrange(1 << 31))
    full = os.environ.get('VGPU_TEST_FULL') or os.environ.get('VGPU_TEST_CHAOS')
    seconds = float(os.environ.get('VGPU_TEST_CHAOS') or (FULL_SECONDS if full else SECONDS))
    print(f'# VGPU_TEST_SEED={seed}, for {seconds:.0f} s', flush=True)
    full_disk = host.Full.mounted()
    host.set_clock(0)
    vms = [Vm(folder, n + 1, work) for n, work in enumerate(FULL_WORK if full else WORK)]
    try:
        up = all(tap.ok(host.wait_for(BOOT_S, lambda vm=vm: vm.has('ready') or vm.ends()) and vm.has('ready'), f'{vm.name} works',
                        host.read(f'{vm.folder}/out') + host.read(f'{vm.folder}/err')) for vm in vms)
        if not up:
            return 1
        print(f'# all work after {time.monotonic() - start:.0f} s', flush=True)
        before = {vm: descriptors(vm) for vm in vms}
        for vm in vms:
            vm.watch()
        chaos = Chaos(vms, seed, folder, full_disk)
        chaos.run(seconds)
        host.serve()
        for vm in vms:
            check_vm(tap, vm)
        check_told(tap, chaos)
        for vm in vms:
            silent = vm.rest()
            tap.ok(not silent, f'QEMU of {vm.name} answered all the time, after {vm.worst_s:.2f} s at most', silent)
            now = descriptors(vm)
            tap.ok(now <= before[vm] + FDS_MORE, f'it has {now} descriptors, before {before[vm]}')
        print(f'# {time.monotonic() - start:.0f} s', flush=True)
        for vm in vms:
            check_end(tap, vm)
        check_books(tap, chaos)
    finally:
        for vm in vms:
            vm.end()
        if tap.bad:
            for vm in vms:
                print(f'# {vm.name}:\n' + ''.join(f'#   {line}\n' for line in vm.err().splitlines()[-15:]), flush=True)
            print(''.join(f'# {line}\n' for line in host.log().splitlines()[-150:]), flush=True)
        print(f'1..{tap.count}', flush=True)
    return 1 if tap.bad else 0


if __name__ == '__main__':
    sys.exit(main())
