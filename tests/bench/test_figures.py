# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmark makes of its samples: python3 -m unittest discover tests/bench"""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
for folder in ('guest-driver', 'share'):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), folder))
import guest_driver                                     # noqa: E402
import guest                                            # noqa: E402
import share                                            # noqa: E402
import table                                            # noqa: E402
from figures import all_figures, percentile             # noqa: E402

FIGURES = {f.name: f for f in all_figures()}


def result(idle=None, load=None, fps=None, busy=None):
    samples = {}
    for name, values in (('idle', idle), ('busy', busy), ('load', load)):
        if values:
            samples[name] = [(i, ms) for i, ms in enumerate(values)]
    return {'samples': samples, 'fps': fps or {}}


SCENES = dict.fromkeys((*guest.SCENES, 'cube'), 50.0)


class Status(unittest.TestCase):
    def test_of_goals(self):
        holds, missed, unknown = (table.row('a', 'ratio', ours, ('>=', 1)) for ours in (1.5, 0.5, None))
        self.assertEqual(table.status([holds], False), 0)
        self.assertEqual(table.status([holds, missed], False), 1)
        self.assertEqual(table.status([holds, missed, unknown], False), 2)
        self.assertEqual(table.status([holds], False, ['no device']), 2)
        self.assertEqual(table.status([missed, unknown], True, ['no device']), 0)


class Percentile(unittest.TestCase):
    def test_is_a_sample_and_counts_from_below(self):
        values = list(range(1, 201))
        self.assertEqual(percentile(values, 0.99), 198)
        self.assertEqual(percentile(values, 0.50), 100)
        self.assertEqual(percentile([7], 0.99), 7)

    def test_does_not_need_order(self):
        self.assertEqual(percentile([3, 1, 2], 0.99), 3)


class Goals(unittest.TestCase):
    def over(self, name, *rounds):
        return FIGURES[name].over(rounds)

    def test_loaded_against_busy(self):
        slow = {'ours': result(busy=[1.0] * 200, load=[2.0] * 200)}
        quick = {'ours': result(busy=[1.0] * 200, load=[1.5] * 200)}
        self.assertIs(self.over('qmp_p99_loaded_over_busy', slow)['holds'], False)
        self.assertIs(self.over('qmp_p99_loaded_over_busy', quick)['holds'], True)
        # the median of the rounds decides, not the best of them
        self.assertIs(self.over('qmp_p99_loaded_over_busy', slow, quick, slow)['holds'], False)

    def test_loaded_against_idle(self):
        row = self.over('qmp_p99_loaded_over_idle', {'ours': result(idle=[1.0] * 200, load=[2.0] * 200)})
        self.assertEqual((row['ours'], row['goal'], row['holds']), (2.0, ('<=', 1.5), False))
        row = self.over('qmp_p99_loaded_over_idle', {'ours': result(idle=[1.0] * 200, load=[1.4] * 200)})
        self.assertIs(row['holds'], True)

    def test_floor_is_the_busy_vm(self):
        row = self.over('qmp_p99_loaded_ms', {'ours': result(busy=[3.0] * 200, load=[4.0] * 200)})
        self.assertEqual((row['ours'], row['floor']), (4.0, 3.0))
        row = self.over('qmp_p99_loaded_ms', {'ours': result(load=[4.0] * 200)})
        self.assertIsNone(row['floor'])

    def test_loaded_against_rival(self):
        rounds = {'ours': result(load=[11.0] * 200), 'rival': result(load=[100.0] * 200)}
        row = self.over('qmp_p99_loaded_over_rival', rounds)
        self.assertAlmostEqual(row['ours'], 0.11)
        self.assertIs(row['holds'], False)

    def test_geometric_mean(self):
        ours = dict(SCENES, build=100.0, texture=25.0)
        row = self.over('fps_geomean_ratio', {'ours': result(fps=ours), 'rival': result(fps=SCENES)})
        self.assertAlmostEqual(row['ours'], 1.0)
        self.assertIs(row['holds'], True)
        row = self.over('fps_geomean_ratio', {'ours': result(fps=dict(SCENES, cube=30.0)), 'rival': result(fps=SCENES)})
        self.assertIs(row['holds'], False)

    def test_a_scene_that_is_missing_does_not_help(self):
        ours = {k: v for k, v in SCENES.items() if k != 'cube'}
        rounds = [{'ours': result(fps=ours), 'rival': result(fps=SCENES)}]
        row = FIGURES['fps_geomean_ratio'].over(rounds)
        self.assertIsNone(row['ours'])
        self.assertIsNone(row['holds'])
        self.assertEqual(FIGURES['fps_geomean_ratio'].missing(rounds, ['ours', 'rival']), ['ours (0 of 1 rounds)'])

    def test_few_samples_give_no_percentile(self):
        self.assertIsNone(self.over('qmp_p99_loaded_ms', {'ours': result(load=[1.0] * 50)})['ours'])

    def test_a_device_that_did_not_boot(self):
        rounds = [{'ours': result(idle=[1.0] * 200)}, {}]
        self.assertEqual(FIGURES['qmp_p99_idle_ms'].missing(rounds, ['ours']), ['ours (1 of 2 rounds)'])


