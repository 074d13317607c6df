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
FULL = bool(os.environ.get('VGPU_TEST_FULL'))
LINE = re.compile(r'^(not ok|ok)\b\s*\d*\s*-?\s*([^#]*)(#\s*((?i:SKIP|TODO))\b\s*(.*))?')


def meson_tests(suite, build):
    """The programs meson knows of in a suite."""
    tests = json.loads(subprocess.check_output(['meson', 'introspect', '--tests', build]))
    return [{'name': t['name'], 'cmd': t['cmd'], 'env': t['env'], 'timeout': max(60, t['timeout'])}
            for t in tests if any(s == suite or s.endswith(':' + suite) for s in t['suite'])]


def qtest_tests(folder=None):
    """With another QEMU than ours there is no other to compare it with."""
    parts = [('vgpu', '/vgpu/'), ('vgpu-null', '/vgpu-null/')]
    # the same tests on the 2D renderer, and on QEMU's own device, only when all is asked for
    if FULL:
        parts += [('vgpu-2d', '/vgpu-2d/')] + ([] if folder else [('virtio-gpu', '/virtio-gpu/')])
    folder = folder or os.environ['VGPU_QEMU_DIR']
    programs = sorted(p for p in glob.glob(folder + '/*-test') if os.access(p, os.X_OK))
    return [{'name': os.path.basename(p) + '-' + name, 'cmd': [p, '--tap', '-p', path], 'timeout': 1200,
             'env': {'QTEST_QEMU_BINARY': folder + '/qemu-system-x86_64'}} for p in programs for name, path in parts]


def guest_tests():
    scripts = sorted(glob.glob(TOP + '/tests/guest/test-*'))
    return [{'name': os.path.basename(p), 'cmd': [p], 'env': {}, 'timeout': 900}
            for p in scripts if os.access(p, os.X_OK) and not p.endswith('~')]


def driver_tests():
    return [{'name': 'driver', 'cmd': [TOP + '/tests/env/driver'], 'env': {}, 'timeout': 1200}]


def lint_tests():
    return [{'name': 'lint', 'cmd': [TOP + '/tests/env/lint'], 'env': {}, 'timeout': 1200}]


def fuzz_tests():
    return [{'name': 'fuzz', 'cmd': [TOP + '/tests/fuzz/run', '--seconds', '60' if FULL else '20'], 'env': {}, 'timeout': 1200}]


def gate_tests():
    return [{'name': 'gate', 'cmd': [TOP + '/tests/bench/device/gate'], 'env': {}, 'timeout': 600}]


SANITIZED = ('sanitize', 'sanitize-threads', 'sanitize-qemu')


def sanitize_qemu_tests():
    folder = subprocess.check_output(['bash', '-c', '. "$VGPU_TOP/tests/env/all.sh"; qemu_dir'], text=True,
                                     env=dict(os.environ, VGPU_QEMU_SANITIZE='1')).strip()
    # some measure memory: what ASan keeps of what was freed is in there
    asan = {'ASAN_OPTIONS': 'detect_leaks=0:abort_on_error=1:quarantine_size_mb=8'}
    return [dict(t, timeout=t['timeout'] * 4, env=dict(t['env'], **asan)) for t in qtest_tests(folder)]


def tests_of(suite):
    build = os.environ['VGPU_BUILD']
    if suite == 'unit':
        python = [('bench-figures', '/tests/bench/test_figures.py'), ('entry-scripts', '/tests/env/test_scripts.py'),
                  ('taprun', '/tests/env/test_taprun.py')]
        return meson_tests(suite, build) + [{'name': name, 'cmd': ['python3', TOP + path], 'env': {}, 'timeout': 120}
                                            for name, path in python]
    if suite == 'backend':
        return meson_tests(suite, build)
    if suite == 'sanitize-qemu':
        return sanitize_qemu_tests()
    if suite in SANITIZED:
        # These are long under a sanitizer, or measure what it changes (how time is divided, what
        # an idle host uses), and others go the same ways: only when all is asked for.
        long = set() if FULL else {'vgpud-crowd', 'vgpud-storm', 'sched-hour', 'vgpud-idle', 'vgpud-leases', 'leases-share'}
        if suite == 'sanitize-threads':
            # TSan has a thread of its own that wakes up, and time is divided by what work costs without it;
            # the scheduler's library has no threads, and its hours of simulation take minutes
            long |= {'vgpud-idle', 'vgpud-leases', 'vgpud-lease-life', 'sched-load'}
        return [dict(t, name=s + '/' + t['name'], timeout=t['timeout'] * 4)
                for s in ('unit', 'backend') for t in meson_tests(s, build + '-' + suite) if t['name'] not in long]
    return {'qtest': qtest_tests, 'driver': driver_tests, 'guest': guest_tests, 'lint': lint_tests, 'fuzz': fuzz_tests,
            'gate': gate_tests}[suite]()


