# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/bench/run device: the device path itself, ours, its rivals and the floor.

Theory of operation.  With software rendering the picture hides the path, so
nothing is drawn here that does not have to be: vgpu-bench-device
(tests/qtest/bench-device.c) drives a device at memory speed, and
bench-device-floor gives the same streams to libvirglrenderer in one process.
Everything runs in each round, devices in alternating order, and a ratio is taken
inside its round; figures are medians over the rounds.  The spread is that of the
ratio: what a gate must forgive.

Fences are compared with the floor plus a number of eventfd round trips, measured
in the same round: what a second process costs at the very least.
"""
import argparse
import glob
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from bench import Xvfb  # noqa: E402
import memory  # noqa: E402

START = time.monotonic()
HERE = os.path.dirname(os.path.abspath(__file__))
BASELINE = os.path.join(HERE, 'baseline.json')
# recordings of real programs: NAME.vgr.gz, made with record= of vgpud.conf
RECORDINGS = {os.path.basename(path)[:-len('.vgr.gz')]: path for path in sorted(glob.glob(f'{HERE}/recordings/*.vgr.gz'))}

REPLAYS = [f'replay_{name}' for name in RECORDINGS]
PARTS_3D = ['empty', 'fenced', 'fence', 'fence_1ms', 'fence_5ms', 'transfer', 'capset']
# name: device, more QEMU arguments, parts
SIDES = {
    'ours': ('vgpu-pci,profile=full', '', ['doorbell', 'flush', *PARTS_3D, *REPLAYS]),
    # QEMU's own are not hot-pluggable; two of the first profile would not fit
    'plugged': ('vgpu-pci,profile=quarter', '', ['attach']),
    'idle': ('vgpu-pci', '', ['memory']),
    'crowd': ('vgpu-pci', '', ['vms']),
    'rival': ('virtio-gpu-gl-pci', '-display sdl,gl=on', ['doorbell', *PARTS_3D, *REPLAYS]),
    # GL scanouts of the rival never reach a VNC client: there it is QEMU's 2D device
    'rival2d': ('virtio-gpu-pci', '', ['flush']),
}
# one VM's cost beside how many: of a handover there are two at least
VMS = [1, 10, 100]
FLOOR_PARTS = {'empty', 'fenced', 'fence', 'fence_1ms', 'fence_5ms', 'transfer'}


class Row:
    """A line of the table.  better: 'more' or 'less'.  goals: each a pair of a
    text and a function of the round's (ours, rival, floor, all) that gives
    ours / allowed (less is better) or ours / wanted (more is better); the one
    that is easiest to reach counts."""

    def __init__(self, name, unit, better, goals=(), part=None):
        self.name, self.unit, self.better, self.goals = name, unit, better, goals
        self.part = part or name.rsplit('_p', 1)[0]

    def reached(self, values):
        """The easiest goal's ours / goal in this round, None where there is none."""
        found = []
        for _, function in self.goals:
            try:
                found.append(function(*values))
            except TypeError:           # a figure it needs is not there
                pass
        if not found:
            return None
        return max(found) if self.better == 'more' else min(found)


def over_rival(times):
    return (f'{times:g} x rival', lambda o, r, f, a: o / (times * r))


def over_floor(times):
    return (f'{times:g} x floor', lambda o, r, f, a: o / (times * f))


def faster_than_rival(times):
    return (f'rival / {times:g}', lambda o, r, f, a: o * times / r)


def nearly_floor(times):
    return (f'floor / {times:g}', lambda o, r, f, a: o * times / f)


def floor_and_trips(share):
    return ('floor + 10 eventfd', lambda o, r, f, a: o / (f + 10 * a['floor'][f'eventfd_{share}']))


def beside_idle(o, r, f, a):
    return o / (1.2 * a['ours']['qmp_idle_p99'])


def flat(name, first):
    """No more than beside nobody, but for a tenth."""
    return (f'1.1 x {name}_{first}', lambda o, r, f, a: o / (1.1 * a['ours'][f'{name}_{first}']))


def over_vms(name, unit, first=VMS[0]):
    """The row of how it is with the fewest, and one for each number after that."""
    rows = [Row(f'{name}_{first}', unit, 'less', part='vms')]
    return rows + [Row(f'{name}_{n}', unit, 'less', [flat(name, first)], 'vms') for n in VMS[1:]]


