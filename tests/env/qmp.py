#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qmp.py SOCKET COMMAND [ARGUMENTS-AS-JSON]: one QMP command, its return value as JSON.

Also a module: Qmp(path, timeout).command('query-status')."""
import json
import socket
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

    def close(self):
        self.sock.close()


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        arguments = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
        print(json.dumps(Qmp(sys.argv[1]).command(sys.argv[2], **arguments)))
    except (QmpError, OSError) as error:
        sys.exit(f'qmp.py: {sys.argv[2]}: {error}')