# Programs run in four rounds.  First those of all suites that may run side by
# side: some only wait, so two more than there are CPUs.  Then guests, as many as
# there are CPUs for their two; then what looks at how long something takes and uses
# little CPU time for it, two at a time; then what takes all CPUs: each of them alone.
BESIDE, GUESTS, TIMED, ALONE = range(4)
ROUNDS = {'guest': GUESTS, 'fuzz': ALONE, 'gate': ALONE}
NAMES = {BESIDE: 'side by side', GUESTS: 'with guests', TIMED: 'that look at time', ALONE: 'alone'}
AT_ONCE = {BESIDE: os.cpu_count() + 2, GUESTS: 2, TIMED: 2, ALONE: 1}
TAKES_TIME = re.compile(r'lease|crowd|restart|frames|(^|/)sched$')
TAKES_ALL = re.compile(r'crowd|vgpud-leases|test-(ai|chaos|lost-renderer|vulkan-hang)$')
# They take longest: first, or the others would wait for them in the end.
FIRST = re.compile(r'vgpu-test-vgpu$|storm|vgpud-idle|^driver$|test-(readme|driver-loss|vulkan|desktop|smi)$')


def round_of(suite, test):
    if TAKES_ALL.search(test['name']):
        return ALONE
    return TIMED if TAKES_TIME.search(test['name']) else ROUNDS.get(suite, BESIDE)


# A program that failed runs once more, with nothing beside it: this host is shared, and
# some look at time.  What crashed, or what a sanitizer reports, is no question of time; and
# where many fail it is not chance either.
AGAIN_AT_MOST = 5
NEVER_AGAIN = re.compile(r'runtime error:|==\d+==ERROR|WARNING: ThreadSanitizer|Segmentation fault|\bBUG: |\bOops: ')


class Result:
    """What one run of a program came to."""
    def __init__(self, suite, test, log_path):
        self.suite, self.test, self.log_path = suite, test, log_path
        self.good = self.bad = self.skip = 0
        self.problems = []
        self.chance = True  # it may have failed by chance

    def failures(self):
        return [p for p in self.problems if not p.startswith('skipped: ')]


class Count:
    def __init__(self):
        self.lock = threading.Lock()
        self.results = []
        self.cpu = 0.0
        self.times = []


def wait_for(child, seconds):
    """Its status, None after so many seconds, and the CPU time of it and all it waited for."""
    end = time.monotonic() + seconds
    while True:
        pid, status, used = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, used.ru_utime + used.ru_stime
        if time.monotonic() > end:
            return None, 0
        time.sleep(0.05)


def run_to_end(child, seconds):
    rc, cpu = wait_for(child, seconds)
    if rc is not None:
        return rc, cpu
    os.killpg(child.pid, 15)
    if wait_for(child, 10)[0] is None:
        os.killpg(child.pid, 9)
        child.wait()
    return None, 0


def read_tap(r, rc):
    """Adds what stands in its log, and what its end says."""
    plan = None
    with open(r.log_path, errors='replace') as log:
        for line in log:
            line = line.rstrip('\n')
            r.chance = r.chance and not NEVER_AGAIN.search(line)
            ran = re.match(r'^Ran (\d+) tests? in', line)
            if ran and plan is None: # Python's unittest; its status says the rest
                plan = int(ran.group(1))
                r.good = plan if rc == 0 else 0
                continue
            if re.match(r'^1\.\.\d+', line):
                plan = int(line[3:].split()[0])
                if plan == 0:
                    r.skip += 1
                continue
            m = LINE.match(line)
            if not m:
                continue
            if m.group(4) and m.group(4).upper() == 'SKIP':
                r.skip += 1
                r.problems.append('skipped: ' + line)
            elif m.group(1) == 'ok':
                r.good += 1
            else:
                r.bad += 1
                r.problems.append(line)
    if rc is None:
        r.bad += 1
        r.problems.append(f'no end after {r.test["timeout"]} s')
    elif rc != 0 and r.bad == 0:
        r.bad += 1
        r.problems.append(f'ended with status {rc}')
    elif plan is None:
        r.bad += 1
        r.problems.append('printed no TAP plan')
    elif plan and r.good + r.bad + r.skip < plan:
        r.bad += 1
        r.problems.append(f'planned {plan} tests and ran {r.good + r.bad + r.skip}')
    if rc is not None and rc < 0 and rc not in (-6, -15): # an assertion's; the end of our patience
        r.chance = False


