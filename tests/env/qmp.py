#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qmp.py [--within MS] SOCKET COMMAND [ARGUMENTS-AS-JSON]: one QMP command, its return value as JSON.

With --within it fails when the answer takes longer.  Not counted is what QEMU's
main thread, and the one of its other threads that did so longest (a vCPU's may
hold the lock), were ready to run and waited for a CPU.

Also a module: Qmp(path, timeout).command('query-status')."""
import glob
import json
import socket
import struct
import sys
import time


class QmpError(Exception):
    pass


class Qmp:
    """A QMP connection; events that arrive on the way are kept in .events."""

    def __init__(self, path, timeout=30.0):
        end = time.monotonic() + timeout
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.sock.connect(path)
                break
            except OSError:
                self.sock.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.sock.settimeout(timeout)
        self.events = []
        self.buffer = b''
        self._read()
        self.command('qmp_capabilities')

    def _read(self):
        while b'\n' not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise QmpError('QEMU closed its QMP socket')
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return json.loads(line)

    def command(self, name, **arguments):
        message = {'execute': name}
        if arguments:
            message['arguments'] = arguments
        self.sock.sendall(json.dumps(message).encode() + b'\n')
        while True:
            reply = self._read()
            if 'return' in reply:
                return reply['return']
            if 'error' in reply:
                raise QmpError(reply['error']['desc'])
            self.events.append(reply)

    def waited(self):
        """Of each thread of QEMU: seconds that it waited for a CPU, the main thread's first."""
        pid = struct.unpack('3i', self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        waited = {}
        for path in glob.glob(f'/proc/{pid}/task/*/schedstat'):
            try:
                with open(path) as stat:
                    waited[int(path.split('/')[4])] = int(stat.read().split()[1]) / 1e9
            except OSError:
                pass  # it has ended
        return waited.pop(pid, 0), waited

    def timed(self, name, **arguments):
        """What the command returns, and the seconds it took less those waited for a CPU."""
        main, others = self.waited()
        start = time.monotonic()
        value = self.command(name, **arguments)
        took = time.monotonic() - start
        main_now, others_now = self.waited()
        longest = max((others_now[t] - others.get(t, 0) for t in others_now), default=0)
        return value, took - (main_now - main) - longest

    def close(self):
        self.sock.close()


def main(argv):
    within = None
    if argv[1:2] == ['--within']:
        within = float(argv[2]) / 1000
        argv = argv[:1] + argv[3:]
    if len(argv) < 3:
        sys.exit(__doc__)
    try:
        arguments = json.loads(argv[3]) if len(argv) > 3 else {}
        value, took = Qmp(argv[1]).timed(argv[2], **arguments)
        print(json.dumps(value))
        if within is not None and took > within:
            sys.exit(f'qmp.py: {argv[2]} was answered after {took * 1000:.0f} ms, not within {within * 1000:.0f}')
    except (QmpError, OSError) as error:
        sys.exit(f'qmp.py: {argv[2]}: {error}')


if __name__ == '__main__':
    main(sys.argv)