ROWS = [
    Row('empty_submits', '1/s', 'more', [over_rival(3), over_floor(0.7)], 'empty'),
    Row('fenced_submits', '1/s', 'more', [], 'fenced'),
    *[Row(f'{name}_{share}', 'us', 'less', [floor_and_trips(share)])
      for name in ('fence', 'fence_1ms', 'fence_5ms') for share in ('p50', 'p99')],
    Row('transfer_4m', 'MB/s', 'more', [over_floor(0.9)], 'transfer'),
    *[Row(name, 'ms', 'less', [faster_than_rival(1.15), nearly_floor(0.9)]) for name in REPLAYS],
    Row('vnc_updates', '1/s', 'more', [over_rival(1.5)], 'flush'),
    Row('flushes', '1/s', 'more', [], 'flush'),
    Row('first_capset', 'ms', 'less', [('floor + 30 ms', lambda o, r, f, a: o / (f + 30))], 'capset'),
    Row('attach_first', 'ms', 'less', [('100 ms', lambda o, r, f, a: o / 100)], 'attach'),
    Row('attach_next', 'ms', 'less', [('20 ms', lambda o, r, f, a: o / 20)], 'attach'),
    Row('idle_pss', 'MiB', 'less', [('15 MiB', lambda o, r, f, a: o / 15)], 'memory'),
    *over_vms('attach', 'ms'), *over_vms('vgpud', 'us'), *over_vms('memory', 'MiB'), *over_vms('handover', 'us', 2),
    Row('doorbell_p50', 'us', 'less'),
    Row('qmp_idle_p99', 'us', 'less', part='doorbell'),
    *[Row(f'qmp_{part}_p99', 'us', 'less', [('1.2 x idle', beside_idle)], part)
      for part in ('empty', 'fenced', 'fence', 'fence_1ms', 'fence_5ms', 'transfer', 'flush', *REPLAYS)],
]


def arguments():
    parser = argparse.ArgumentParser(prog='tests/bench/run device')
    parser.add_argument('parts', nargs='*', metavar='PART')
    parser.add_argument('--json')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=int, default=2)
    parser.add_argument('--plot', help='an SVG (or, FILE.png, a PNG) of submits per second over the size of a batch')
    parser.add_argument('--gate', action='store_true', help='fail where a ratio is worse than the one kept in the tree')
    parser.add_argument('--keep', action='store_true', help='keep these ratios in the tree')
    opts = parser.parse_args()
    known = set().union(*(side[2] for side in SIDES.values()))
    for part in opts.parts:
        if part not in known:
            parser.error(f"there is no part '{part}': {' '.join(sorted(known))}")
    if opts.rounds < 1:
        parser.error(f'--rounds {opts.rounds}: at least 1')
    return opts


def figures_of(command, what, env=None):
    """The lines of JSON a program prints, as {name: value}."""
    run = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    found = {}
    for line in run.stdout.splitlines():
        if line.startswith('{"name"'):
            figure = json.loads(line)
            found[figure['name']] = figure['value']
    if run.returncode:
        print(f'{what}: ended with status {run.returncode}: {run.stderr.strip()[-400:]}', file=sys.stderr)
    return found, run.returncode == 0


