# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/bench/run share: how the GPU's time is divided among VMs.

Theory of operation.  Each run starts a vgpud of its own with one software GPU
and VM-like clients (client.c) on real renderers, all through virglrenderer and
llvmpipe.  While they work, every renderer's CPU time is read from the kernel
and its GPU time from vgpud, ten times a second; a figure is the worst window
of the run.  What is compared is the kernel's figure: on software rendering the
CPU time is the GPU time, and it is not vgpud that measured it.

All clients may use all CPUs (cpus=all), so the leases alone divide the GPU.
What others on the machine used of its CPUs meanwhile is told with each run: the
bounds are those of a machine that does nothing else.

Shares of CPU time are shares of the GPU only while whoever has the GPU keeps all
CPUs at work; of what stays idle in a turn vgpud charges a part, or a VM could
keep others off for nothing, and CPU time alone does not tell of that.  So the
clients draw scenes whose tiles keep all of llvmpipe's threads at work
(client.c).  Many small scenes are measured as well, without a goal.

The part 'guests' does the same with two real guests in QEMU.
"""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from statistics import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from table import row, show, write  # noqa: E402

STEP_S = 0.1


class Vgpud:
    """A daemon of our own, its socket and configuration in a folder."""

    def __init__(self, policy='best-effort', profiles=None, conf='', vgpud='', env=None):
        self.folder = tempfile.TemporaryDirectory(prefix='vgpu-share.', ignore_cleanup_errors=True)
        self.socket = f'{self.folder.name}/vgpud.sock'
        etc = f'{self.folder.name}/etc'
        os.makedirs(f'{etc}/profiles.d')
        with open(f'{etc}/vgpud.conf', 'w') as f:
            f.write(f'[vgpud]\ngpus = software\n{vgpud}[renderer]\nkind = virgl\n{conf}'
                    f'[gpu software0]\nmemory = 4G\npolicy = {policy}\n')
        with open(f'{etc}/profiles.d/bench.conf', 'w') as f:
            for name, keys in (profiles or {}).items():
                f.write(f'[{name}]\nmemory = 128M\ncpus = all\n' + ''.join(f'{k} = {v}\n' for k, v in keys.items()))
        self.log = open(f'{self.folder.name}/log', 'w+')
        self.process = subprocess.Popen([os.environ['VGPUD'], f'--socket={self.socket}', f'--config={etc}'],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env)
        self.api = f'{self.folder.name}/vgpud-api.sock'
        for _ in range(200):
            if os.path.exists(self.api):
                break
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            raise RuntimeError('vgpud does not listen')
        if self.process.poll() is not None:
            self.log.seek(0)
            raise RuntimeError('vgpud ended: ' + self.log.read())

    def get(self, path, method='GET', body=None):
        text = json.dumps(body).encode() if body is not None else b''
        head = f'{method} {path} HTTP/1.1\r\nHost: vgpud\r\nConnection: close\r\n'
        if text:
            head += f'Content-Type: application/json\r\nContent-Length: {len(text)}\r\n'
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.api)
            s.sendall(head.encode() + b'\r\n' + text)
            data = b''
            while chunk := s.recv(65536):
                data += chunk
        answer = json.loads(data.split(b'\r\n\r\n', 1)[1])
        if 'error' in answer:
            raise RuntimeError(f"{method} {path}: {answer['error']}")
        return answer

    def vms(self):
        return {vm['vm']: vm for vm in self.get('/v1/vms')}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.folder.cleanup()


class Client:
    number = 0

    def __init__(self, vgpud, profile, **keys):
        Client.number += 1
        self.name = f'vm{Client.number}'
        self.process = subprocess.Popen(
            [os.environ['VGPU_BUILD'] + '/tests/bench/share/bench-share-client', vgpud.socket, profile, self.name,
             str(Client.number), *(f'{k.replace("_", "-")}={v}' for k, v in keys.items())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = []
        while (line := self.process.stdout.readline()) and not line.startswith('ready '):
            said.append(line)               # the test frame's own words
        if not line:
            raise RuntimeError(f"{self.name} did not get ready: {''.join(said)}")
        self.work = int(line.split()[1])
        self.pid = vgpud.vms()[self.name]['pid']

    def say(self, word):
        self.process.stdin.write(f'{word}\n')
        self.process.stdin.flush()

    def end(self):
        """{'submits': N, 'frames': [us]}"""
        out, _ = self.process.communicate('stop\n', 60)
        result = {'submits': 0, 'frames': []}
        for line in out.splitlines():
            words = line.split()
            if words[0] == 'submits':
                result['submits'] = int(words[1])
            elif words[0] == 'frame-us':
                result['frames'] = [int(w) for w in words[1:]]
        return result


class Guest:
    """A real guest: Debian 13 with its stock driver and Mesa in our QEMU, whose
    program (gl-load) has some draws of batch_us under way all the time.  It does
    for watch() what a Client does."""

    def __init__(self, vgpud, profile, batch_us):
        Client.number += 1
        self.name = f'guest{Client.number}'
        self.vgpud = vgpud
        self.work = f'{vgpud.folder.name}/{self.name}'
        self.share = f'{self.work}/share'
        os.makedirs(self.share)
        shutil.copy(os.environ['VGPU_BUILD'] + '/tests/guest/programs/gl-load', self.share)
        self.output = open(f'{self.work}/output', 'w+')
        self.process = subprocess.Popen(
            [os.environ['VGPU_TOP'] + '/tests/boot', '--name', self.name, '--dir', self.work, '--share', self.share,
             '--timeout', '400', '--memory', '1G', '--device',
             f'vgpu-pci,profile={profile},socket={vgpud.socket},name={self.name}', '--run',
             f'/share/gl-load --batch-us {batch_us} --ready /share/ready --go /share/go --stop /share/stop 2>&1'],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, start_new_session=True)

    def said(self):
        self.output.seek(0)
        return self.output.read()

    def wait(self, seconds=200):
        """Until its program knows how much work a batch is."""
        end = time.monotonic() + seconds
        while not os.path.exists(f'{self.share}/ready'):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f'{self.name} did not get ready: {self.said()[-2000:]}')
            time.sleep(0.2)
        self.pid = self.vgpud.vms()[self.name]['pid']

    def say(self, word):
        open(f'{self.share}/{word}', 'w').close()

    def end(self):
        self.say('stop')
        if self.process.wait(100):
            raise RuntimeError(f'{self.name} ended with status {self.process.returncode}: {self.said()[-2000:]}')
        return dict(re.findall(r'^(batches|batch-us)=(\d+)', self.said(), re.M))

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()


CPUCLOCK_SCHED = 2


def cpu_ns(pid):
    """CPU time of all threads of a process, those that have ended too, by its own
    clock.  One call each: to read a file for each thread takes as long as a turn,
    and of eight clients the last would have had one more than the first."""
    try:
        return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)
    except OSError as e:
        raise RuntimeError(f'process {pid} has ended: it has no CPU time to compare any more') from e


def idle_ns():
    """CPU time that all CPUs were idle, ever."""
    with open('/proc/uptime') as f:
        return float(f.read().split()[1]) * 1e9


def parts_of_cpus(samples):
    """What the renderers, nobody and others had of all CPUs' time."""
    first, last = samples[0], samples[-1]
    span = (last[0] - first[0]) * 1e9 * os.cpu_count()
    own = sum(last[1]) - sum(first[1])
    idle = last[3] - first[3]
    return own / span, idle / span, 1 - (own + idle) / span


