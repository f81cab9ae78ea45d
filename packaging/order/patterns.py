#!/usr/bin/env python3
"""Which functions ran, as patterns of names for link-order.txt.

  patterns.py BINARY TRACE… [--then TRACE…]

BINARY is static, position-independent and has its symbols; TRACE is what `qemu-x86_64-static -d in_asm`
logged of it. What only the traces after `--then` have comes after the rest. Hashes in names change with
every build and compiler: they become `?`s. Names that begin alike become one pattern where most of the
bytes that it stands for ran, so that the list stays short and lasts longer than the code.
"""

import re
import subprocess
import sys
from bisect import bisect_right
from collections import Counter

# Of the bytes that one pattern brings, how many must have run. Below that, pages are read for nothing.
SHARE = 0.8

# A name is cut where no other begins alike, but not before this many characters: people read the list.
READABLE = 40

HEADER = """\
# Patterns of the names of functions that run, in the order in which agent/build.rs has them laid out: what every
# command and `render` need, then the daemon. Written by packaging/order/train.sh.
"""


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def stable(name):
    """The name without what a build or a compiler decides."""
    name = re.sub(r"17h[0-9a-f]{16}E", "17h" + "?" * 16 + "E", name)
    # As many as there are: a `*` would match across what follows.
    name = re.sub(r"(?<=Cs)[0-9A-Za-z]+(?=_)", lambda hash: "?" * len(hash[0]), name)
    return re.sub(r"\.\d+$", "*", name)


def functions(binary):
    """Address, size and stable name of every function, by address."""
    found = []
    for line in run("nm", "--numeric-sort", "--print-size", binary).splitlines():
        parts = line.split()
        if len(parts) == 4 and parts[2] in "tTwW":
            found.append((int(parts[0], 16), int(parts[1], 16), stable(parts[3])))
    return found


def ran(trace, known, entry):
    """Stable names of the functions of which the trace has an instruction."""
    starts = [start for start, _, _ in known]
    names, base = set(), None
    with open(trace, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not (match := re.match(r"0x([0-9a-f]+):", line)):
                continue
            address = int(match[1], 16)
            # The first instruction of all is the entry point, wherever the binary was loaded.
            base = address - entry if base is None else base
            place = bisect_right(starts, address - base) - 1
            if place >= 0 and address - base < known[place][0] + known[place][1]:
                names.add(known[place][2])
    return names


def patterns(sizes, wanted):
    """The fewest prefixes that bring what is wanted, each mostly that, and the names that they bring."""
    names = sorted(sizes)
    found, brought = [], set()

    def visit(low, high, length):
        part = names[low:high]
        share = sum(sizes[name] for name in part if name in wanted)
        if share == 0:
            return
        first, last, alike = part[0], part[-1], length
        while length < min(len(first), len(last)) and first[length] == last[length]:
            length += 1
        if len(part) == 1 or share >= SHARE * sum(sizes[name] for name in part):
            cut = first[: max(alike, READABLE)] if len(part) == 1 else first[:length]
            found.append(cut if cut == first else cut.rstrip("*?") + "*")
            brought.update(part)
            return
        if len(first) == length:
            visit(low, low + 1, length)
            low += 1
        while low < high:
            end = low
            while end < high and names[end][length] == names[low][length]:
                end += 1
            visit(low, end, length + 1)
            low = end

    visit(0, len(names), 0)
    return found, brought


def main(arguments):
    if len(arguments) < 2 or arguments[0].startswith("-"):
        sys.exit(__doc__)
    binary, traces = arguments[0], arguments[1:]
    cut = traces.index("--then") if "--then" in traces else len(traces)
    known = functions(binary)
    entry = int(re.search(r"Entry point address:\s+0x([0-9a-f]+)", run("readelf", "-h", binary))[1], 16)
    sizes = Counter()
    for _, size, name in known:
        sizes[name] += size
    print(HEADER, end="")
    for group in (traces[:cut], traces[cut + 1 :]):
        wanted = set().union(*(ran(trace, known, entry) for trace in group))
        found, brought = patterns(sizes, wanted)
        print("\n".join(found))
        kib = sum(sizes[name] for name in brought) // 1024
        print(f"{len(found)} patterns bring {len(brought)} names, {kib} KiB", file=sys.stderr)
        for name in brought:
            del sizes[name]


main(sys.argv[1:])
