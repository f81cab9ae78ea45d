#!/usr/bin/env python3
"""Prints what a release is made of, as CycloneDX 1.5.

    sbom.py --repository FOLDER --version V --created EPOCH --toolchain VERSIONS TARGET…

Crates are those that cargo links into `leeward` for any of the targets; what only runs while it is built
(build scripts, procedural macros) has scope `excluded`. Same input, same bytes.
"""

import argparse
import datetime
import json
import re
import subprocess
import tomllib
import uuid
from pathlib import Path

LINE = re.compile(r"(\d+)(\S+) v(\S+)\|([^|]*)\|")


def tree(repository, target, edges):
    """(name, version) → (licence, set of what it needs), as cargo tells it for one target."""
    command = ["cargo", "tree", "--locked", "--package", "leeward", "--target", target, "--edges", edges,
               "--prefix", "depth", "--format", "{p}|{l}|"]
    printed = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True, timeout=600).stdout
    crates, above = {}, []
    for line in printed.splitlines():
        # A crate of the workspace names its folder, a procedural macro says so: `leeward v0.1.0 (/path)`.
        depth, name, version, licence = LINE.match(re.sub(r" \([^|]*\)", "", line)).groups()
        key = (name, version)
        licence_before, needs = crates.setdefault(key, (licence, set()))
        del above[int(depth):]
        if above:
            crates[above[-1]][1].add(key)
        above.append(key)
    return crates


def merged(repository, targets, edges):
    crates = {}
    for target in targets:
        for key, (licence, needs) in tree(repository, target, edges).items():
            crates.setdefault(key, (licence, set()))[1].update(needs)
    return crates


def reference(key):
    return f"pkg:cargo/{key[0]}@{key[1]}"


def component(key, licence, checksum, linked):
    found = {
        "type": "library",
        "bom-ref": reference(key),
        "name": key[0],
        "version": key[1],
        "purl": reference(key),
        "scope": "required" if linked else "excluded",
    }
    if licence:
        # Some older crates write MIT/Apache-2.0 for what SPDX writes with OR.
        found["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def of_debian(line):
    """A package that the toolchain script has noted as name_version_architecture."""
    name, version, architecture = line.replace("%3a", ":").split("_")
    purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in {"repository": Path, "version": str, "created": int, "toolchain": Path}.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("targets", nargs="+")
    options = parser.parse_args()

    locked = tomllib.loads((options.repository / "Cargo.lock").read_text())["package"]
    checksums = {(crate["name"], crate["version"]): crate.get("checksum") for crate in locked}
    linked = merged(options.repository, options.targets, "normal,no-proc-macro")
    crates = merged(options.repository, options.targets, "normal,build")
    top = ("leeward", options.version)
    noted = sorted(set(options.toolchain.read_text().split("\n")))
    # std, libc and the roots of the images end up in what is released; the compilers do not.
    carried = [of_debian(line) for line in noted if re.match(r"rust-web-src_|musl-dev_|ca-certificates_", line)]

    print(json.dumps({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{reference(top)}#{options.created}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(options.created, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(top, crates[top][0], None, True) | {"type": "application"},
        },
        "components": carried + [
            component(key, licence, checksums.get(key), key in linked)
            for key, (licence, _) in sorted(crates.items()) if key != top
        ],
        "dependencies": [
            {"ref": reference(key), "dependsOn": sorted(map(reference, needs))}
            for key, (_, needs) in sorted(crates.items())
        ],
    }, indent=1))


if __name__ == "__main__":
    main()