def run_one(suite, test, logdir, count, alone=False, turn=''):
    """Runs one program, shows what did not pass, adds to the count."""
    log_path = os.path.join(logdir, suite + '-' + test['name'].replace('/', '-') + turn + '.log')
    r = Result(suite, test, log_path)
    runtime = tempfile.mkdtemp(prefix='vgpu-t.', dir='/tmp')
    os.chmod(runtime, 0o700)
    env = dict(os.environ, XDG_RUNTIME_DIR=runtime, **test['env'])
    if suite in SANITIZED:
        env.setdefault('ASAN_OPTIONS', 'detect_leaks=0:abort_on_error=1')
        env.setdefault('UBSAN_OPTIONS', 'halt_on_error=1:abort_on_error=1:print_stacktrace=1')
        env.setdefault('TSAN_OPTIONS', 'halt_on_error=1:ignore_noninstrumented_modules=1:die_after_fork=0')
        env['VGPU_SANITIZE'] = suite
        env['G_SLICE'] = 'always-malloc'
    start = time.monotonic()
    alone = alone or round_of(suite, test) == ALONE
    if alone:
        print(f'  {suite}/{test["name"]} ...', end='', flush=True)
    with open(log_path, 'wb') as log:
        child = subprocess.Popen(test['cmd'], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                 env=env, cwd=TOP, start_new_session=True)
        rc, cpu = run_to_end(child, test['timeout'])
    read_tap(r, rc)
    start_line = '\r' if alone else ''
    with count.lock:
        print(f'{start_line}  {suite}/{test["name"]}: {r.good} passed, {r.bad} failed, {r.skip} skipped '
              f'({time.monotonic() - start:.0f} s, CPU {cpu:.0f} s)' + (f'  log: {log_path}' if r.bad else ''), flush=True)
        for p in r.problems:
            print('      ' + p[:300], flush=True)
        if r.bad:
            with open(log_path, errors='replace') as log:
                lines = log.read().splitlines()
            # what a program prints after its assertion can be long: first the assertions
            said = [line for line in lines if re.match(r'^(ERROR:|Bail out!|.*runtime error:|==\d+==ERROR)', line)]
            for line in said[:10] + lines[-25:]:
                print('      | ' + line[:220], flush=True)
        count.cpu += cpu
        count.times.append((time.monotonic() - start, cpu, f'{suite}/{test["name"]}'))
        count.results.append(r)
    shutil.rmtree(runtime, ignore_errors=True)


def run_again(logdir, count):
    """Those that may have failed by chance, alone; the ones that passed then."""
    failed = [r for r in count.results if r.bad]
    flaky = []
    if len(failed) > AGAIN_AT_MOST:
        return flaky
    for first in [r for r in failed if r.chance]:
        print(f'  {first.suite}/{first.test["name"]} once more, with nothing beside it:', flush=True)
        run_one(first.suite, first.test, logdir, count, alone=True, turn='-again')
        if not count.results[-1].bad:
            flaky.append(first)
            count.results.remove(first)
        else:
            count.results.pop()
    return flaky


def print_end(logdir, count, flaky):
    """The end of a long log is what people see: all that failed once more, then the count."""
    for r in [r for r in count.results if r.bad]:
        for p in r.failures():
            print(f'FAILED {r.suite}/{r.test["name"]}: {p[:250]}')
    for r in flaky:
        for p in r.failures():
            print(f'PASSED ONLY THE SECOND TIME, ALONE {r.suite}/{r.test["name"]}: {p[:250]}  log: {r.log_path}')
    print(f'logs: {logdir}')
    passed, failed, skipped = (sum(getattr(r, what) for r in count.results) for what in ('good', 'bad', 'skip'))
    print(f'{passed} passed, {failed} failed, {skipped} skipped', flush=True)
    return 1 if failed or not passed else 0


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
    for this_round, at_once in AT_ONCE.items():
        start, cpu = time.monotonic(), count.cpu
        now = sorted((st for st in todo if round_of(*st) == this_round), key=lambda st: not FIRST.search(st[1]['name']))
        with ThreadPoolExecutor(at_once) as pool:
            for done in [pool.submit(run_one, suite, test, logdir, count) for suite, test in now]:
                done.result()
        if len(todo) > len(now) > 0:
            print(f'  [{len(now)} programs {NAMES[this_round]}: {time.monotonic() - start:.0f} s, CPU {count.cpu - cpu:.0f} s]', flush=True)
    flaky = run_again(logdir, count)
    with open(os.path.join(logdir, 'times'), 'w') as file:
        file.write('seconds\tCPU seconds\tprogram\n')
        file.writelines(f'{wall:.1f}\t{used:.1f}\t{name}\n' for wall, used, name in sorted(count.times, reverse=True))
    return print_end(logdir, count, flaky)


if __name__ == '__main__':
    sys.exit(main())
