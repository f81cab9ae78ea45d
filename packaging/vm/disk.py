#!/usr/bin/env python3
"""A disk that forgets: an NBD server whose cache is lost when the power is cut.

    disk.py IMAGE SOCKET SEED

A write is only safe once a flush (or the write itself, by FUA) has said so, as on a real disk. SIGUSR1 cuts
the power some writes later, so that most cuts fall between a write and its flush, a moment that a cut at
any time would hardly ever meet. Of the sectors written since the last flush each then survives or not by
chance, in no order; the image is written and the server ends, with no answer to anybody.
"""

import os
import random
import signal
import socket
import struct
import sys

SECTOR = 512
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
OPTION_EXPORT_NAME, OPTION_ABORT, OPTION_INFO, OPTION_GO = 1, 2, 6, 7
REPLY_ACK, REPLY_INFO, REPLY_UNSUPPORTED = 1, 3, 0x80000001
# There are flags; flush; FUA.
EXPORT_FLAGS = 1 | 4 | 8
FUA = 1


# From the signal to the cut, at most: a commit of the agent takes about ten writes.
MAX_WRITES = 24


class Gone(Exception):
    """The power, or the client, has gone without a goodbye."""


class Disk:
    def __init__(self, image):
        self.safe = bytearray(image)
        self.unsafe = {}
        self.writes = self.flushes = 0
        # How many writes are left, once the power is to be cut.
        self.left = None

    def read(self, offset, length):
        data = bytearray(self.safe[offset:offset + length])
        for at in range(offset, offset + length, SECTOR):
            if at in self.unsafe:
                data[at - offset:at - offset + SECTOR] = self.unsafe[at]
        return bytes(data)

    def write(self, offset, data):
        self.writes += 1
        for at in range(0, len(data), SECTOR):
            self.unsafe[offset + at] = data[at:at + SECTOR]
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Gone

    def flush(self):
        self.flushes += 1
        for at, sector in self.unsafe.items():
            self.safe[at:at + SECTOR] = sector
        self.unsafe.clear()

    def cut(self, chance):
        """Returns how many sectors were lost, of how many."""
        written = len(self.unsafe)
        self.unsafe = {at: sector for at, sector in self.unsafe.items() if chance.random() < 0.5}
        lost = written - len(self.unsafe)
        self.flush()
        return lost, written


def receive(client, length):
    data = bytearray()
    while len(data) < length:
        part = client.recv(length - len(data))
        if not part:
            raise Gone
        data += part
    return bytes(data)


def negotiate(client, size):
    client.sendall(b"NBDMAGIC" + b"IHAVEOPT" + struct.pack(">H", 1 | 2))
    receive(client, 4)
    while True:
        _, option, length = struct.unpack(">8sII", receive(client, 16))
        receive(client, length)

        def reply(kind, data=b""):
            client.sendall(struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data)) + data)

        if option == OPTION_EXPORT_NAME:
            client.sendall(struct.pack(">QH", size, EXPORT_FLAGS))
            return
        if option in (OPTION_INFO, OPTION_GO):
            reply(REPLY_INFO, struct.pack(">HQH", 0, size, EXPORT_FLAGS))
            # Whole sectors only; what one request may carry.
            reply(REPLY_INFO, struct.pack(">HIII", 3, SECTOR, 4096, 32 << 20))
            reply(REPLY_ACK)
            if option == OPTION_GO:
                return
        elif option == OPTION_ABORT:
            reply(REPLY_ACK)
            raise Gone
        else:
            reply(REPLY_UNSUPPORTED)


def serve(client, disk):
    """Until the client says goodbye, or is gone."""
    while True:
        _, flags, command, handle, offset, length = struct.unpack(">IHH8sQI", receive(client, 28))
        data = b""
        if command == DISCONNECT:
            disk.flush()
            return
        if command == READ:
            data = disk.read(offset, length)
        elif command == WRITE:
            disk.write(offset, receive(client, length))
        if command == FLUSH or flags & FUA:
            disk.flush()
        client.sendall(struct.pack(">II8s", 0x67446698, 0, handle) + data)


def main():
    image, address, seed = sys.argv[1:]
    with open(image, "rb") as file:
        disk = Disk(file.read())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(1)
        client, _ = listener.accept()
    chance = random.Random(int(seed))

    def cut_soon(*_):
        disk.left = chance.randrange(MAX_WRITES)

    signal.signal(signal.SIGUSR1, cut_soon)
    try:
        negotiate(client, len(disk.safe))
        serve(client, disk)
        print("off", flush=True)
    except (Gone, ConnectionError):
        flushes = disk.flushes
        lost, written = disk.cut(chance)
        print(f"cut {lost} {written} {disk.writes} {flushes}", flush=True)
    with open(image + ".new", "wb") as file:
        file.write(disk.safe)
    os.replace(image + ".new", image)


if __name__ == "__main__":
    main()
