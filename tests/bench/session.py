# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot of one device: follows the guest through its phases and measures.

Theory of operation.  tests/boot runs the guest's script (guest.py), whose
output arrives here line by line; a thread reads it and notes when each line
came.  In the phases 'idle', 'busy' and 'load' the main thread asks QEMU for
query-status over QMP, waits a little, and asks again; a sample is the time
from sending to the answer.  A real-time priority for that thread, where it can
be had, keeps this program's own wait for a processor out of the samples: they
show QEMU's main loop.

Only samples taken while frames are drawn count as loaded: from the line
'[terrain]' (the scene is about to run) to its 'FPS:'.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import guest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'env'))
from qmp import Qmp, QmpError  # noqa: E402

PAUSE_S = 0.005             # between two query-status
ANSWER_S = 60.0             # a main loop that is silent for longer is stuck
FPS = re.compile(r'FPS: (\d+) FrameTime: ([\d.]+) ms')
CUBE = re.compile(r'Rendered \d+ frames in [\d.]+ sec \(([\d.]+) fps\)')


class Device:
    """How one of the two is given to QEMU, and how it is shown."""

    def __init__(self, name, spec, display, shown):
        self.name = name
        self.spec = f'{spec},xres={guest.WIDTH},yres={guest.HEIGHT}'
        self.display = display
        self.shown = shown


