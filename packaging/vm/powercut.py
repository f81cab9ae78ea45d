#!/usr/bin/env python3
"""Cuts the power of a virtual ARM board, again and again, and looks at what the agent's store then holds.

    powercut.py BINARY [--cuts 50] [--seed N] [--arch arm64|armhf]

Each time the board boots a real Debian kernel with a disk whose cache is lost at the cut (disk.py). An agent
runs on it and follows a Git repository that gets a new commit several times a second; its API server is
away. What the agent says of itself (`leeward status`) goes out on the console, and is from then on
acknowledged. At a random moment the power goes. At the next power-on, before any agent runs:

- the disk mounts (fsck is told of, should it need that), and the store opens; it was never set aside;
- its boot counter is at least the acknowledged one: it never goes back;
- the newest whole revision in it is the acknowledged one or a later one;
- no event of the outbox is lost: nobody takes them away here, so their number never falls.

Run it by hand or at night: 50 cuts take about ten minutes. Setup: packaging/vm/vm.sh setup ARCH.
"""

import argparse
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DISK_BYTES = 64 << 20
# Beside them lies what was set aside, and what a cut left half written.
STORE_FILES = {"leeward.redb", "leeward.boot", "leeward.lock", "leeward.ballast"}
# A boot on a busy machine with an emulated processor.
BOOT_SECONDS = 180
# From the first sign of life to the cut, at most.
LIFE_SECONDS = 6.0
# The disk cuts in the middle of the next writes; a board that writes nothing is cut by the clock.
CUT_SECONDS = 3


class Fault(Exception):
    """What must not happen has happened."""


def git(folder, *arguments):
    identity = {f"GIT_{who}_{what}": "power@cut.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    run = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True, timeout=60,
                         env=os.environ | identity)
    return run.stdout.strip()