def watch(vgpud, clients, seconds):
    """Samples [(t, [cpu_ns per client], [gpu_time_ns per client], idle_ns)] while they work."""
    samples = []
    for c in clients:
        c.say('go')
    time.sleep(0.5)                         # the start is nobody's share
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        vms = vgpud.vms()
        samples.append((time.monotonic(), [cpu_ns(c.pid) for c in clients],
                        [vms[c.name].get('gpu_time_ns') or 0 for c in clients], idle_ns()))
        time.sleep(STEP_S)
    own, idle, others = parts_of_cpus(samples)
    print(f'{len(clients)} clients: {own:.1%} of the CPUs to renderers, {idle:.1%} idle, {others:.1%} to others',
          file=sys.stderr)
    return samples


def windows(samples, length, column=1):
    """The clients' use in each window of that many seconds, [[ns per client]]."""
    found, j = [], 0
    for i, (t, *_) in enumerate(samples):
        while j < len(samples) and samples[j][0] < t + length:
            j += 1
        if j == len(samples):
            break
        found.append([b - a for a, b in zip(samples[i][column], samples[j][column])])
    return found


def worst_fairness(samples, length):
    return min((min(w) / max(w) for w in windows(samples, length) if max(w)), default=None)


def run(count, batch_us, seconds, profile='even', policy='best-effort', profiles=None, scenes=False):
    """count saturating clients that do the same work; (samples, results, draws or clears of a batch)."""
    profiles = profiles or {'even': {'share': '5%'}}
    names = [profile] * count if isinstance(profile, str) else profile
    kind, work = 'clears' if scenes else 'draws', 0
    with Vgpud(policy, profiles) as vgpud:
        clients = []
        try:
            for name in names:
                clients.append(Client(vgpud, name, batch_us=batch_us, scenes=int(scenes), **{kind: work}))
                work = clients[0].work
            samples = watch(vgpud, clients, seconds)
            return samples, [c.end() for c in clients], work
        finally:
            for c in clients:
                if c.process.poll() is None:
                    c.process.kill()


