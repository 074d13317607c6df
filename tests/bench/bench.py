# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of tests/bench/run that runs in the toolbox: rounds, table, JSON."""
import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time

import guest
import table
from figures import all_figures
from session import Device, Session

START = time.monotonic()


def arguments():
    parser = argparse.ArgumentParser(prog='tests/bench/run')
    parser.add_argument('names', nargs='*', metavar='NAME')
    parser.add_argument('--json')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--devices', default='ours,rival')
    parser.add_argument('--ours', default='vgpu-pci,profile=full')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--keep-going', action='store_true')
    parser.add_argument('--idle-seconds', type=int, default=10, help=argparse.SUPPRESS)
    parser.add_argument('--scene-seconds', type=int, default=5, help=argparse.SUPPRESS)
    parser.add_argument('--load-seconds', type=int, default=20, help=argparse.SUPPRESS)
    opts = parser.parse_args()
    opts.devices = opts.devices.split(',')
    for name in opts.devices:
        if name not in ('ours', 'rival'):
            parser.error(f"--devices {name}: there are 'ours' and 'rival'")
    if opts.rounds < 1:
        parser.error(f'--rounds {opts.rounds}: at least 1')
    return parser, opts


def chosen(parser, names, devices):
    """The figures that match, or all of them."""
    figures = all_figures()
    for name in names:
        if not any(fnmatch.fnmatch(f.name, name) for f in figures):
            parser.error(f"no figure matches '{name}': tests/bench/run --list names them")
    figures = [f for f in figures if not f.both or len(devices) == 2]
    return [f for f in figures if not names or any(fnmatch.fnmatch(f.name, n) for n in names)]


class Xvfb:
    """An X server for the rival's window: it shows what it renders through GL
    and does not start without a display."""

    def __enter__(self):
        read, write = os.pipe()
        self.log = tempfile.TemporaryFile()
        self.server = subprocess.Popen(
            ['Xvfb', '-displayfd', str(write), '-screen', '0', f'{guest.WIDTH}x{guest.HEIGHT}x24', '-nolisten', 'tcp'],
            pass_fds=[write], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        os.close(write)
        with os.fdopen(read) as f:
            number = f.readline().strip()
        if not number:
            self.log.seek(0)
            sys.exit('Xvfb did not start: ' + self.log.read().decode(errors='replace'))
        os.environ.update(DISPLAY=f':{number}', SDL_VIDEODRIVER='x11')
        return self

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait()


def measure(opts, devices, phases, raw):
    """All boots: [{'ours': result, 'rival': result}, ...], one for each round."""
    rounds, problems = [], []
    total, done = opts.rounds * len(devices), 0
    for number in range(opts.rounds):
        results = {}
        # who goes first changes: neither always gets the warmer machine
        for device in devices if number % 2 == 0 else devices[::-1]:
            done += 1
            label = f'[{done}/{total}] round {number + 1} {device.name}'

            def progress(phase, label=label):
                print(f'{label}: {phase} ({time.monotonic() - START:.0f} s)', file=sys.stderr, flush=True)

            progress('boot')
            session = Session(device, phases, (opts.idle_seconds, opts.scene_seconds, opts.load_seconds),
                              f'{raw}/round{number + 1}-{device.name}', progress)
            results[device.name] = session.run()
            for error in results[device.name]['errors']:
                problems.append(f'round {number + 1}, {device.name}: {error}')
                print(f'{label}: {error}', file=sys.stderr, flush=True)
        rounds.append(results)
    return rounds, problems


def show(rows, devices, rounds):
    """The table, with what has to be known to read it."""
    real = {r['real_time'] for results in rounds for r in results.values() if 'real_time' in r}
    client = {(): '', (True,): '; QMP client with real-time priority'}.get(
        tuple(real), '; QMP client without real-time priority (not allowed here)')
    cpus = os.cpu_count()
    load = os.getloadavg()
    for device in devices:
        print(f'{device.name}: {device.spec}; shown: {device.shown}')
    print(f'{len(rounds)} rounds, medians; guest 2 vCPUs, {guest.WIDTH}x{guest.HEIGHT}; host {cpus} CPUs, load {load[1]:.1f}{client}')
    table.show(rows)


def main():
    parser, opts = arguments()
    figures = chosen(parser, opts.names, opts.devices)
    if opts.list:
        for figure in figures:
            goal = f' (goal: {table.goal_text(figure.goal)})' if figure.goal else ''
            print(f'{figure.name} [{figure.unit}]{goal}')
        return 0
    out = opts.json or os.path.join(os.environ['VGPU_CACHE'], 'log', time.strftime('bench-%Y%m%d-%H%M%S'), 'figures.json')
    raw = f'{out}-raw'
    os.makedirs(raw, exist_ok=True)
    phases = set().union(*(f.phases for f in figures))
    devices = [d for d in (
        Device('ours', opts.ours, [], 'not at all (no display, VNC off)'),
        Device('rival', 'virtio-gpu-gl-pci', ['-display', 'sdl,gl=on'], 'a GL window under Xvfb'),
    ) if d.name in opts.devices]
    with Xvfb():
        rounds, problems = measure(opts, devices, phases, raw)
    with open(f'{raw}/run.json', 'w') as f:
        json.dump({'qemu': os.environ.get('VGPU_QEMU_DIR'), 'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
                   'arguments': sys.argv[1:], 'cpus': os.cpu_count(), 'load': os.getloadavg(),
                   'problems': problems}, f, indent=1)
    rows = [figure.over(rounds) for figure in figures]
    table.write(out, rows)
    show(rows, devices, rounds)
    print(f'figures: {out}; raw samples: {raw}/')
    for problem in problems:
        print(f'problem: {problem}')
    missing = [f'{figure.name}: {device}' for figure in figures
               for device in figure.missing(rounds, opts.devices)]
    for line in missing:
        print(f'not measured in every round: {line}')
    missed = [r['name'] for r in rows if r['holds'] is False]
    if missed:
        print(f"goal missed: {', '.join(missed)}")
    if opts.keep_going:
        return 0
    return 2 if missing else 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
