# SPDX-License-Identifier: GPL-2.0-or-later
"""The host of a chaos run: its processes, and faults of its kernel that come and go.

What a process of the host is refused is refused by the kernel's own means: limits
on its descriptors (prlimit), a full file system (a small tmpfs), and system calls that
fail (strace's injection), from outside and for a while.  Nothing is built into the
product.  Only the clock that jumps is one of a preloaded library, as the host's own is
everybody's (programs/jump-clock.c); renderers get none of that, as vgpud makes their environment.
"""
import glob
import json
import os
import resource
import signal
import struct
import subprocess
import time

RUNTIME = os.environ['XDG_RUNTIME_DIR']
LOGS = f'{RUNTIME}/vgpu/*.log'
CLOCK = os.environ['VGPU_TEST_CLOCK']


def read(path, mode='r'):
    try:
        with open(path, mode, **({} if 'b' in mode else {'errors': 'replace'})) as f:
            return f.read()
    except OSError:
        return b'' if 'b' in mode else ''


def processes():
    """(pid, comm, command line) of all that belong to this run: its runtime folder is in their environment."""
    mark = f'XDG_RUNTIME_DIR={RUNTIME}'.encode()
    for path in glob.glob('/proc/[0-9]*'):
        comm, words = read(f'{path}/comm').strip(), read(f'{path}/cmdline', 'rb').split(b'\0')
        words = [w.decode(errors='replace') for w in words]
        if mark in read(f'{path}/environ', 'rb').split(b'\0') or any(w.startswith('--vm-name=chaos-') for w in words):
            yield int(path.split('/')[2]), comm, words


def state(pid):
    """R, S, T (stopped), Z ...; '' when there is none."""
    return read(f'/proc/{pid}/stat').rpartition(')')[2].strip()[:1]


def alive(pid):
    return state(pid) not in ('', 'Z', 'X')


def vgpud():
    return next((pid for pid, comm, words in processes() if comm == 'vgpud' and alive(pid)), None)


def qemu(vm):
    return next((pid for pid, comm, words in processes() if comm.startswith('qemu-system') and vm in words), None)


def renderers(vm):
    return [pid for pid, comm, words in processes() if f'--vm-name={vm}' in words and alive(pid) and comm.startswith('vgpu-renderer')]


def below(pid):
    """All processes below one: a renderer's render server and that one's contexts."""
    found = []
    for path in glob.glob(f'/proc/{pid}/task/*/children'):
        for child in read(path).split():
            found += [int(child), *below(child)]
    return found


def born(pid):
    """Tells it from a later process with its number; '' when there is none."""
    words = read(f'/proc/{pid}/stat').rpartition(')')[2].split()
    return words[19] if len(words) > 19 else ''


def kill(pid, sig):
    try:
        os.kill(pid, sig)
        return True
    except OSError:
        return False


def ctl(*words, timeout=20):
    try:
        done = subprocess.run(['vgpuctl', *words], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def rows(what):
    text = ctl(what, '--json')
    return json.loads(text) if text else None


def serve():
    """A vgpud, if none is there: what systemd does for vgpud.socket."""
    try:
        subprocess.run(['vgpud', '--autostart'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env=jumping(), timeout=30, check=False)
    except subprocess.TimeoutExpired: # there is one, which stands still
        pass


def jumping():
    """An environment with the clock that jumps."""
    return dict(os.environ, LD_PRELOAD=f'{os.environ["VGPU_BUILD"]}/tests/guest/programs/libjump-clock.so')


def set_clock(seconds):
    """That far from the truth, from now on."""
    with open(CLOCK, 'r+b' if os.path.exists(CLOCK) else 'wb') as f:
        f.write(struct.pack('q', seconds))


def log():
    return ''.join(read(path) for path in sorted(glob.glob(LOGS)))


# ---- faults that last for a while --------------------------------------------------

class Starved:
    """No descriptor more than there are; of each process once at a time."""

    now = set()

    def __init__(self, pid):
        self.pid, self.hits = pid, None
        if pid in Starved.now:
            raise OSError
        Starved.now.add(pid)
        self.was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        highest = max((int(os.path.basename(p)) for p in glob.glob(f'/proc/{pid}/fd/*')), default=64)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, self.was[1]))

    def end(self):
        Starved.now.discard(self.pid)
        try:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.was)
        except OSError:
            pass


class Refused:
    """Its system calls of some kinds fail: calls 'memfd_create,ftruncate', error 'ENOSPC'."""

    def __init__(self, pid, calls, error, when, path):
        self.pid, self.path, self.hits = pid, path, None
        self.child = subprocess.Popen(
            ['strace', '-f', '-qq', '-o', path, '-e', f'trace={calls}', '-e', f'inject={calls}:error={error}{when}', '-p', str(pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired: # it waits for one that stands still
            self.child.kill()
            self.child.wait()
        self.hits = read(self.path).count('(INJECTED)')


class Full:
    """The file system of sockets, state and logs has no room; mounted() first."""

    PATH = f'{RUNTIME}/filler'

    @staticmethod
    def mounted():
        return subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8M,mode=0700', 'tmpfs', RUNTIME], check=False,
                              stderr=subprocess.DEVNULL).returncode == 0

    def __init__(self):
        self.hits = None
        with open(self.PATH, 'wb', buffering=0) as f:
            try:
                while f.write(b'\0' * 65536):
                    pass
            except OSError:
                pass

    def end(self):
        os.unlink(self.PATH)


class Stopped:
    def __init__(self, pid):
        self.pid, self.hits = pid, None
        kill(pid, signal.SIGSTOP)

    def end(self):
        kill(self.pid, signal.SIGCONT)


def wait_for(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