class Guest(unittest.TestCase):
    def test_edid_has_one_mode(self):
        block = guest.edid(1920, 1080)
        self.assertEqual(len(block), 128)
        self.assertEqual(sum(block) & 255, 0)
        timing = block[54:72]
        self.assertEqual(timing[2] | (timing[4] & 0xf0) << 4, 1920)
        self.assertEqual(timing[5] | (timing[7] & 0xf0) << 4, 1080)
        self.assertEqual(block[35:38], bytes(3))
        self.assertEqual(block[38:54], b'\x01\x01' * 8)
        for at in (72, 90, 108):
            self.assertEqual(block[at:at + 2], b'\0\0')

    def test_only_the_phases_asked_for(self):
        script = guest.script({'load'}, 1, 2, 3)
        self.assertIn('terrain:duration=3', script)
        self.assertNotIn('kmscube', script)
        self.assertNotIn('@@ idle', script)


class GuestDriver(unittest.TestCase):
    def test_a_wait_has_its_own_begin(self):
        trace = """
         gpu-raw-12     [001] d..2.    12.345678: contention_begin: 00000000abc (flags=SPIN)
         gpu-raw-77     [000] d..2.    12.345700: contention_begin: 00000000abc (flags=SPIN)
         gpu-raw-12     [001] d..2.    12.345778: contention_end: 00000000abc (ret=0)
         gpu-raw-12     [001] d..2.    12.345779: contention_end: 00000000def (ret=0)
"""
        self.assertEqual([round(ms, 3) for ms in guest_driver.waits(trace)], [0.1])

    def test_a_ratio_is_taken_inside_a_round(self):
        rounds = [{'ours': {'a': 2}, 'stock': {'a': 1}}, {'ours': {'a': 30}, 'stock': {'a': 10}}, {'ours': {'a': 9}, 'stock': {}}]
        self.assertEqual(guest_driver.ratio(rounds, 'a'), 2.5)
        self.assertEqual(guest_driver.ratio(rounds, 'a', -1), (1 / 2 + 1 / 3) / 2)

    def test_a_scene_on_the_cpu_is_none(self):
        self.assertEqual(guest_driver.frames('GL_RENDERER: virgl (llvmpipe)\n[build] FPS: 40 FrameTime: 25 ms'), 40)
        self.assertIsNone(guest_driver.frames('GL_RENDERER: llvmpipe\n[build] FPS: 40 FrameTime: 25 ms'))


# A thread that has ended did most of it.
WORKER = """
import sys, threading, time
def work():
    while time.thread_time() < 0.2:
        pass
t = threading.Thread(target=work)
t.start()
t.join()
print(time.process_time_ns(), flush=True)
sys.stdin.read()
"""


class Share(unittest.TestCase):
    def test_cpu_time_is_of_all_threads(self):
        with subprocess.Popen([sys.executable, '-c', WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
            told = int(p.stdout.readline())
            seen = share.cpu_ns(p.pid)
            p.stdin.close()
        self.assertGreaterEqual(told, 200e6)
        self.assertGreaterEqual(seen, told)
        self.assertLess(seen, told + 100e6)             # the line's way to us
        with self.assertRaisesRegex(RuntimeError, f'process {p.pid} has ended'):
            share.cpu_ns(p.pid)

    def test_fairness_is_of_the_worst_window(self):
        used = [(0, 0), (10, 10), (20, 20), (25, 30), (35, 40)]
        samples = [(second, list(ns)) for second, ns in enumerate(used)]
        self.assertEqual(share.worst_fairness(samples, 1), 0.5)
        self.assertEqual(share.worst_fairness(samples, 2), 0.75)
        self.assertIsNone(share.worst_fairness(samples, 9))


if __name__ == '__main__':
    unittest.main()