def fair(count, batch_us, window, seconds, scenes=False):
    samples, _, _ = run(count, batch_us, seconds, scenes=scenes)
    return row(f'share_{count}_equal_{batch_us // 1000}ms{"_scenes" if scenes else ""}_in_{window}s', 'min/max',
               worst_fairness(samples, window), None if scenes else ('>=', 0.97))


def ten_to_ninety(seconds):
    samples, _, _ = run(2, 10000, seconds, profile=['small', 'large'],
                        profiles={'small': {'share': '10%'}, 'large': {'share': '90%'}})
    ratios = [w[1] / w[0] for w in windows(samples, 10) if w[0]]
    far = max(ratios, key=lambda r: abs(r - 9), default=None)
    return row('share_10_to_90_in_10s', 'ratio', far, ('in', 8.7, 9.3))


def fixed(idle, seconds):
    """The error of a 25 % share in percentage points: alone, of what all CPUs could
    do; beside three others, which have the rest, of what the renderers did (a
    rasteriser's threads wait for each other now and then, so that even a VM that
    is alone leaves some of the CPUs idle: what comes to that is told)."""
    count = 1 if idle else 4
    samples, _, _ = run(count, 2000, seconds, policy='fixed-share', profiles={'even': {'share': '25%'}})
    cpus = os.cpu_count()
    errors = []
    for t, cpu, *_ in samples:
        later = [s for s in samples if s[0] >= t + 10]
        if later:
            used = [b - a for a, b in zip(cpu, later[0][1])]
            whole = (later[0][0] - t) * 1e9 * cpus if idle else sum(used)
            errors += [abs(u / whole - 0.25) * 100 for u in used]
    return row('share_fixed_error_idle_gpu' if idle else 'share_fixed_error_busy_gpu', 'points',
                  max(errors, default=None), ('<=', 1.0))


def guests(batch_us=10000):
    """Two real guests: with equal shares, and with 10 and 90 %."""
    with Vgpud(profiles={'even': {'share': '50%'}}) as vgpud:
        both = [Guest(vgpud, 'even', batch_us), Guest(vgpud, 'even', batch_us)]
        try:
            for g in both:
                g.wait()
            equal = watch(vgpud, both, 30)
            for g, share in zip(both, (0.1, 0.9)):
                vgpud.get(f'/v1/vms/{g.name}', 'PATCH', {'share': share})
            uneven = watch(vgpud, both, 20)
            ended = [g.end() for g in both]
        finally:
            for g in both:
                g.kill()
    print(f"two guests: batches of {', '.join(e['batch-us'] for e in ended)} us, {', '.join(e['batches'] for e in ended)} "
          'of them', file=sys.stderr)
    ratios = [w[1] / w[0] for w in windows(uneven, 10) if w[0]]
    return [row('share_two_guests_equal_in_20s', 'min/max', worst_fairness(equal, 20), ('>=', 0.97)),
            row('share_two_guests_equal_in_1s', 'min/max', worst_fairness(equal, 1)),
            row('share_two_guests_10_to_90_in_10s', 'ratio', max(ratios, key=lambda r: abs(r - 9), default=None),
                   ('in', 8.7, 9.3))]


