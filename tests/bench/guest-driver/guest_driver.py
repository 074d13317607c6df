# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/bench/run guest-driver: our driver in the guest against the stock one.

Theory of operation.  One VM has two vgpu-pci of the same profile.  Our driver
has the one and the stock driver the other: vgpu is unbound from it by sysfs, as
stock drivers take a vgpu for a plain virtio-gpu.  A program sees one of them
alone, in a mount namespace whose /dev/dri has its nodes only.  A round is each
program on both, within seconds and in turns (ABBA over the rounds); a ratio is
taken inside a round, the figure is the median of the rounds'.  In the middle
the drivers change devices, so that what tells the devices or their renderers
apart cancels out.

Empty submits go to a null renderer, in a VM of their own: nothing but the
driver, the device and their queue is measured.  They are counted by the clock,
two seconds at a time and many times, and by the CPU time of the guest's vCPUs
that a submit takes: on a machine that has other work the clock says little (from
one round to the next the ratio was between 0.4 and 1.7), so the goal is for the
second.  The program's start and end are in there.

Lock waits are what the kernel's own tracepoints (lock:contention_begin, _end)
say of the processes that submit, while 1, 2 and 4 of them do: the time that was
waited for locks, of whatever kind, divided by the submits.  The guest has two
CPUs; where the host takes one away from who holds a lock the other waits for
milliseconds, which is in there too.

