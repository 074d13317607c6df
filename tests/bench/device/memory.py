# SPDX-License-Identifier: GPL-2.0-or-later
"""What an idle VM costs the host: memory of its renderer, and its share of vgpud's.

A first QEMU has one device, so that vgpud and its zygote are there; a second
one, whose CPU never runs, has the VMs that are measured.  PSS divides each page
by the processes that have it: the renderer's is counted whole, vgpud's and the
zygote's for one VM of all.
"""
import os
import subprocess
import tempfile
import time

VMS = 4
SOON_S = 60


def processes():
    """pid: (name, command line) of all that can be looked at."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/comm') as f:
                comm = f.read().strip()
            with open(f'/proc/{pid}/cmdline') as f:
                found[int(pid)] = comm, f.read().split('\0')
        except OSError:
            continue                    # it ended meanwhile
    return found


def pss_mib(pid):
    with open(f'/proc/{pid}/smaps_rollup') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('Pss:')) / 1024


def below(parent):
    """Children of a process, by any of its threads."""
    found = set()
    for tid in os.listdir(f'/proc/{parent}/task'):
        with open(f'/proc/{parent}/task/{tid}/children') as f:
            found.update(int(pid) for pid in f.read().split())
    return found


def wait_for(what, condition):
    end = time.monotonic() + SOON_S
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f'idle memory: {what} did not come within {SOON_S} s')
        time.sleep(0.05)
    return value


class Qemu:
    """One whose CPU does not run, with so many devices."""

    def __init__(self, program, name, count, runtime):
        command = [program, '-name', name, '-machine', 'q35,accel=tcg,memory-backend=mem', '-m', '64M', '-S', '-nodefaults', '-vga',
                   'none', '-display', 'none', '-object', 'memory-backend-memfd,id=mem,size=64M']
        for i in range(count):
            command += ['-device', f'vgpu-pci,profile=sixteenth,name={name}{i}']
        self.names = {f'--vm-name={name}{i}' for i in range(count)}
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(os.environ, XDG_RUNTIME_DIR=runtime))

    def renderers(self):
        """Their pids, once all serve: they have both their threads."""
        pids = [pid for pid, (_, args) in processes().items() if self.names.intersection(args)]
        serving = [pid for pid in pids if len(os.listdir(f'/proc/{pid}/task')) > 1]
        return serving if len(serving) == len(self.names) else None

    def end(self):
        self.process.terminate()
        self.process.wait()


def measure(program):
    """{'idle_pss': MiB a VM}."""
    qemus = []
    with tempfile.TemporaryDirectory(prefix='vb-', ignore_cleanup_errors=True) as runtime:
        try:
            qemus.append(Qemu(program, f'first{os.getpid()}-', 1, runtime))
            first = wait_for('the first renderer', qemus[0].renderers)[0]
            with open(f'/proc/{first}/stat') as f:
                vgpud = int(f.read().rsplit(')', 1)[1].split()[1])

            def ready():
                with open(f'{runtime}/vgpu/vgpud.log') as f:
                    return 'the zygote is ready' in f.read()

            wait_for('the zygote', ready)
            qemus.append(Qemu(program, f'idle{os.getpid()}-', VMS, runtime))
            renderers = wait_for('a renderer', qemus[1].renderers)
            time.sleep(1)               # what they do at the start is done
            others = [pid for pid in below(vgpud) if processes().get(pid, ('',))[0] == 'vgpu-zygote']
            shared = sum(pss_mib(pid) for pid in [vgpud, *others])
            # the processes that wait for a VM's first Vulkan are the VM's
            own = [sum(pss_mib(pid) for pid in [renderer, *below(renderer)]) for renderer in renderers]
            return {'idle_pss': sum(own) / VMS + shared / (VMS + 1)}
        finally:
            for qemu in qemus:
                qemu.end()