class Repository(threading.Thread):
    """Gets a new commit several times a second, and knows their order."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.served, self.tree = folder / "served", folder / "tree"
        self.order, self.enough = {}, threading.Event()
        self.served.mkdir()
        git(folder, "init", "-q", "-b", "main", str(self.tree))
        self.commit()
        git(folder, "clone", "-q", "--bare", str(self.tree), str(self.served / "fleet.git"))
        git(self.served / "fleet.git", "config", "uploadpack.allowFilter", "true")
        git(self.served / "fleet.git", "config", "uploadpack.allowAnySHA1InWant", "true")

    def commit(self):
        (self.tree / "apps").mkdir(exist_ok=True)
        number = len(self.order) + 1
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "count", "namespace": "default"},
                    "data": {"number": str(number), "noise": random.randbytes(2000).hex()}}
        (self.tree / "apps/count.yaml").write_text(json.dumps(manifest))
        git(self.tree, "add", "-A")
        git(self.tree, "commit", "-q", "-m", f"Count to {number}")
        self.order[git(self.tree, "rev-parse", "HEAD")] = number

    def run(self):
        while not self.enough.wait(0.3):
            self.commit()
            git(self.tree, "push", "-q", str(self.served / "fleet.git"), "main")


class Board:
    """One power-on."""

    def __init__(self, options, folder, initrd, repository, seed):
        socket = folder / f"disk-{seed}"
        self.disk = subprocess.Popen([sys.executable, HERE / "disk.py", folder / "disk.img", socket, str(seed)],
                                     stdout=subprocess.PIPE, text=True)
        wait_for(socket.exists, 20, "the disk's socket")
        forward = f"tcp:10.0.2.100:8080-cmd:{sys.executable} {HERE / 'git.py'} {repository.served}"
        self.emulator = subprocess.Popen([
            HERE / "vm.sh", "boot", options.arch, initrd,
            "-drive", f"driver=nbd,server.type=unix,server.path={socket},if=none,id=disk,cache.direct=on",
            "-device", "virtio-blk-pci,drive=disk,romfile=",
            "-netdev", f"user,id=net,restrict=on,guestfwd={forward}",
            "-device", "virtio-net-pci,netdev=net,romfile=",
        ], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.lines, self.console = queue.Queue(), []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.emulator.stdout:
            # The last line is torn by the cut: what was not said whole was not said.
            if line.endswith(b"\n"):
                text = line.decode(errors="replace").strip()
                self.console.append(text)
                self.lines.put(text)
        self.lines.put(None)

    def hear(self, until):
        """The next line, None at the end of the console or when the time is up."""
        try:
            return self.lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None

    def expect(self, word):
        """What follows `word` in the first line that begins so."""
        until = time.monotonic() + BOOT_SECONDS
        while (line := self.hear(until)) is not None:
            if line.startswith("FAULT"):
                raise Fault(line)
            if line.startswith(word + " ") or line == word:
                return line[len(word):].strip()
        raise Fault(f"the board did not say {word}")

    def cut(self):
        """Cuts the power. Returns what was acknowledged until then, and of the disk: sectors lost,
        sectors not yet safe, writes, flushes."""
        self.disk.send_signal(signal.SIGUSR1)
        try:
            self.disk.wait(CUT_SECONDS)
        except subprocess.TimeoutExpired:
            # Nothing is being written: the power goes all the same.
            pass
        self.emulator.kill()
        self.emulator.wait()
        told = self.disk.communicate(timeout=60)[0].split()
        if not told or told[0] != "cut":
            raise Fault(f"that was no power cut: {told}")
        heard = []
        while (line := self.hear(time.monotonic() + 20)) is not None:
            if line.startswith("FAULT"):
                raise Fault(line)
            if line.startswith("ACK "):
                heard.append(json.loads(line[4:]))
        return heard, [int(number) for number in told[1:]]


def wait_for(condition, seconds, what):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Fault(f"no {what} in {seconds} s")
        time.sleep(0.02)


class State:
    """Of a status, what must outlive a cut."""

    def __init__(self, status, repository):
        self.boot = status["agent"]["boot"]
        self.revision = repository.order[status["source"]["commit"]] if status["source"]["commit"] else 0
        self.events = status["outbox"]["pending"] + status["outbox"]["folded"] + status["outbox"]["dropped"]

    def __str__(self):
        return f"boot {self.boot}, revision {self.revision}, {self.events} events"

    def lost(self, found):
        """What `found`, at power-on, lacks of this acknowledged state."""
        return [f"{name} {getattr(self, name)} was acknowledged, {getattr(found, name)} is there"
                for name in ("boot", "revision", "events") if getattr(found, name) < getattr(self, name)]


def judge(found, files, acknowledged, repository):
    """The state found at power-on; a Fault when it is not what it must be."""
    if files and not set(files) <= STORE_FILES:
        raise Fault(f"the store was set aside, or left something behind: {files}")
    if "error" in found:
        if acknowledged is None:
            return None
        raise Fault(f"the store cannot be opened: {found['error']}")
    state = State(found, repository)
    if acknowledged and (lost := acknowledged.lost(state)):
        raise Fault("; ".join(lost))
    return state


def live_and_die(board, chance, repository):
    """Until a random moment after the agent's first word. Returns the newest acknowledged state, how many there
    were, and what the disk tells."""
    first = State(json.loads(board.expect("ACK")), repository)
    time.sleep(chance.uniform(0.0, LIFE_SECONDS))
    heard, sectors = board.cut()
    states = [first] + [State(status, repository) for status in heard]
    return states[-1], len(states), sectors


class Tally:
    """What all cuts were like."""

    def __init__(self):
        self.words, self.torn, self.mended, self.disk = 0, 0, 0, [0, 0, 0, 0]

    def add(self, words, disk, console):
        self.words += words
        self.mended += any(line.startswith("MENDED") for line in console)
        self.torn += disk[0] > 0
        self.disk = [sum(pair) for pair in zip(self.disk, disk)]

    def __str__(self):
        lost, unsafe, writes, flushes = self.disk
        return (f"the store opened every time, nothing of {self.words} acknowledged states was lost. The disk saw "
                f"{writes} writes and {flushes} flushes; in {self.torn} of the cuts it lost sectors, {lost} of "
                f"{unsafe} that were not yet safe. fsck had to mend the file system {self.mended} times.")


def cut_again_and_again(options, folder, repository):
    """Every cut, and one more power-on that looks at what the last one left."""
    initrd, disk = folder / "initrd", folder / "disk.img"
    subprocess.run([HERE / "vm.sh", "initrd", options.arch, options.binary, HERE / "guest.sh", initrd], check=True)
    with open(disk, "wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", disk], check=True)
    chance, acknowledged, tally = random.Random(options.seed), None, Tally()
    for number in range(options.cuts + 1):
        board = Board(options, folder, initrd, repository, options.seed + number)
        try:
            found = judge(json.loads(board.expect("FOUND")), board.expect("FILES").split(), acknowledged, repository)
            if number == options.cuts:
                return tally
            acknowledged, words, sectors = live_and_die(board, chance, repository)
        except Fault as fault:
            raise Fault("\n".join([f"cut {number}: {fault}", *board.console[-20:]])) from fault
        finally:
            board.emulator.kill()
            board.disk.kill()
        tally.add(words, sectors, board.console)
        print(f"{number + 1:3}: found {found or 'nothing'}; acknowledged {acknowledged}; "
              f"{sectors[0]} of {sectors[1]} unsafe sectors lost", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--arch", choices=["arm64", "armhf"], default="arm64")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        repository = Repository(Path(name))
        repository.start()
        try:
            tally = cut_again_and_again(options, Path(name), repository)
        except Fault as fault:
            sys.exit(str(fault))
        finally:
            repository.enough.set()
            repository.join()
    print(f"{options.cuts} cuts in {time.monotonic() - started:.0f} s: {tally}")


if __name__ == "__main__":
    main()
