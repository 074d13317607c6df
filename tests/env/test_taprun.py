#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs once more after a failure, and what the end of a run says."""
import contextlib
import io
import os
import sys
import tempfile
import unittest

os.environ.setdefault('VGPU_TOP', os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import taprun  # pylint: disable=wrong-import-position

FAILS_ONCE = 'if [ -e {mark} ]; then echo "ok 1 - a"; else touch {mark}; echo "not ok 1 - a"; fi; echo 1..1'
FAILS = 'echo "not ok 1 - a"; echo "ok 2 - b"; echo 1..2'
CRASHES_ONCE = 'echo "ok 1 - a"; [ -e {mark} ] || {{ touch {mark}; kill -SEGV $$; }}; echo 1..1'
REPORTS_ONCE = FAILS_ONCE + '; [ -e {mark}2 ] || {{ touch {mark}2; echo "==7==ERROR: AddressSanitizer"; }}'
PASSES = 'echo "ok 1 - a"; echo 1..1'


class Again(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def run_all(self, **programs):
        """Its status, the names of those that only passed the second time, what it printed."""
        count = taprun.Count()
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            for name, text in programs.items():
                text = text.format(mark=os.path.join(self.dir.name, name))
                test = {'name': name, 'cmd': ['bash', '-c', text], 'env': {}, 'timeout': 20}
                taprun.run_one('unit', test, self.dir.name, count)
            flaky = taprun.run_again(self.dir.name, count)
            rc = taprun.print_end(self.dir.name, count, flaky)
        return rc, [r.test['name'] for r in flaky], said.getvalue()

    def test_all_pass(self):
        rc, flaky, said = self.run_all(one=PASSES, two=PASSES)
        self.assertEqual((rc, flaky), (0, []))
        self.assertTrue(said.endswith('\n2 passed, 0 failed, 0 skipped\n'), said)
        self.assertNotIn('once more', said)

    def test_second_time(self):
        rc, flaky, said = self.run_all(one=PASSES, late=FAILS_ONCE)
        self.assertEqual((rc, flaky), (0, ['late']))
        self.assertIn('PASSED ONLY THE SECOND TIME, ALONE unit/late: not ok 1 - a', said)
        self.assertTrue(said.endswith('\n2 passed, 0 failed, 0 skipped\n'), said)

    def test_fails_twice(self):
        rc, flaky, said = self.run_all(one=PASSES, broken=FAILS)
        self.assertEqual((rc, flaky), (1, []))
        self.assertEqual(said.count('FAILED unit/broken: not ok 1 - a'), 1)
        self.assertTrue(said.endswith('\n2 passed, 1 failed, 0 skipped\n'), said)

    def test_crash_is_no_chance(self):
        rc, flaky, said = self.run_all(crash=CRASHES_ONCE)
        self.assertEqual((rc, flaky), (1, []))
        self.assertIn('FAILED unit/crash: ended with status -11', said)

    def test_report_is_no_chance(self):
        rc, flaky, _ = self.run_all(report=REPORTS_ONCE)
        self.assertEqual((rc, flaky), (1, []))

    def test_many_are_no_chance(self):
        rc, flaky, said = self.run_all(**{f'late{i}': FAILS_ONCE for i in range(taprun.AGAIN_AT_MOST + 1)})
        self.assertEqual((rc, flaky), (1, []))
        self.assertEqual(said.count('FAILED unit/late'), taprun.AGAIN_AT_MOST + 1)


if __name__ == '__main__':
    unittest.main()
