#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tidy.py BUILD CHECKS FILE...: clang-tidy of each file, but for those that it had
nothing to say of before.

What it says depends on the file, all that it includes (which ninja knows), how
it is compiled, the checks and clang-tidy itself: a hash of those is remembered
in the cache when there was nothing to say."""
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

TOP = os.environ['VGPU_TOP']
KEPT_S = 30 * 24 * 3600
NOISE = re.compile(r'^\d+ warnings? (generated|treated)|^Suppressed|^Use -header')


def dependencies(build):
    """{source: [files that it is made of]}, as ninja saw it last."""
    found, files = {}, None
    for line in subprocess.run(['ninja', '-C', build, '-t', 'deps'], stdout=subprocess.PIPE, text=True).stdout.splitlines():
        if line.startswith('    ') and files is not None:
            path = os.path.realpath(os.path.join(build, line.strip()))
            if not files:
                found.setdefault(path, files)
            files.append(path)
        else:
            files = [] if line.endswith('(VALID)') else None
    return found


def commands(build):
    with open(f'{build}/compile_commands.json') as f:
        return {os.path.realpath(os.path.join(c['directory'], c['file'])): c['command'] for c in json.load(f)}


class Hashes:
    """Of files, each read once."""

    def __init__(self):
        self.known = {}

    def of(self, path):
        if path not in self.known:
            try:
                with open(path, 'rb') as f:
                    self.known[path] = hashlib.sha256(f.read()).hexdigest()
            except OSError:
                self.known[path] = 'missing'
        return self.known[path]


def main():
    build, checks, *files = sys.argv[1:]
    folder = os.environ['VGPU_CACHE'] + '/tidy'
    os.makedirs(folder, exist_ok=True)
    deps, how, hashes = dependencies(build), commands(build), Hashes()
    version = subprocess.run(['clang-tidy', '--version'], stdout=subprocess.PIPE, text=True).stdout
    bad = []

    def place(path):
        """Where it is remembered; None: ninja does not know what it is made of."""
        if path not in deps or path not in how:
            return None
        # another checkout of the same is the same
        command = how[path].replace(os.path.relpath(TOP, build), 'TOP').replace(TOP, 'TOP')
        parts = [version, checks, command, *sorted(hashes.of(p) for p in deps[path])]
        return folder + '/' + hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:24]

    def one(name):
        known = place(os.path.realpath(name))
        if known and os.path.exists(known):
            os.utime(known)
            return
        ran = subprocess.run(['clang-tidy', '--quiet', '-p', build, f'--checks={checks}', '--warnings-as-errors=*', name],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = [line for line in ran.stdout.splitlines() if not NOISE.match(line)]
        if ran.returncode or any(re.search('error:|warning:', line) for line in said):
            bad.append('\n'.join(line for line in said if re.search('error:|warning:', line)) or f'{name}: clang-tidy failed')
        elif known:
            open(known, 'w').close()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(one, name) for name in files]:
            done.result()
    for old in os.scandir(folder):
        if time.time() - old.stat().st_mtime > KEPT_S:
            os.unlink(old.path)
    print('\n'.join(bad), end='\n' if bad else '')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
