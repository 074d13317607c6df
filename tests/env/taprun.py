#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""taprun.py LOGDIR SUITE...: runs the test programs of the suites and counts.

Every program speaks TAP.  Each gets a runtime folder of its own, so that the
vgpud one of them starts is not another's.  Runs in the toolbox; tests/run is
the command for people."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

TOP = os.environ['VGPU_TOP']
LINE = re.compile(r'^(not ok|ok)\b\s*\d*\s*-?\s*([^#]*)(#\s*((?i:SKIP|TODO))\b\s*(.*))?')


def meson_tests(suite, build):
    """The programs meson knows of in a suite."""
    tests = json.loads(subprocess.check_output(['meson', 'introspect', '--tests', build]))
    return [{'name': t['name'], 'cmd': t['cmd'], 'env': t['env'], 'timeout': max(60, t['timeout'])}
            for t in tests if any(s == suite or s.endswith(':' + suite) for s in t['suite'])]


def qtest_tests():
    folder = os.environ['VGPU_QEMU_DIR']
    parts = [('vgpu', '/vgpu/'), ('vgpu-null', '/vgpu-null/'), ('virtio-gpu', '/virtio-gpu/')]
    # the same tests on the 2D renderer only when all is asked for
    if os.environ.get('VGPU_TEST_FULL'):
        parts.append(('vgpu-2d', '/vgpu-2d/'))
    programs = sorted(p for p in glob.glob(folder + '/*-test') if os.access(p, os.X_OK))
    return [{'name': os.path.basename(p) + '-' + name, 'cmd': [p, '--tap', '-p', path], 'timeout': 1200,
             'env': {'QTEST_QEMU_BINARY': folder + '/qemu-system-x86_64'}} for p in programs for name, path in parts]


def guest_tests():
    scripts = sorted(glob.glob(TOP + '/tests/guest/test-*'))
    return [{'name': os.path.basename(p), 'cmd': [p], 'env': {}, 'timeout': 900}
            for p in scripts if os.access(p, os.X_OK) and not p.endswith('~')]


def lint_tests():
    return [{'name': 'lint', 'cmd': [TOP + '/tests/env/lint'], 'env': {}, 'timeout': 1200}]


def fuzz_tests():
    return [{'name': 'fuzz', 'cmd': [TOP + '/tests/fuzz/run', '--seconds', '60'], 'env': {}, 'timeout': 900}]


def tests_of(suite):
    build = os.environ['VGPU_BUILD']
    if suite == 'unit':
        python = [('bench-figures', '/tests/bench/test_figures.py'), ('entry-scripts', '/tests/env/test_scripts.py')]
        return meson_tests(suite, build) + [{'name': name, 'cmd': ['python3', TOP + path], 'env': {}, 'timeout': 120}
                                            for name, path in python]
    if suite == 'backend':
        return meson_tests(suite, build)
    if suite == 'sanitize':
        # these are long under a sanitizer, and others go the same ways: only when all is asked for
        long = set() if os.environ.get('VGPU_TEST_FULL') else {'vgpud-crowd', 'vgpud-storm', 'sched-hour'}
        return [dict(t, name=s + '/' + t['name'], timeout=t['timeout'] * 4)
                for s in ('unit', 'backend') for t in meson_tests(s, build + '-sanitize') if t['name'] not in long]
    return {'qtest': qtest_tests, 'guest': guest_tests, 'lint': lint_tests, 'fuzz': fuzz_tests}[suite]()


# Programs of these suites may run side by side, also with those of another one;
# but not those that look at how time is divided, or how long something takes.
SIDE_BY_SIDE = {'unit', 'backend', 'qtest', 'sanitize'}
ALONE = re.compile(r'lease|crowd|restart|frames|(^|/)sched$')
# They take longest: first, or the others would wait for them in the end.
FIRST = re.compile('storm|sched-hour|vgpu-test')


def alone(suite, test):
    return suite not in SIDE_BY_SIDE or ALONE.search(test['name'])


class Count:
    def __init__(self):
        self.lock = threading.Lock()
        self.passed = self.failed = self.skipped = 0
        self.failures = []


