# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/bench/run vulkan: Vulkan in the guest, against QEMU's own virtio-gpu-gl-pci
with venus=on in the same binary, and against the host's Vulkan itself.

Theory of operation.  The programs of tests/guest/programs measure themselves
and check their pictures and words against the CPU.  A round is one boot of each
device and one run on the host, whose order changes from round to round; each
runs all programs, one after the other.  A ratio is taken inside a round, the
figure is the median of the rounds'.  'floor' is the host's own lavapipe, which
nobody in a guest can beat.

How much of a program is the GPU's work is what tells them apart: 'draws' sends
512 draws a frame and 'dispatches' small compute work one by one, so they show
what it costs to get there; 'fill' and 'compute' keep the GPU busy.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from bench import Xvfb  # noqa: E402

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
SECONDS = 6


def lines(names, folder, icd, seconds):
    """A shell script that runs the programs, each result as '@@ NAME JSON'."""
    script = [f'export VK_DRIVER_FILES={ICD}/{icd}']
    for name in names:
        environment, program, _ = PROGRAMS[name]
        script.append(f'echo "@@ {name} $({environment} {folder}/{program} --seconds {seconds} --json)"')
    return '\n'.join(script) + '\n'


def results(text):
    found = {}
    for line in text.splitlines():
        words = line.strip().split(' ', 2)
        if words[0] == '@@' and len(words) == 3 and words[2].startswith('{'):
            found[words[1]] = json.loads(words[2])
    return found


class Host:
    """The programs without a VM."""
    name, spec, says = 'native', "the host's Vulkan, no VM", 'llvmpipe'

    def run(self, names, seconds, raw):
        programs = os.environ['VGPU_BUILD'] + '/tests/guest/programs'
        out = subprocess.run(['sh', '-c', lines(names, programs, 'lvp_icd.json', seconds)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
        with open(f'{raw}.txt', 'w') as f:
            f.write(out.stdout + out.stderr)
        return results(out.stdout)


class Guest:
    """The programs in a VM with this device."""
    says = 'Virtio-GPU Venus'

    def __init__(self, name, spec, display=()):
        self.name, self.spec, self.display = name, spec, display

    def run(self, names, seconds, raw):
        top, programs = os.environ['VGPU_TOP'], os.environ['VGPU_BUILD'] + '/tests/guest/programs'
        runtime = tempfile.TemporaryDirectory(prefix='vgpu-bench-run.', ignore_cleanup_errors=True)
        with runtime, tempfile.TemporaryDirectory(prefix='vgpu-bench.', ignore_cleanup_errors=True) as work:
            share = f'{work}/share'
            os.mkdir(share)
            for name in {PROGRAMS[n][1].split()[0] for n in names}:
                subprocess.run(['cp', f'{programs}/{name}', share], check=True)
            command = [f'{top}/tests/boot', '--device', self.spec, '--dir', f'{work}/boot', '--share', share,
                       '--timeout', '900', '--run', lines(names, '/tmp/vk', 'virtio_icd.json', seconds).replace(
                           'export', 'mkdir /tmp/vk; cp /share/* /tmp/vk/; sleep 2\nexport', 1)]
            for arg in self.display:
                command += ['--qemu-arg', arg]
            out = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, timeout=1000, env=dict(os.environ, XDG_RUNTIME_DIR=runtime.name))
        with open(f'{raw}.txt', 'w') as f:
            f.write(out.stdout + out.stderr)
        return results(out.stdout)


def usable(result, says):
    """The rate, if the program ran where it should and what it made is right."""
    if not result or not result['right'] or says not in result['device']:
        return None
    return result['per_second']


def middle(values):
    values = [v for v in values if v is not None]
    return median(values) if values else None


def row(name, unit, ours, rival=None, floor=None, goal=None):
    holds = None if goal is None or ours is None else ours >= goal
    return {'name': name, 'unit': unit, 'ours': ours, 'rival': rival, 'floor': floor,
            'goal': goal, 'holds': holds}


def figures(names, rounds):
    """rounds: [{'ours': {program: rate or None}, 'rival': ..., 'native': ...}]"""
    def ratio(one, other, name):
        return middle([r[one][name] / r[other][name] for r in rounds if r[one].get(name) and r[other].get(name)])

    rows = [row(f'vulkan_{n}', '1/s', *(middle([r[d].get(n) for r in rounds]) for d in ('ours', 'rival', 'native')))
            for n in names]
    rows += [row(f'vulkan_{n}_over_rival', 'ratio', ratio('ours', 'rival', n)) for n in names]
    rows += [row(f'vulkan_{n}_over_native', 'ratio', ratio('ours', 'native', n), ratio('rival', 'native', n),
                 goal=0.8 if PROGRAMS[n][2] else None) for n in names]
    each = [r['ours'] for r in rows if r['name'].endswith('_over_rival')]
    mean = math.exp(sum(map(math.log, each)) / len(each)) if each and all(each) else None
    return rows + [row('vulkan_geomean_over_rival', 'ratio', mean, goal=1.0)]


def show(rows):
    def number(value):
        return '-' if value is None else f'{value:.3f}' if abs(value) < 10 else f'{value:.1f}'

    print(f"{'figure':28} {'unit':6} {'ours':>10} {'rival':>10} {'floor':>10} {'goal':>9}  holds")
    for r in rows:
        goal = '-' if r['goal'] is None else f">= {r['goal']:g}"
        print(f"{r['name']:28} {r['unit']:6} {number(r['ours']):>10} {number(r['rival']):>10} {number(r['floor']):>10} "
              f"{goal:>9}  { {None: '-', True: 'yes', False: 'NO'}[r['holds']]}")


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
    rounds, problems = [], []
    with Xvfb():
        for number in range(opts.rounds):
            rates = {d.name: {} for d in everybody}
            turn = number % len(chosen)
            for device in chosen[turn:] + chosen[:turn]:
                print(f'round {number + 1}/{opts.rounds}: {device.name} ({time.monotonic() - START:.0f} s)',
                      file=sys.stderr, flush=True)
                found = device.run(names, opts.seconds, f'{out}-raw/round{number + 1}-{device.name}')
                for name in names:
                    rates[device.name][name] = usable(found.get(name), device.says)
                    if rates[device.name][name] is None:
                        problems.append(f'round {number + 1}, {device.name}: {name}: {found.get(name, "no result")}')
            rounds.append(rates)
    rows = figures(names, rounds)
    with open(out, 'w') as f:
        json.dump({'figures': rows, 'rounds': rounds}, f, indent=1)
        f.write('\n')
    for device in chosen:
        print(f'{device.name}: {device.spec}')
    print(f'{opts.rounds} rounds, medians; guest 2 vCPUs; host {os.cpu_count()} CPUs, load {os.getloadavg()[1]:.1f}; floor: native')
    show(rows)
    print(f'figures: {out}; raw: {out}-raw/')
    for problem in problems:
        print(f'problem: {problem}')
    if opts.keep_going:
        return 0
    if problems or any(r['ours'] is None for r in rows):
        return 2
    return 1 if any(r['holds'] is False for r in rows) else 0


if __name__ == '__main__':
    sys.exit(main())
