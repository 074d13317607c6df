#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vnc.py SOCKET [--picture FILE.png] [--cursor FILE.png]: what a VNC viewer on
QEMU's Unix socket is shown: the screen, and the pointer that it has to draw
itself.  Prints the size of both and the pointer's hot spot.

vnc.py SOCKET --resize WxH: the viewer's window gets that size, of which the
guest hears."""
import argparse
import socket
import struct
import sys

from PIL import Image

RAW, CURSOR, RESIZE, EXTENDED = 0, -239, -223, -308
PIXELS = struct.pack('>BBBBHHHBBBxxx', 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)   # BGRX


class Viewer:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.cursor = None
        self.answer = None
        self.read(12)
        self.sock.sendall(b'RFB 003.008\n')
        types = self.read(self.read(1)[0])
        if 1 not in types:
            sys.exit(f'the server wants a password: {list(types)}')
        self.sock.sendall(b'\x01')
        if struct.unpack('>I', self.read(4))[0]:
            sys.exit('the server refused')
        self.sock.sendall(b'\x01')
        width, height, _, name = struct.unpack('>HH16sI', self.read(24))
        self.read(name)
        self.picture = Image.new('RGB', (width, height))
        self.sock.sendall(b'\x00\0\0\0' + PIXELS)
        self.sock.sendall(struct.pack('>BxHiii', 2, 3, RAW, CURSOR, RESIZE))

    def read(self, count):
        data = b''
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                sys.exit('the server hung up')
            data += more
        return data

    def ask(self):
        self.sock.sendall(struct.pack('>BBHHHH', 3, 0, 0, 0, *self.picture.size))

    def rectangle(self):
        """One of an update; the number of the picture's pixels in it."""
        x, y, width, height, encoding = struct.unpack('>HHHHi', self.read(12))
        if encoding == RESIZE:
            self.picture = Image.new('RGB', (width, height))
            self.ask()
            return 0
        if encoding == EXTENDED:
            self.read(struct.unpack('>Bxxx', self.read(4))[0] * 16)
            if x == 1:      # it answers this client
                self.answer = y
            return 0
        pixels = self.read(width * height * 4)
        image = Image.frombuffer('RGB', (width, height), pixels, 'raw', 'BGRX', 0, 1) if pixels else None
        if encoding == RAW:
            self.picture.paste(image, (x, y))
            return width * height
        line = (width + 7) // 8
        mask = self.read(line * height)
        if image:
            image.putalpha(Image.frombuffer('1', (width, height), mask, 'raw', '1', line, 1).convert('L'))
            self.cursor = (x, y, image)
        return 0

    def resize(self, width, height):
        """Returns what QEMU says it did with that."""
        self.sock.sendall(struct.pack('>BxHi', 2, 1, EXTENDED))
        self.ask()
        self.sock.sendall(struct.pack('>BxHHBxIHHHHI', 251, width, height, 1, 0, 0, 0, width, height, 0))
        while self.answer is None:
            self.update()
        return self.answer

    def update(self):
        """One message of the server; the number of the picture's pixels in it."""
        kind = self.read(1)[0]
        if kind == 0:
            _, count = struct.unpack('>BH', self.read(3))
            return sum(self.rectangle() for _ in range(count))
        if kind == 3:
            self.read(struct.unpack('>3xI', self.read(7))[0])
        elif kind != 2:
            sys.exit(f'message {kind} of the server is unknown')
        return 0

    def look(self):
        """Until the whole picture has come and a pointer."""
        self.ask()
        seen = 0
        while seen < self.picture.width * self.picture.height or not self.cursor:
            seen += self.update()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('socket')
    parser.add_argument('--picture')
    parser.add_argument('--cursor')
    parser.add_argument('--resize', metavar='WxH')
    opts = parser.parse_args()
    viewer = Viewer(opts.socket)
    if opts.resize:
        status = viewer.resize(*map(int, opts.resize.split('x')))
        sys.exit(0 if status in (0, 4) else f'the server refused: {status}')     # 4: the guest was told
    viewer.look()
    x, y, cursor = viewer.cursor
    print(f'picture={viewer.picture.width}x{viewer.picture.height}')
    print(f'cursor={cursor.width}x{cursor.height} hot={x},{y}')
    if opts.picture:
        viewer.picture.save(opts.picture)
    if opts.cursor:
        cursor.save(opts.cursor)


if __name__ == '__main__':
    main()