def run_one(suite, test, logdir, count):
    """Runs one program, shows what did not pass, adds to the count."""
    log_path = os.path.join(logdir, suite + '-' + test['name'].replace('/', '-') + '.log')
    runtime = tempfile.mkdtemp(prefix='vgpu-t.', dir='/tmp')
    os.chmod(runtime, 0o700)
    env = dict(os.environ, XDG_RUNTIME_DIR=runtime, **test['env'])
    if suite == 'sanitize':
        env.setdefault('ASAN_OPTIONS', 'detect_leaks=0:abort_on_error=1')
        env.setdefault('UBSAN_OPTIONS', 'halt_on_error=1:abort_on_error=1:print_stacktrace=1')
        env['VGPU_SANITIZE'] = '1'
        env['G_SLICE'] = 'always-malloc'
    start = time.monotonic()
    if alone(suite, test):
        print(f'  {suite}/{test["name"]} ...', end='', flush=True)
    good = bad = skip = 0
    plan = None
    problems = []
    with open(log_path, 'wb') as log:
        child = subprocess.Popen(test['cmd'], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                 env=env, cwd=TOP, start_new_session=True)
        try:
            rc = child.wait(timeout=test['timeout'])
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 15)
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, 9)
                child.wait()
            rc = None
    with open(log_path, errors='replace') as log:
        for line in log:
            line = line.rstrip('\n')
            ran = re.match(r'^Ran (\d+) tests? in', line)
            if ran and plan is None: # Python's unittest; its status says the rest
                plan = int(ran.group(1))
                good = plan if rc == 0 else 0
                continue
            if re.match(r'^1\.\.\d+', line):
                plan = int(line[3:].split()[0])
                if plan == 0:
                    skip += 1
                continue
            m = LINE.match(line)
            if not m:
                continue
            if m.group(4) and m.group(4).upper() == 'SKIP':
                skip += 1
                problems.append('skipped: ' + line)
            elif m.group(1) == 'ok':
                good += 1
            else:
                bad += 1
                problems.append(line)
    if rc is None:
        bad += 1
        problems.append(f'no end after {test["timeout"]} s')
    elif rc != 0 and bad == 0:
        bad += 1
        problems.append(f'ended with status {rc}')
    elif plan is None:
        bad += 1
        problems.append('printed no TAP plan')
    elif plan and good + bad + skip < plan:
        bad += 1
        problems.append(f'planned {plan} tests and ran {good + bad + skip}')
    start_line = '\r' if alone(suite, test) else ''
    with count.lock:
        print(f'{start_line}  {suite}/{test["name"]}: {good} passed, {bad} failed, {skip} skipped '
              f'({time.monotonic() - start:.0f} s)' + (f'  log: {log_path}' if bad else ''), flush=True)
        for p in problems:
            print('      ' + p[:300], flush=True)
        if bad:
            count.failures.append(log_path)
            with open(log_path, errors='replace') as log:
                lines = log.read().splitlines()
            # what a program prints after its assertion can be long: first the assertions
            said = [line for line in lines if re.match(r'^(ERROR:|Bail out!|.*runtime error:|==\d+==ERROR)', line)]
            for line in said[:10] + lines[-25:]:
                print('      | ' + line[:220], flush=True)
        count.passed += good
        count.failed += bad
        count.skipped += skip
    shutil.rmtree(runtime, ignore_errors=True)


def main():
    logdir, suites = sys.argv[1], sys.argv[2:]
    os.makedirs(logdir, exist_ok=True)
    count = Count()
    only = os.environ.get('VGPU_TEST_ONLY')
    todo = []
    for suite in suites:
        tests = [t for t in tests_of(suite) if not only or only in t['name']]
        if not tests:
            print(f'  {suite}: no tests', flush=True)
        todo += [(suite, t) for t in tests]
    beside = sorted((st for st in todo if not alone(*st)), key=lambda st: not FIRST.search(st[1]['name']))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(run_one, suite, test, logdir, count) for suite, test in beside]:
            done.result()
    for suite, test in todo:
        if alone(suite, test):
            run_one(suite, test, logdir, count)
    print(f'logs: {logdir}')
    print(f'{count.passed} passed, {count.failed} failed, {count.skipped} skipped', flush=True)
    return 1 if count.failed or not count.passed else 0


if __name__ == '__main__':
    sys.exit(main())
