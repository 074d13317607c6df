# SPDX-License-Identifier: GPL-2.0-or-later
"""From samples to figures: percentiles, ratios, medians over the rounds.

A ratio is taken inside a round, where the two devices ran one after the other
on the same machine in the same mood; the figure is the median of the rounds'
ratios.  Absolute figures are medians of the rounds' values.

The main loop under load is held to the same VM when idle: that is the goal, and
the table says whether it holds.  Beside it stands the same VM with its virtual
CPUs as busy and nothing drawn (phase 'busy'), which tells what of the difference
is ours: an idle VM's virtual CPUs are halted, so the main loop finds a host CPU
at once, while under any load it may wait for one until the kernel's next tick
(perf sched: up to 4.6 ms behind the VM's own vCPU thread at CONFIG_HZ=250), with
graphics and without.  What it does itself is no part of that: of 188 stretches of
the main loop longer than 2 ms, in 96 s with terrain on a busy machine, none used
more than 0.6 ms of CPU time; all were waits for a CPU, two thirds of them begun
where it takes the big lock back from a vCPU after poll(), or lets it go.
"""
import math
from statistics import median

import guest
import table

FEW = 100       # fewer samples than this give no p99


def percentile(values, share):
    """The smallest value that at least this share of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Figure:
    """One line of the table.

    value(round) works on {'ours': result, 'rival': result} and gives the pair
    (ours, rival), None where it does not apply; floor(round) the number that
    neither can beat.  A goal is (sign, number)."""

    def __init__(self, name, unit, phases, value, goal=None, both=False, floor=None):
        self.name, self.unit, self.phases = name, unit, set(phases)
        self.value, self.goal, self.floor = value, goal, floor
        self.both = both            # compares: means nothing with one device

    def missing(self, rounds, devices):
        """The devices that have no value in some round, as 'ours (2 of 3)'."""
        found = []
        for column, device in enumerate(('ours', 'rival')):
            if device not in devices or self.both and device == 'rival':
                continue
            have = sum(self.value(results)[column] is not None for results in rounds)
            if have < len(rounds):
                found.append(f'{device} ({have} of {len(rounds)} rounds)')
        return found

    def over(self, rounds):
        """The figure as a line of the table, medians over the rounds."""
        ours, rival = [], []
        for results in rounds:
            a, b = self.value(results)
            ours += [a] if a is not None else []
            rival += [b] if b is not None else []
        floors = [f for f in map(self.floor or (lambda _: None), rounds) if f is not None]
        return table.row(self.name, self.unit, median(ours) if ours else None, self.goal,
                         median(rival) if rival else None, median(floors) if floors else None)


def qmp(phase, reduce):
    """A figure of one device's samples in a phase, for both devices."""
    def one(results, device):
        samples = results.get(device, {}).get('samples', {}).get(phase, [])
        return reduce([ms for _, ms in samples]) if len(samples) >= FEW else None

    return lambda results: (one(results, 'ours'), one(results, 'rival'))


def fps(scene):
    return lambda results: tuple(results.get(d, {}).get('fps', {}).get(scene) for d in ('ours', 'rival'))


def p50(values):
    return percentile(values, 0.50)


def p99(values):
    return percentile(values, 0.99)


def divide(a, b):
    return a / b if a is not None and b else None


def loaded_over(phase):
    """p99 under load as a multiple of the same VM's p99 in another phase."""
    def value(results):
        loaded, other = qmp('load', p99)(results), qmp(phase, p99)(results)
        return divide(loaded[0], other[0]), divide(loaded[1], other[1])

    return value


def busy(reduce):
    """Of our VM, when its CPUs are busy and nothing is drawn."""
    return lambda results: qmp('busy', reduce)(results)[0]


def loaded_over_rival(results):
    return divide(*qmp('load', p99)(results)), None


def scene_ratio(scene):
    return lambda results: (divide(*fps(scene)(results)), None)


def geomean_ratio(results):
    """All scenes or nothing: a scene that is missing must not help."""
    ratios = [divide(*fps(scene)(results)) for scene in (*guest.SCENES, 'cube')]
    if None in ratios:
        return None, None
    return math.exp(sum(map(math.log, ratios)) / len(ratios)), None


def label(scene):
    return 'kmscube' if scene == 'cube' else f'glmark2_{scene}'


def all_figures():
    every = (*guest.SCENES, 'cube')

    def phase(scene):
        return ['cube'] if scene == 'cube' else ['scenes']

    return [
        Figure('qmp_p50_idle_ms', 'ms', ['idle'], qmp('idle', p50)),
        Figure('qmp_p99_idle_ms', 'ms', ['idle'], qmp('idle', p99)),
        Figure('qmp_p50_loaded_ms', 'ms', ['busy', 'load'], qmp('load', p50), floor=busy(p50)),
        Figure('qmp_p99_loaded_ms', 'ms', ['busy', 'load'], qmp('load', p99), floor=busy(p99)),
        Figure('qmp_max_loaded_ms', 'ms', ['busy', 'load'], qmp('load', max), floor=busy(max)),
        Figure('qmp_p99_loaded_over_idle', 'ratio', ['idle', 'load'], loaded_over('idle'), ('<=', 1.5)),
        Figure('qmp_p99_loaded_over_busy', 'ratio', ['busy', 'load'], loaded_over('busy'), ('<=', 1.5)),
        Figure('qmp_p99_loaded_over_rival', 'ratio', ['load'], loaded_over_rival, ('<=', 0.1), both=True),
        Figure('glmark2_terrain_fps', 'fps', ['load'], fps('terrain')),
        *[Figure(f'{label(s)}_fps', 'fps', phase(s), fps(s)) for s in every],
        *[Figure(f'{label(s)}_ratio', 'ratio', phase(s), scene_ratio(s), both=True) for s in every],
        Figure('fps_geomean_ratio', 'ratio', ['scenes', 'cube'], geomean_ratio, ('>=', 0.95), both=True),
    ]