class Machine:
    """Where the programs are, and how much work makes a millisecond."""

    def __init__(self, opts):
        self.opts = opts
        self.floor_program = f"{os.environ['VGPU_BUILD']}/tests/bench/device/bench-device-floor"
        self.device_program = f"{os.environ['VGPU_QEMU_DIR']}/vgpu-bench-device"
        os.environ['QTEST_QEMU_BINARY'] = f"{os.environ['VGPU_QEMU_DIR']}/qemu-system-x86_64"
        self.failed = []
        self.unpacked = tempfile.TemporaryDirectory(prefix='vgpu-bench.')
        found, _ = figures_of([self.floor_program, 'calibrate'], 'floor')
        self.work = [f"--clears-1ms={int(found['clears_1ms'])}", f"--clears-5ms={int(found['clears_5ms'])}"]

    def _run(self, command, what, env=None):
        found, fine = figures_of(command, what, env)
        if not fine:
            self.failed.append(what)
        return found

    def floor(self, parts):
        wanted = [p for p in parts if p in FLOOR_PARTS]
        # its start is timed in a process that has done nothing yet
        found = self._run([self.floor_program, 'init'], 'floor') if 'capset' in parts else {}
        found.update(self._run([self.floor_program, f'--seconds={self.opts.seconds}', *self.work, 'eventfd', *wanted], 'floor'))
        for part in (p for p in REPLAYS if p in parts):
            program = f"{os.environ['VGPU_BUILD']}/backend/replay/vgpu-replay"
            found[part] = self._run([program, RECORDINGS[part[len('replay_'):]]], f'floor {part}').get('replay')
        return {name: value for name, value in found.items() if value is not None}

    def _raw(self, part):
        """The recording of a part, unpacked: the device's driver reads it as it is."""
        name = part[len('replay_'):]
        path = f'{self.unpacked.name}/{name}'
        if not os.path.exists(path):
            with gzip.open(RECORDINGS[name]) as packed, open(path, 'wb') as raw:
                raw.write(packed.read())
        return path

    def vms(self):
        """What a VM costs beside others, on null renderers: see vms.c."""
        program = f"{os.environ['VGPU_BUILD']}/tests/bench/device/bench-device-vms"
        tools = dict(os.environ, VGPUCTL=f"{os.environ['VGPU_BUILD']}/backend/vgpuctl/vgpuctl")
        found = {}
        for n in VMS:
            found.update(self._run([program, 'attach', str(n)], f'{n} VMs', tools))
        # renderers whose submits cost what they say
        player = f'{self.unpacked.name}/player'
        with open(player, 'w') as f:
            f.write(f'#!/bin/sh\nexec {os.environ["VGPU_RENDERER"]} --null-submit-us=-1 --null-submit-how=sleep "$@"\n')
        os.chmod(player, 0o755)
        for n in [2, *VMS[1:]]:
            found.update(self._run([program, 'handover', str(n)], f'handover with {n} VMs',
                                   dict(tools, VGPU_RENDERER=player, VGPU_TEST_RENDERER_ARGS='--no-sandbox')))
        return found

    def side(self, name, parts, more=()):
        device, args, has = SIDES[name]
        found = {}
        for part in (p for p in has if p in parts):
            if part == 'vms':
                found.update(self.vms())
                continue
            if part == 'memory':
                try:
                    found.update(memory.measure(os.environ['QTEST_QEMU_BINARY']))
                except (OSError, TimeoutError) as error:
                    print(error, file=sys.stderr)
                    self.failed.append(f'{name} {part}')
                continue
            # one process for each: a device that fails costs one part
            command = [self.device_program, f'--device={device}', f'--args={args}', f'--seconds={self.opts.seconds}',
                       *self.work, *more]
            if part in REPLAYS:
                result = self._run([*command, f'--recording={self._raw(part)}', 'replay'], f'{name} {part}')
                if result.get('replay_refused'):
                    self.failed.append(f"{name} {part}: it refused {result['replay_refused']:.0f} commands")
                result = {part: result['replay'], f'qmp_{part}_p99': result['qmp_replay_p99']} if 'replay' in result else {}
            else:
                result = self._run([*command, part], f'{name} {part}')
            found.update(result)
        return found


def measure(machine, parts):
    rounds = []
    for number in range(machine.opts.rounds):
        order = ['floor', 'rival', 'ours', 'rival2d', 'plugged', 'idle', 'crowd']
        results = {}
        for name in order if number % 2 == 0 else order[::-1]:
            print(f'[{number + 1}/{machine.opts.rounds}] {name} ({time.monotonic() - START:.0f} s)', file=sys.stderr, flush=True)
            results[name] = machine.floor(parts) if name == 'floor' else machine.side(name, parts)
        results['rival'] = {**results['rival2d'], **results['rival']}
        results['ours'] = {**results['plugged'], **results['idle'], **results['crowd'], **results['ours']}
        rounds.append(results)
    return rounds


def ratios(row, rounds, other):
    return [r['ours'][row.name] / r[other][row.name] for r in rounds
            if r['ours'].get(row.name) and r[other].get(row.name)]


def spread(values):
    return (max(values) - min(values)) / median(values) if len(values) > 1 else 0.0


