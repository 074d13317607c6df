#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The entry scripts themselves: what tests/shell shows, and how a step fails, is
interrupted and goes on.  Nothing is built here: steps are those of a copy of
the scripts whose makers are stand-ins."""
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

TOP = os.environ.get('VGPU_TOP') or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get('VGPU_CACHE') or os.path.expanduser('~/.cache/vgpu')

# The makers of a copy.  made/NAME says how often; slow and broken make one wait or fail.
STAND_INS = '''
made() {
    mkdir -p "$VGPU_CACHE/made"
    echo "making $1 now"
    echo x >> "$VGPU_CACHE/made/$1"
    while [ -e "$VGPU_CACHE/slow-$1" ]; do sleep 0.1; done
    [ ! -e "$VGPU_CACHE/broken-$1" ] || ls "/nonexistent/of-$1"
    touch "$VGPU_CACHE/ready-$1"
}
host_is_debian13() { false; }
toolbox_ready() { [ -e "$VGPU_CACHE/ready-toolbox" ]; }
toolbox_run() { "$@"; }
toolbox_make() { made toolbox; }
qemu_ready() { [ -e "$VGPU_CACHE/ready-qemu" ]; }
qemu_make() { made qemu; }
qemu_dir() { echo "$VGPU_CACHE/qemu-stand-in"; }
backend_ready() { [ -e "$VGPU_CACHE/ready-backend" ]; }
backend_make() { made backend; }
backend_mark() { echo "$VGPU_CACHE/ready-backend"; }
build_dir() { mkdir -p "$VGPU_CACHE/build"; echo "$VGPU_CACHE/build"; }
'''


class Copy(unittest.TestCase):
    """tests/shell of a copy, on a machine where nothing is made yet."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix='vgpu-scripts.')
        self.addCleanup(shutil.rmtree, self.dir)
        os.makedirs(self.dir + '/top/tests')
        shutil.copy(TOP + '/tests/shell', self.dir + '/top/tests')
        shutil.copytree(TOP + '/tests/env', self.dir + '/top/tests/env')
        with open(self.dir + '/top/tests/env/all.sh', 'a') as script:
            script.write(STAND_INS)
        self.cache = self.dir + '/cache'
        os.mkdir(self.cache)
        drop = ('VGPU_IN_TOOLBOX', 'VGPU_LOG', 'VGPU_NO_BUILD', 'VGPU_TOP', 'VGPU_QEMU_DIR', 'VGPU_STEP_MARK')
        self.env = {k: v for k, v in os.environ.items() if k not in drop}
        self.env['VGPU_CACHE'] = self.cache

    def start(self, *command):
        return subprocess.Popen([self.dir + '/top/tests/shell', *command], env=self.env, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def run_shell(self, *command):
        child = self.start(*command)
        out, err = child.communicate(timeout=60)
        return child.returncode, out, err

    def mark(self, name):
        open(f'{self.cache}/{name}', 'w').close()

    def unmark(self, name):
        os.remove(f'{self.cache}/{name}')

    def made(self, name):
        try:
            with open(f'{self.cache}/made/{name}') as times:
                return len(times.read().split())
        except FileNotFoundError:
            return 0

    def wait_made(self, name):
        end = time.monotonic() + 30
        while not self.made(name):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_all_is_made_first_and_once(self):
        rc, out, err = self.run_shell('echo', 'done')
        self.assertEqual((rc, out), (0, 'done\n'), err)
        self.assertIn('[1/3] toolbox', err)
        self.assertIn('[2/3] QEMU', err)
        self.assertIn('[3/3] renderer', err)
        rc, out, err = self.run_shell('echo', 'done')
        self.assertEqual((rc, out, err), (0, 'done\n', ''))
        self.assertEqual([self.made(n) for n in ('toolbox', 'qemu', 'backend')], [1, 1, 1])

    def test_status_and_output_are_the_commands(self):
        self.run_shell('true')
        rc, out, err = self.run_shell('sh', '-c', 'echo out; echo err >&2; exit 7')
        self.assertEqual((rc, out, err), (7, 'out\n', 'err\n'))

    def test_no_build_takes_what_is_there(self):
        self.env['VGPU_NO_BUILD'] = '1'
        self.assertEqual(self.run_shell('true')[0], 0)
        self.assertEqual(self.made('toolbox'), 0)

    def test_a_failed_step_names_command_and_log(self):
        self.mark('broken-qemu')
        rc, out, err = self.run_shell('echo', 'never')
        self.assertEqual((rc, out), (1, ''))
        self.assertRegex(err, r'failed after \d+ s: ls "/nonexistent/of-\$1"')
        log = err.split('the log is ')[1].split(';')[0]
        with open(log) as text:
            text = text.read()
        self.assertIn('making qemu now', text)
        self.assertIn("cannot access '/nonexistent/of-qemu'", text)
        self.assertIn("| ls: cannot access '/nonexistent/of-qemu'", err)   # and its end is shown
        self.unmark('broken-qemu')
        self.assertEqual(self.run_shell('true')[0], 0)
        self.assertEqual([self.made(n) for n in ('toolbox', 'qemu', 'backend')], [1, 2, 1])

    def test_an_interrupted_step_goes_on(self):
        for sig in (signal.SIGINT, signal.SIGTERM):
            shutil.rmtree(self.cache)
            os.mkdir(self.cache)
            self.mark('slow-qemu')
            child = self.start('echo', 'done')
            self.wait_made('qemu')
            child.send_signal(sig)
            out, err = child.communicate(timeout=30)
            self.assertEqual((child.returncode, out), (130, ''), err)
            self.assertIn('interrupted: run the same command again to go on from this step', err)
            # and nothing of it runs on, or is taken for a product
            self.unmark('slow-qemu')
            time.sleep(0.5)
            self.assertFalse(os.path.exists(self.cache + '/ready-qemu'))
            rc, out, err = self.run_shell('echo', 'done')
            self.assertEqual((rc, out), (0, 'done\n'), err)
            self.assertIn('[1/2] QEMU', err)
            self.assertEqual([self.made(n) for n in ('toolbox', 'qemu', 'backend')], [1, 2, 1])


class Shell(unittest.TestCase):
    """The real tests/shell, entered from inside the toolbox once more as if from outside."""

    @staticmethod
    def run_shell(script, cwd=TOP):
        env = {k: v for k, v in os.environ.items() if k != 'VGPU_IN_TOOLBOX'}
        env.update(VGPU_TOOLBOX='1', VGPU_NO_BUILD='1', VGPU_CACHE=CACHE)
        return subprocess.run([TOP + '/tests/shell', 'bash', '-ec', script], cwd=cwd, env=env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)

    @classmethod
    def setUpClass(cls):
        first = cls.run_shell('true')
        if first.returncode:
            raise unittest.SkipTest('no toolbox within the toolbox here: ' + first.stderr.strip())

    def shell(self, script, cwd=TOP):
        done = self.run_shell(script, cwd)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_programs(self):
        out = self.shell('for p in qemu-system-x86_64 qemu-img vgpud vgpuctl vgpu-renderer cc meson ninja; do command -v $p; done;'
                         '[ -x "$VGPUD" ]; [ -x "$VGPU_RENDERER" ]; [ -d "$VGPU_BUILD" ]; [ -d "$VGPU_QEMU_TREE/hw" ];'
                         '[ -x "$VGPU_QEMU_DIR/qemu-system-x86_64" ]')
        self.assertEqual(len(out.split()), 8)

    def test_headers(self):
        out = self.shell(r'''printf '#include <%s>\n' glib.h epoxy/gl.h EGL/egl.h seccomp.h json-glib/json-glib.h libsoup/soup.h \
            virgl/virglrenderer.h vulkan/vulkan.h > /tmp/headers.$$.c
            cc -fsyntax-only $(pkg-config --cflags glib-2.0 epoxy json-glib-1.0 libsoup-3.0 virglrenderer) /tmp/headers.$$.c
            rm /tmp/headers.$$.c; echo good''')
        self.assertEqual(out, 'good\n')

    def test_folders(self):
        with tempfile.TemporaryDirectory(prefix='vgpu-seen.') as seen:
            out = self.shell(f'echo in > {seen}/file; head -c 3 {TOP}/README.md; [ -w {CACHE} ]; pwd')
            self.assertEqual(out, f'# v{TOP}\n')
            with open(seen + '/file') as file:
                self.assertEqual(file.read(), 'in\n')

    def test_from_elsewhere(self):
        """A folder that is neither of the three, one that the toolbox has too, and the root."""
        os.makedirs(os.path.expanduser('~/elsewhere'), exist_ok=True)
        here = tempfile.mkdtemp(dir=os.path.expanduser('~/elsewhere'))
        self.addCleanup(shutil.rmtree, here)
        self.assertEqual(self.shell('pwd; touch made', cwd=here), here + '\n')
        self.assertEqual(os.listdir(here), ['made'])
        self.assertEqual(self.shell('pwd', cwd='/usr/share'), '/usr/share\n')
        self.assertEqual(self.shell('pwd', cwd='/'), '/\n')


if __name__ == '__main__':
    unittest.main()
