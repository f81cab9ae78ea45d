#!/usr/bin/env python3
"""Writes an image of a few files as an OCI archive, without a Docker daemon.

    oci.py --version V --platform arm64/v8 --created EPOCH --revision COMMIT --file DESTINATION=SOURCE… OUT.tar

The archive is an OCI image layout, which `ctr images import`, skopeo, podman and Docker 25 read; a
manifest.json beside it lets older Dockers `docker load` it as well. Same input, same bytes.
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import tarfile

NAME = "ghcr.io/leeward-dev/leeward"
OCI = "application/vnd.oci.image"


def entry(name, created, data=None):
    """A file of root's, or without data a folder."""
    info = tarfile.TarInfo(name)
    info.mtime = created
    if data is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size, info.mode = len(data), 0o755 if "/bin/" in f"/{name}" else 0o644
    return info, io.BytesIO(data or b"")


def tar(files, created):
    """The files by name, each after the folders that it lies in."""
    folders = {"/".join(name.split("/")[:n]) for name in files for n in range(1, name.count("/") + 1)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(folders | set(files)):
            archive.addfile(*entry(name, created, files.get(name)))
    return out.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def encode(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def image(options, files):
    """The layout's files by name."""
    architecture, _, variant = options.platform.partition("/")
    platform = {"architecture": architecture, "os": "linux"} | ({"variant": variant} if variant else {})
    created = datetime.datetime.fromtimestamp(options.created, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {
        "org.opencontainers.image.title": "leeward",
        "org.opencontainers.image.version": options.version,
        "org.opencontainers.image.revision": options.revision,
        "org.opencontainers.image.source": "https://github.com/leeward-dev/leeward",
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    reference = f"{NAME}:{options.version}"
    blobs = {}

    def add(kind, data, **more):
        blobs[digest(data)] = data
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest(data)}", "size": len(data)} | more

    unpacked = tar(files, options.created)
    layer = add("layer.v1.tar+gzip", gzip.compress(unpacked, 9, mtime=0))
    config = add("config.v1+json", encode(platform | {
        "created": created,
        "config": {
            "Entrypoint": ["/usr/bin/leeward"],
            "Cmd": ["run"],
            "Env": ["PATH=/usr/bin"],
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(unpacked)}"]},
        "history": [{"created": created, "created_by": "packaging/image/oci.py"}],
    }))
    manifest = add("manifest.v1+json", encode({
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": config,
        "layers": [layer],
        "annotations": labels,
    }), platform=platform, annotations={
        # The first is the tag within the archive, the second what containerd names the image.
        "org.opencontainers.image.ref.name": options.version,
        "io.containerd.image.name": reference,
    })

    def path(descriptor):
        return "blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")

    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [manifest]}
    for_docker = [{"Config": path(config), "RepoTags": [reference], "Layers": [path(layer)]}]
    return {
        "oci-layout": encode({"imageLayoutVersion": "1.0.0"}),
        "index.json": encode(index),
        "manifest.json": encode(for_docker),
    } | {f"blobs/sha256/{name}": data for name, data in blobs.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in {"version": str, "platform": str, "created": int, "revision": str}.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--file", action="append", required=True, metavar="DESTINATION=SOURCE")
    parser.add_argument("out")
    options = parser.parse_args()
    files = {}
    for pair in options.file:
        destination, _, source = pair.partition("=")
        with open(source, "rb") as file:
            files[destination] = file.read()
    with open(options.out, "wb") as out:
        out.write(tar(image(options, files), options.created))


if __name__ == "__main__":
    main()