def table(rows, rounds):
    result = []
    for row in rows:
        values = {side: [r[side][row.name] for r in rounds if row.name in r[side]] for side in ('ours', 'rival', 'floor')}
        if not values['ours']:
            continue
        reached = [row.reached((r['ours'][row.name], r['rival'].get(row.name), r['floor'].get(row.name), r))
                   for r in rounds if row.name in r['ours']]
        reached = [v for v in reached if v is not None]
        by_rival, by_floor = ratios(row, rounds, 'rival'), ratios(row, rounds, 'floor')
        line = {'name': row.name, 'unit': row.unit}
        line.update({side: median(v) if v else None for side, v in values.items()})
        line['ours/rival'] = median(by_rival) if by_rival else None
        line['ours/floor'] = median(by_floor) if by_floor else None
        line['spread'] = max(spread(by_rival), spread(by_floor)) if by_rival or by_floor else spread(values['ours'])
        line['goal'] = ' or '.join(text for text, _ in row.goals) if reached else None
        line['reached'] = median(reached) if reached else None
        line['holds'] = None if not reached else (line['reached'] >= 1 if row.better == 'more' else line['reached'] <= 1)
        result.append(line)
    return result


def number(value):
    if value is None:
        return '-'
    return f'{value:.3f}' if abs(value) < 10 else f'{value:.1f}' if abs(value) < 10000 else f'{value:.0f}'


def show(lines, rounds):
    print(f"{len(rounds)} rounds, medians; {os.cpu_count()} CPUs, load {os.getloadavg()[1]:.1f}; rival: virtio-gpu-gl-pci"
          ' (virtio-gpu-pci for flushes and vnc_updates); floor: libvirglrenderer in one process')
    print(f"{'figure':18} {'unit':5} {'ours':>10} {'rival':>10} {'floor':>10} {'/rival':>8} {'/floor':>8} {'spread':>7} {'of goal':>8}  goal")
    for line in lines:
        holds = {None: '', True: 'yes  ', False: 'NO   '}[line['holds']]
        print(f"{line['name']:18} {line['unit']:5} {number(line['ours']):>10} {number(line['rival']):>10} {number(line['floor']):>10}"
              f" {number(line['ours/rival']):>8} {number(line['ours/floor']):>8} {line['spread']:>6.0%} {number(line['reached']):>8}"
              f"  {holds}{line['goal'] or ''}")


def kept(lines):
    """The ratios of a run as the tree keeps them."""
    found = {}
    for line in lines:
        row = next(r for r in ROWS if r.name == line['name'])
        for key in ('ours/rival', 'ours/floor'):
            if line[key] is not None and not line['name'].startswith(('qmp_', 'doorbell')) and not line['name'].endswith('_p99'):
                found[f"{line['name']} {key}"] = {'ratio': round(line[key], 4), 'spread': round(line['spread'], 3), 'better': row.better}
    return found


def gate(lines):
    """What is worse than the kept ratio by more than both runs' spread, and a fifth, explain."""
    with open(BASELINE) as f:
        before = json.load(f)
    worse = []
    for name, now in kept(lines).items():
        if name not in before:
            continue
        allowed = 1.2 + before[name]['spread'] + now['spread']
        change = before[name]['ratio'] / now['ratio'] if now['better'] == 'more' else now['ratio'] / before[name]['ratio']
        if change > allowed:
            worse.append(f"{name}: {now['ratio']:g}, was {before[name]['ratio']:g} when it was kept: "
                         f'{change:.2f} times worse, {allowed:.2f} are within the spread')
    return worse


def main():
    opts = arguments()
    parts = opts.parts or sorted(set().union(*(side[2] for side in SIDES.values())))
    if any(row.name.startswith('qmp_') and row.part in parts for row in ROWS) and 'doorbell' not in parts:
        parts = [*parts, 'doorbell']
    with Xvfb():
        machine = Machine(opts)
        rounds = measure(machine, parts)
        if opts.plot:
            import plot
            plot.batches(machine, opts.plot)
    lines = table([row for row in ROWS if row.part in parts], rounds)
    show(lines, rounds)
    out = opts.json or os.path.join(os.environ['VGPU_CACHE'], 'log', time.strftime('bench-device-%Y%m%d-%H%M%S.json'))
    with open(out, 'w') as f:
        json.dump({'figures': lines, 'rounds': rounds}, f, indent=1)
        f.write('\n')
    print(f'figures: {out}')
    for what in machine.failed:
        print(f'not measured: {what}')
    if opts.keep:
        with open(BASELINE, 'w') as f:
            json.dump(kept(lines), f, indent=1, sort_keys=True)
            f.write('\n')
    worse = gate(lines) if opts.gate else []
    for text in worse:
        print(f'worse: {text}')
    missed = [line['name'] for line in lines if line['holds'] is False]
    if missed:
        print(f"goal missed: {', '.join(missed)}")
    if machine.failed:
        return 2
    if opts.gate:
        return 1 if worse else 0
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