What is refused is asked for at the limit, and compared with the round trip of a
fence at that moment.
"""
import argparse
import math
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'vulkan'))
from table import row, show, status, write  # noqa: E402
from vulkan import Guest, QmpError, middle, result, usable  # noqa: E402

START = time.monotonic()
SLOTS = ('0000:00:05.0', '0000:00:06.0')
VENUS = 'VK_DRIVER_FILES=/usr/share/vulkan/icd.d/virtio_icd.json'
ZINK = f'{VENUS} LIBGL_ALWAYS_SOFTWARE=1 MESA_LOADER_DRIVER_OVERRIDE=zink'
GLMARK = 'glmark2-es2-drm --size 800x600 -b {}:duration={{seconds}}'

# name: (how it is run, the word by which its own result is known)
SCENES = {
    'build': GLMARK.format('build:use-vbo=true'),
    'texture': GLMARK.format('texture'),
    'shading': GLMARK.format('shading'),
}
VULKAN = {
    'draws': f'{VENUS} /tmp/vk/vk-draw --side 512 --cells 16 --seconds {{seconds}} --json',
    'dispatches': f'{VENUS} /tmp/vk/vk-compute --words 4096 --rounds 16 --seconds {{seconds}} --json',
    'compute': f'{VENUS} /tmp/vk/vk-compute --words 262144 --rounds 512 --seconds {{seconds}} --json',
    'zink': f'{ZINK} /tmp/vk/gl-triangle --size 1024 --seconds {{seconds}} --json',
}
PARTS = ('programs', 'submits', 'locks', 'refused')

# In the guest.
PRELUDE = r'''
export XDG_RUNTIME_DIR=/run/user/0
nodes() { ls -d /sys/bus/pci/devices/$1/drm/* /sys/bus/pci/devices/$1/virtio*/drm/* 2> /dev/null | grep -E '/(card|renderD)[0-9]+$' || true; }
# give ADDRESS DRIVER: and its nodes are there
give() {
    v=$(basename /sys/bus/pci/devices/$1/virtio*)
    modprobe $2
    if [ -e /sys/bus/virtio/devices/$v/driver ]; then echo $v > /sys/bus/virtio/devices/$v/driver/unbind; fi
    echo $v > /sys/bus/virtio/drivers/$2/bind
    n=0; until nodes $1 | grep -q render || [ $n = 100 ]; do sleep 0.1; n=$((n+1)); done
    echo "$1=$(basename "$(readlink /sys/bus/virtio/devices/$v/driver)") $(nodes $1 | sed 's#.*/##' | paste -sd' ')"
}
# on ADDRESS COMMAND: which sees that device alone
on() {
    nodes $1 | while read -r n; do echo "$(basename $n) $(tr : ' ' < $n/dev)"; done > /tmp/nodes-$1
    unshare -m sh -c 'mount -t tmpfs dri /dev/dri; while read -r name numbers; do mknod /dev/dri/$name c $numbers; done < /tmp/nodes-'$1"; $2"
}
'''


def say(what):
    print(f'{what} ({time.monotonic() - START:.0f} s)', file=sys.stderr, flush=True)


class Vm(Guest):
    """Two devices, and which driver has which."""

    def __init__(self, name, profile, config=None):
        second = ('--device', f'vgpu-pci,profile={profile},addr=6', '--driver', 'vgpu')
        super().__init__(name, f'vgpu-pci,profile={profile},addr=5', options=second, config=config)
        self.has = {}

    def give(self, ours, stock):
        """The slots to the drivers; False: one has not got it."""
        self.has = {'ours': SLOTS[ours], 'stock': SLOTS[stock]}
        # both free first: neither driver is to wait for the other's device
        said = self.shell(f'{PRELUDE}give {self.has["stock"]} virtio_gpu; give {self.has["ours"]} vgpu', 60)
        if f'{self.has["ours"]}=vgpu' not in said or f'{self.has["stock"]}=virtio_gpu' not in said:
            raise RuntimeError(f'the drivers do not have their devices: {said}')

    def on(self, driver, command, seconds):
        return self.shell(f"{PRELUDE}on {self.has[driver]} '{command}'", seconds)

    def vcpu_seconds(self):
        """CPU time of the threads that are the guest's processors."""
        with open(f'{self.work.name}/boot/qemu.pid') as f:
            tasks = f'/proc/{int(f.read())}/task'
        ticks = 0
        for cpu in self.qmp.command('query-cpus-fast'):
            with open(f"{tasks}/{cpu['thread-id']}/stat") as f:
                fields = f.read().rsplit(')', 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf('SC_CLK_TCK')


def turns(number):
    """ABBA."""
    return ('ours', 'stock') if number % 4 in (0, 3) else ('stock', 'ours')


def ratio(rounds, name, better=1):
    """The median of the rounds' ratios; better: -1 where less is better."""
    return middle([(r['ours'][name] / r['stock'][name]) ** better for r in rounds
                   if r['ours'].get(name) and r['stock'].get(name)])


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values and all(values) else None


# ---- programs -----------------------------------------------------------------

def frames(text):
    found = re.findall(r'FPS: (\d+)', text)
    return int(found[-1]) if found and 'virgl' in text else None


def measure_programs(vm, opts, raw):
    rounds, problems = [], []
    todo = [('gl', n, c) for n, c in SCENES.items()] + [('vulkan', n, c) for n, c in VULKAN.items()]
    for number in range(opts.rounds):
        vm.give(number % 2, 1 - number % 2)
        rates = {'ours': {}, 'stock': {}}
        for kind, name, command in todo:
            say(f'round {number + 1}/{opts.rounds}: {name}')
            for driver in turns(number):
                text = vm.on(driver, command.format(seconds=opts.seconds), opts.seconds)
                raw.write(f'{number} {driver} {name}:\n{text}\n')
                says = 'Virtio-GPU Venus' if name != 'zink' else 'zink'
                rate = frames(text) if kind == 'gl' else usable(result(text), says)
                rates[driver][name] = rate
                if not rate:
                    problems.append(f'round {number + 1}, {driver}: {name}: {text.strip()[-300:] or "no result"}')
        rounds.append(rates)
    rows = [row(f'driver_{n}_over_stock', 'ratio', ratio(rounds, n)) for n in (*SCENES, *VULKAN)]
    for name, programs in (('gl', SCENES), ('vulkan', VULKAN), ('all', {**SCENES, **VULKAN})):
        rows.append(row(f'driver_{name}_geomean_over_stock', 'ratio', geomean([ratio(rounds, n) for n in programs]),
                        goal=('>=', 1.0) if name == 'all' else None))
    return rows, rounds, problems


# ---- empty submits --------------------------------------------------------------

def measure_submits(vm, opts, raw):
    rounds, problems = [], []
    for number in range(opts.rounds * 4):
        if number % 4 == 0:
            say(f'empty submits, {number + 1}/{opts.rounds * 4}')
            vm.give(number // 4 % 2, 1 - number // 4 % 2)
        found = {'ours': {}, 'stock': {}}
        for driver in turns(number):
            before = vm.vcpu_seconds()
            text = vm.on(driver, '/tmp/vk/gpu-raw rate 2', 2)
            cpu = vm.vcpu_seconds() - before
            raw.write(f'{number} {driver} submits: {text}')
            rate = re.search(r'^rate=(\d+)', text, re.M)
            if rate:
                found[driver] = {'rate': int(rate[1]), 'cpu_us': cpu / (2 * int(rate[1])) * 1e6}
            else:
                problems.append(f'submits, {driver}: {text.strip()[-300:]}')
        rounds.append(found)
    rows = [
        row('driver_empty_submits', '1/s', middle([r['ours'].get('rate') for r in rounds]),
            rival=middle([r['stock'].get('rate') for r in rounds])),
        row('driver_empty_submits_over_stock', 'ratio', ratio(rounds, 'rate')),
        row('driver_empty_submit_vcpu', 'us', middle([r['ours'].get('cpu_us') for r in rounds]),
            rival=middle([r['stock'].get('cpu_us') for r in rounds])),
        row('driver_empty_submits_per_vcpu_time_over_stock', 'ratio', ratio(rounds, 'cpu_us', -1), goal=('>=', 1.3)),
    ]
    return rows, rounds, problems


# ---- locks ----------------------------------------------------------------------

TRACED = '''
t=/sys/kernel/tracing; [ -e $t/trace ] || mount -t tracefs tracefs $t
echo 0 > $t/tracing_on; echo > $t/trace; echo 8192 > $t/buffer_size_kb
for e in begin end; do echo "comm == \\"gpu-raw\\"" > $t/events/lock/contention_$e/filter; echo 1 > $t/events/lock/contention_$e/enable; done
echo 1 > $t/tracing_on
'''
TRACED_END = '''
echo 0 > $t/tracing_on
for e in begin end; do echo 0 > $t/events/lock/contention_$e/enable; done
cp $t/trace /share/trace
'''
EVENT = re.compile(r'^\s*gpu-raw-(\d+)\s+\[\d+\]\s+\S+\s+([\d.]+): contention_(begin|end): (\S+)', re.M)


def waits(trace):
    """The waits for locks in a trace, in milliseconds."""
    begun, found = {}, []
    for pid, when, what, lock in EVENT.findall(trace):
        if what == 'begin':
            begun[pid, lock] = float(when)
        elif (pid, lock) in begun:
            found.append((float(when) - begun.pop((pid, lock))) * 1e3)
    return found


def measure_locks(vm, opts, raw):
    rounds, problems = [], []
    vm.give(0, 1)
    for number in range(opts.rounds):
        found = {'ours': {}, 'stock': {}}
        for count in (1, 2, 4):
            say(f'locks, round {number + 1}/{opts.rounds}: {count} processes')
            for driver in turns(number):
                text = vm.shell(PRELUDE + TRACED + f"on {vm.has[driver]} '" + '/tmp/vk/gpu-raw rate 2 & ' * count +
                                "wait'" + TRACED_END, 20)
                rates = [int(r) for r in re.findall(r'^rate=(\d+)', text, re.M)]
                with open(f'{vm.share}/trace') as f:
                    found_waits = waits(f.read())
                raw.write(f'{number} {driver} {count} processes: {rates} {sorted(found_waits)[-20:]} of {len(found_waits)}\n')
                if len(rates) != count:
                    problems.append(f'locks, {driver}: {text.strip()[-300:]}')
                    continue
                submits = 2 * sum(rates)
                found[driver][f'wait_{count}'] = sum(found_waits) / submits * 1e3
        rounds.append(found)

    def of(driver, name):
        return middle([r[driver].get(name) for r in rounds])

    rows = [row(f'driver_lock_wait_{n}', 'us', of('ours', f'wait_{n}'), rival=of('stock', f'wait_{n}')) for n in (1, 2, 4)]
    first, last = of('ours', 'wait_1'), of('ours', 'wait_4')
    rows.append(row('driver_lock_wait_4_less_1', 'us', None if first is None or last is None else last - first,
                    goal=('<=', 1.0)))
    return rows, rounds, problems


# ---- refused --------------------------------------------------------------------

def measure_refused(vm, opts, raw):
    rounds, problems = [], []
    vm.give(0, 1)
    for number in range(opts.rounds):
        say(f'refused allocations, round {number + 1}/{opts.rounds}')
        text = vm.on('ours', '/tmp/vk/gpu-raw refused 8 50', 60)
        raw.write(f'{number} refused: {text}')
        found = re.search(r'^refused-us=(\d+) fence-us=(\d+)', text, re.M)
        if found:
            rounds.append({'refused_us': int(found[1]), 'fence_us': int(found[2])})
        else:
            problems.append(f'refused: {text.strip()[-300:]}')
    rows = [row('driver_refused', 'us', middle([r['refused_us'] for r in rounds])),
            row('driver_fence', 'us', middle([r['fence_us'] for r in rounds])),
            row('driver_refused_over_fence', 'ratio', middle([r['refused_us'] / r['fence_us'] for r in rounds]), goal=('<=', 2.0))]
    return rows, rounds, problems


def main():
    parser = argparse.ArgumentParser(prog='tests/bench/run guest-driver')
    parser.add_argument('parts', nargs='*', metavar='PART', help=f"of {', '.join(PARTS)}")
    parser.add_argument('--json')
    parser.add_argument('--rounds', type=int, default=4)
    parser.add_argument('--seconds', type=int, default=4, help='for each program')
    parser.add_argument('--keep-going', action='store_true')
    opts = parser.parse_args()
    for part in opts.parts:
        if part not in PARTS:
            parser.error(f"there is no part '{part}': {', '.join(PARTS)}")
    if opts.rounds < 1 or opts.seconds < 1:
        parser.error('--rounds and --seconds are at least 1')
    parts = [p for p in PARTS if not opts.parts or p in opts.parts]
    out = opts.json or os.path.join(os.environ['VGPU_CACHE'], 'log', time.strftime('bench-%Y%m%d-%H%M%S'), 'figures.json')
    os.makedirs(f'{out}-raw', exist_ok=True)
    rows, rounds, problems = [], {}, []
    with tempfile.TemporaryDirectory(prefix='vgpu-bench.') as work, open(f'{out}-raw/said.txt', 'w') as raw:
        programs = f'{work}/programs'
        os.mkdir(programs)
        for name in ('gpu-raw', 'gl-triangle', 'vk-draw', 'vk-compute'):
            subprocess.run(['cp', f"{os.environ['VGPU_BUILD']}/tests/guest/programs/{name}", programs], check=True)
        os.makedirs(f'{work}/null/profiles.d')
        with open(f'{work}/null/vgpud.conf', 'w') as f:
            f.write('[renderer]\nkind=null\n')
        os.makedirs(f'{work}/tiny/profiles.d')
        with open(f'{work}/tiny/profiles.d/tiny.conf', 'w') as f:
            f.write('[tiny]\nmemory=160M\nshare=10%\n')
        try:
            for names, vm in ((('programs',), Vm('programs', 'half')), (('submits', 'locks'), Vm('null', 'half', f'{work}/null')),
                              (('refused',), Vm('refused', 'tiny', f'{work}/tiny'))):
                wanted = [n for n in names if n in parts]
                if not wanted:
                    continue
                try:
                    say(f"boot for {', '.join(wanted)}")
                    vm.start(programs)
                    for name in wanted:
                        r, rounds[name], p = globals()[f'measure_{name}'](vm, opts, raw)
                        rows += r
                        problems += p
                finally:
                    vm.end()
        except (OSError, QmpError, RuntimeError, subprocess.TimeoutExpired) as error:
            print(f'tests/bench/run guest-driver: {error}', file=sys.stderr)
            return 2
    write(out, rows, rounds=rounds)
    print(f'ours: vgpu; rival: the stock virtio_gpu, in the same VM on a second vgpu-pci; {opts.rounds} rounds, medians; '
          f'guest 2 vCPUs; host {os.cpu_count()} CPUs, load {os.getloadavg()[1]:.1f}')
    show(rows)
    print(f'figures: {out}; raw: {out}-raw/')
    return status(rows, opts.keep_going, problems)


if __name__ == '__main__':
    sys.exit(main())