def cpu_times():
    """CPU seconds and context switches of each thread of what renders."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/comm') as f:
                comm = f.read().strip()
            if not comm.startswith(('qemu-system', 'vgpu', 'Xvfb', 'python3')):
                continue
            for tid in os.listdir(f'/proc/{pid}/task'):
                base = f'/proc/{pid}/task/{tid}'
                with open(f'{base}/stat') as f:
                    head, tail = f.read().rsplit(')', 1)
                fields = tail.split()
                with open(f'{base}/status') as f:
                    status = f.read()
                voluntary = int(re.search(r'\nvoluntary_ctxt_switches:\s+(\d+)', status)[1])
                forced = int(re.search(r'nonvoluntary_ctxt_switches:\s+(\d+)', status)[1])
                found[tid] = {
                    'process': comm, 'thread': head.split('(', 1)[1],
                    'user_s': int(fields[11]) / 100, 'system_s': int(fields[12]) / 100,
                    'voluntary': voluntary, 'forced': forced}
        except (OSError, TypeError, ValueError):
            continue                    # it ended meanwhile
    return found


def cpu_used(before, after):
    """What each thread used between two cpu_times(), most first."""
    used = []
    for tid, now in after.items():
        old = before.get(tid, dict.fromkeys(('user_s', 'system_s', 'voluntary', 'forced'), 0))
        row = {'process': now['process'], 'thread': now['thread'], 'tid': int(tid)}
        for key in ('user_s', 'system_s', 'voluntary', 'forced'):
            row[key] = round(now[key] - old[key], 2)
        if row['user_s'] + row['system_s'] or row['voluntary']:
            used.append(row)
    return sorted(used, key=lambda r: -(r['user_s'] + r['system_s']))


class RealTime:
    """Puts the calling thread before all others while inside, where that is
    allowed; .got says so.  Nothing started inside inherits it."""

    def __enter__(self):
        self.got = True
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(10))
        except OSError:
            self.got = False
        return self

    def __exit__(self, *_):
        if self.got:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Session:
    """One boot.  run() returns {'samples': {phase: [(t, ms)]}, 'fps': {},
    'cpu': {phase: [...]}, 'errors': [...], 'seconds': {phase: s}}."""

    def __init__(self, device, phases, times, raw_dir, progress):
        self.device = device
        self.phases = phases
        self.times = times
        self.raw_dir = raw_dir
        self.progress = progress
        self.phase = None
        self.drawing = False
        self.changed = threading.Event()
        self.ended = False
        self.result = {'device': device.spec, 'shown': device.shown, 'samples': {}, 'fps': {},
                       'cpu': {}, 'seconds': {}, 'errors': [], 'marks': []}

    def _line(self, line, now):
        """One line of the guest's output: a marker, a result or noise."""
        self.result['marks'].append((round(now, 3), line))
        if line.startswith('@@ '):
            words = line[3:].split()
            if words[0] in ('idle', 'busy', 'scene', 'cube', 'load'):
                self.phase = words[-1] if words[0] == 'scene' else words[0]
                self.drawing = self.phase in ('idle', 'busy')
            elif words[0] == 'end':
                if words[1:] and words[1] != '0':
                    self.result['errors'].append(f'{self.phase}: the program ended with status {words[1]}')
                self.phase, self.drawing = None, False
            elif words[0] == 'modes' and words[1:] != [f'{guest.WIDTH}x{guest.HEIGHT}']:
                self.result['errors'].append(f"the guest's modes are {words[1:]}: its driver did not take our EDID")
            self.changed.set()
            return
        if self.phase == 'load' and line.startswith('[terrain]'):
            self.drawing = True
        if (found := FPS.search(line)):
            # the frame time has more digits than the rate
            name = 'terrain' if self.phase == 'load' else self.phase
            if float(found[2]) > 0:
                self.result['fps'][name] = 1000 / float(found[2])
            self.drawing = False
        if self.phase == 'cube' and (found := CUBE.search(line)):
            # it reports every two seconds; the last one is the warmest
            self.result['fps']['cube'] = float(found[1])
        if 'Failed to set crtc' in line or 'virgl (' in line:
            return
        if 'GL_RENDERER' in line and 'virgl' not in line:
            self.result['errors'].append(f'the guest does not render through the host: {line.strip()}')

    def _read(self, pipe):
        """The reader thread.  Byte-wise: glmark2's '[terrain]' has no newline
        until the scene has ended."""
        partial = b''
        seen = None
        while chunk := os.read(pipe.fileno(), 4096):
            now = time.monotonic()
            partial += chunk
            *lines, partial = partial.split(b'\n')
            for line in lines:
                self._line(line.decode(errors='replace').strip('\r'), now)
                seen = None
            if partial.startswith(b'[') and b']' in partial and seen is None:
                seen = partial
                self.result['marks'].append((round(now, 3), partial.decode(errors='replace')))
                if self.phase == 'load':
                    self.drawing = True
        self.ended = True
        self.phase = None
        self.changed.set()

    def _sample(self, qmp, phase):
        """query-status until the phase ends."""
        samples = self.result['samples'].setdefault(phase, [])
        t0 = time.monotonic()
        with RealTime() as priority:
            self.result['real_time'] = priority.got
            while self.phase == phase:
                drawing = self.drawing
                t = time.monotonic()
                qmp.command('query-status')
                ms = (time.monotonic() - t) * 1000
                # asked before the last frame and answered after it: counts
                if drawing:
                    samples.append((round(t - t0, 4), round(ms, 4)))
                time.sleep(PAUSE_S)

    def _follow(self, sock):
        """The main thread's part, until the guest's output ends."""
        qmp = None
        while not self.ended:
            self.changed.wait(1.0)
            self.changed.clear()
            phase = self.phase
            if phase is None:
                continue
            self.progress(f'{phase}')
            before, t0 = cpu_times(), time.monotonic()
            try:
                if phase in ('idle', 'busy', 'load'):
                    qmp = qmp or Qmp(sock, ANSWER_S)
                    self._sample(qmp, phase)
                else:
                    while self.phase == phase:
                        self.changed.wait(0.1)
            except (OSError, QmpError) as error:
                self.result['errors'].append(f'{phase}: QMP: {error or type(error).__name__}')
                while self.phase == phase:
                    self.changed.wait(0.1)
            self.result['seconds'][phase] = round(time.monotonic() - t0, 2)
            self.result['cpu'][phase] = cpu_used(before, cpu_times())
            self.changed.set()

    def run(self):
        top = os.environ['VGPU_TOP']
        idle_s, scene_s, load_s = self.times
        limit = 90 + 2 * idle_s + 6 * (scene_s * 2 + 25) + load_s * 3 + 40
        work = tempfile.mkdtemp(prefix='vgpu-bench.')   # short: a socket lives in it
        # The vgpud that our device starts must not be one that somebody else's
        # VM, or the boot before this one, still uses.
        runtime = tempfile.TemporaryDirectory(prefix='vgpu-bench-run.', ignore_cleanup_errors=True)
        command = [f'{top}/tests/boot', '--device', self.device.spec, '--dir', work,
                   '--timeout', str(limit), '--append', guest.APPEND,
                   '--run', guest.script(self.phases, *self.times)]
        for arg in self.device.display:
            command += ['--qemu-arg', arg]
        boot = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True,
                                env=dict(os.environ, XDG_RUNTIME_DIR=runtime.name))
        errors = []
        readers = [threading.Thread(target=self._read, args=(boot.stdout,), daemon=True),
                   threading.Thread(target=lambda: errors.append(boot.stderr.read()), daemon=True)]
        try:
            for reader in readers:
                reader.start()
            self._follow(f'{work}/qmp.sock')
            status = boot.wait(limit + 30)
            if status != 0:
                self.result['errors'].append(f'tests/boot ended with status {status}')
        except subprocess.TimeoutExpired:
            self.result['errors'].append('tests/boot did not end')
        finally:
            if boot.poll() is None:
                os.killpg(boot.pid, signal.SIGKILL)
            for reader in readers:
                reader.join(5)
            runtime.cleanup()
            self._keep(work, b''.join(errors))
        return self.result

    def _keep(self, work, stderr):
        """The run's own files, for whoever asks why."""
        os.makedirs(self.raw_dir, exist_ok=True)
        with open(f'{self.raw_dir}/stderr.txt', 'wb') as f:
            f.write(stderr)
        for name in ('console.log', 'qemu.err'):
            if os.path.exists(f'{work}/{name}'):
                shutil.copy(f'{work}/{name}', self.raw_dir)
        with open(f'{self.raw_dir}/result.json', 'w') as f:
            json.dump(self.result, f, indent=1)
        shutil.rmtree(work, ignore_errors=True)
        if self.result['errors'] and stderr:
            tail = stderr.decode(errors='replace').strip().splitlines()[-3:]
            self.result['errors'] += [f'stderr: {line}' for line in tail]