def thread_figures(pid):
    """How often its threads have slept, and their CPU time, ns."""
    slept = 0
    for path in glob.glob(f'/proc/{pid}/task/*/status'):
        with open(path) as f:
            slept += int(re.search(r'^voluntary_ctxt_switches:\s+(\d+)', f.read(), re.M)[1])
    return slept, cpu_ns(pid)


def idle(seconds, vms=4):
    """vgpud with VMs attached that do nothing."""
    with Vgpud(profiles={'even': {'share': '5%'}}) as vgpud:
        clients = [Client(vgpud, 'even', clears=4) for _ in range(vms)]
        time.sleep(10)                      # they were at work a moment ago
        before = thread_figures(vgpud.process.pid)
        time.sleep(seconds)
        after = thread_figures(vgpud.process.pid)
        for c in clients:
            c.say('go')
            c.end()
    return [row(f'vgpud_idle_wakeups_in_{seconds}s', 'count', after[0] - before[0], ('<=', 0)),
            row(f'vgpud_idle_cpu_in_{seconds}s', 'us', (after[1] - before[1]) / 1000, ('<=', 0))]


def p99(values):
    return sorted(values)[max(0, -(-99 * len(values) // 100) - 1)] if values else None


def light(seconds):
    """60 small frames a second beside three saturating VMs; the bound is its time
    alone and one quantum (2 ms) of each of the others."""
    profiles = {'even': {'share': '25%'}}
    with Vgpud(profiles=profiles) as vgpud:
        small = Client(vgpud, 'even', clears=4, hz=60)
        small.say('go')
        time.sleep(seconds)
        alone = p99(small.end()['frames'])
    with Vgpud(profiles=profiles) as vgpud:
        first = Client(vgpud, 'even', batch_us=2000)
        heavy = [first] + [Client(vgpud, 'even', draws=first.work) for _ in range(2)]
        small = Client(vgpud, 'even', clears=4, hz=60)
        for c in [*heavy, small]:
            c.say('go')
        time.sleep(seconds)
        beside = p99(small.end()['frames'])
        for c in heavy:
            c.end()
    bound = alone + 3 * 2000
    print(f'light client: p99 alone {alone} us, beside three {beside} us, bound {bound} us x 1.25', file=sys.stderr)
    return row('share_light_p99_over_bound', 'ratio', beside / bound, ('<=', 1.25))


def in_turns(one, other, turns=60, turn_s=0.1):
    """Submits for each second of CPU time of two VMs' renderers, one over the
    other.  They never run at the same time and change places ten times a second,
    so whatever else the machine does, both have had the same of it."""
    before = [cpu_ns(c.pid) for c in (one, other)]
    for c in (one, other):
        c.process.send_signal(signal.SIGSTOP)
        c.say('go')
    for number in range(turns * 2):
        c = (one, other)[(number + number // 2) % 2]        # a b b a a b b a
        c.process.send_signal(signal.SIGCONT)
        time.sleep(turn_s)
        c.process.send_signal(signal.SIGSTOP)
        time.sleep(0.01)                    # what is under way ends
    rates = []
    for c, start in zip((one, other), before):
        used = cpu_ns(c.pid) - start
        c.process.send_signal(signal.SIGCONT)
        rates.append(c.end()['submits'] / used)
    return rates[0] / rates[1]


# Starts a renderer as vgpud would, without what gives it a lease.
NO_LEASE = """#!/bin/bash
args=()
for a in "$@"; do
    case $a in --lease-*) ;; *) args+=("$a") ;; esac
done
exec "$VGPU_BENCH_RENDERER" "${args[@]}"
"""


def cost(clears, label, rounds=5):
    """One VM's throughput on its CPU time (which is the GPU here) with quota and
    lease against a renderer that was built without either (bare.c), in turns.
    Both without the sandbox, in which there is no shell to leave the lease out."""
    ratios = []
    renderers = {'with': (NO_LEASE.replace('--lease-*', '--none'), os.environ['VGPU_RENDERER']),
                 'without': (NO_LEASE, os.environ['VGPU_BUILD'] + '/tests/bench/share/bench-share-bare')}
    with tempfile.TemporaryDirectory(prefix='vgpu-share.') as folder:
        for name, (text, _) in renderers.items():
            with open(f'{folder}/{name}', 'w') as f:
                f.write(text)
            os.chmod(f'{folder}/{name}', 0o755)
        conf = {name: f'path = {folder}/{name}\nenvironment = VGPU_BENCH_RENDERER={path}\n'
                for name, (_, path) in renderers.items()}
        env = {k: v for k, v in os.environ.items() if k != 'VGPU_RENDERER'}
        profiles = {'even': {'share': '100%'}}
        with Vgpud(profiles=profiles, conf=conf['with'], env=env, vgpud='sandbox = off\n') as one, \
                Vgpud(profiles=profiles, conf=conf['without'], env=env, vgpud='sandbox = off\n') as other:
            for _ in range(rounds):
                ratios.append(in_turns(*(Client(v, 'even', clears=clears) for v in (one, other))))
    print(f"{label}: {', '.join(f'{r:.3f}' for r in sorted(ratios))}", file=sys.stderr)
    return row(f'share_one_vm_throughput_{label}', 'ratio', median(ratios), ('>=', 0.99))


def micro():
    """Several figures from one run of bench-share-micro."""
    out = subprocess.run([os.environ['VGPU_BUILD'] + '/tests/bench/share/bench-share-micro'], check=True, timeout=60,
                         stdout=subprocess.PIPE, text=True).stdout
    return {line.split()[0]: [float(w) for w in line.split()[1:]] for line in out.splitlines()}


def vulkan(kind, goal=None):
    """One program on lavapipe under the Vulkan layer against the same without."""
    build = os.environ['VGPU_BUILD']
    out = subprocess.run([build + '/tests/bench/share/bench-share-vulkan', '40', kind], check=True, timeout=300,
                         env=dict(os.environ, VGPU_VULKAN_LAYER_DIR=build + '/backend/vulkan-layer'),
                         stdout=subprocess.PIPE, text=True).stdout.split()
    print(f'{kind}: {out[2]} us more for each', file=sys.stderr)
    return row(f'vulkan_layer_{kind}', 'ratio', float(out[1]), goal and ('>=', goal))


def decision():
    """With 1,000 VMs that all want the GPU: the scheduler's part of a turn, and
    all that vgpud's thread does for one, its system calls among it."""
    found = micro()
    return [row('sched_decision_of_1000', 'us', found['decision-us'][0], ('<=', 5)),
            row('lease_turn_cpu_of_1000', 'us', found['turn-us'][0])]


def vulkan_program(label, command, rounds=5, goal=0.99):
    """A program of the guest tests' on the host's lavapipe: how often it does its
    work in a second of its CPU time, which is the GPU's too, under the layer
    against without, in turns; the best run of each, since others on the machine
    only ever make one slower."""
    build = os.environ['VGPU_BUILD']
    env = dict(os.environ, VGPU_VULKAN_LAYER_DIR=build + '/backend/vulkan-layer', LP_NUM_THREADS='1',
               VK_DRIVER_FILES='/usr/share/vulkan/icd.d/lvp_icd.json', MESA_SHADER_CACHE_DISABLE='true',
               VK_LOADER_LAYERS_DISABLE='~implicit~')
    program = [f'{build}/tests/guest/programs/{command[0]}', *command[1:], '--seconds', '3', '--json']

    def rate(under):
        child = subprocess.Popen(under + program, env=env, stdout=subprocess.PIPE, text=True)
        result = json.loads(child.stdout.read())
        _, status, used = os.wait4(child.pid, 0)
        if status or not result['right']:
            raise RuntimeError(f'{command[0]} fails')
        return result['count'] / (used.ru_utime + used.ru_stime)

    rates = {True: [], False: []}
    for i in range(2 * rounds):
        with_layer = (i + i // 2) % 2 == 0 # each is first as often as the other
        rates[with_layer].append(rate([f'{build}/tests/bench/share/under-layer'] if with_layer else []))
    best = max(rates[True]), max(rates[False])
    print(f'{label}: {best[0]:.1f} and {best[1]:.1f} in a second', file=sys.stderr)
    return row(f'vulkan_layer_{label}', 'ratio', best[0] / best[1], ('>=', goal))


PARTS = {
    'acquire_release': lambda s: row('lease_acquire_release', 'ns', micro()['acquire-release-ns'][0], ('<=', 200)),
    'handover': lambda s: row('lease_handover_p50', 'us', micro()['handover-us'][0], ('<=', 50)),
    'decision': lambda s: decision(),
    'idle': lambda s: idle(s(30)),
    'cost_small': lambda s: cost(2, 'small_submits'),
    'cost_2ms': lambda s: cost(40, 'large_submits'),
    'vulkan_draws': lambda s: vulkan_program('draws', ['vk-draw', '--side', '512', '--cells', '16']),
    'vulkan_fill': lambda s: vulkan_program('fill', ['vk-draw', '--side', '512', '--cells', '4', '--rounds', '50']),
    'vulkan_dispatches': lambda s: vulkan_program('dispatches', ['vk-compute', '--words', '4096', '--rounds', '16']),
    'vulkan_compute': lambda s: vulkan_program('compute', ['vk-compute', '--words', '65536', '--rounds', '128']),
    'vulkan_16ms': lambda s: vulkan('frames_16ms', 0.99),
    'vulkan_2ms': lambda s: vulkan('frames_2ms', 0.99),
    'vulkan_200us': lambda s: vulkan('submits_200us'),
    'vulkan_allocate': lambda s: vulkan('allocations_1mib'),
    'equal_2_2ms': lambda s: fair(2, 2000, 1, s(8)),
    'equal_4_2ms': lambda s: fair(4, 2000, 1, s(8)),
    'equal_8_2ms': lambda s: fair(8, 2000, 4, s(12)),
    'equal_8_scenes': lambda s: fair(8, 2000, 4, s(12), scenes=True),
    'equal_2_50ms': lambda s: fair(2, 50000, 20, s(26)),
    'equal_4_50ms': lambda s: fair(4, 50000, 20, s(26)),
    'equal_8_50ms': lambda s: fair(8, 50000, 40, s(48)),
    '10_to_90': lambda s: ten_to_ninety(s(20)),
    'fixed_idle': lambda s: fixed(True, s(15)),
    'fixed_busy': lambda s: fixed(False, s(15)),
    'light': lambda s: light(s(10)),
    'guests': lambda s: guests(),
}


def main():
    parser = argparse.ArgumentParser(prog='tests/bench/run share')
    parser.add_argument('parts', nargs='*', metavar='PART', help=f"of {', '.join(PARTS)}")
    parser.add_argument('--json')
    parser.add_argument('--rounds', type=int, default=1)
    parser.add_argument('--keep-going', action='store_true')
    opts = parser.parse_args()
    for part in opts.parts:
        if part not in PARTS:
            parser.error(f"there is no part '{part}': {', '.join(PARTS)}")
    rows = []
    for name, part in PARTS.items():
        if opts.parts and name not in opts.parts:
            continue
        print(f'{name} ...', file=sys.stderr, flush=True)
        runs = [part(lambda seconds: seconds) for _ in range(opts.rounds)]
        runs = [run if isinstance(run, list) else [run] for run in runs]
        for same in zip(*runs):
            values = [r['ours'] for r in same if r['ours'] is not None]
            one = dict(same[0], ours=median(values) if values else None)
            if one['goal']:
                one['holds'] = sum(bool(r['holds']) for r in same) * 2 > len(same)
            rows.append(one)
    show(rows)
    if opts.json:
        write(opts.json, rows)
    missed = [r['name'] for r in rows if r['holds'] is False]
    if missed:
        print(f"goal missed: {', '.join(missed)}")
    return 0 if opts.keep_going or not missed else 1


if __name__ == '__main__':
    sys.exit(main())
