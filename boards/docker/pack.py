#!/usr/bin/env python3
"""Writes images in the two forms people load, the same bytes from the same content whichever program built them.

    pack.py FOLDER NAME VERSION EPOCH PLATFORM=SAVED...

SAVED are images as `podman save` and `docker save` write them, each for a PLATFORM such as linux/arm/v7. What those
programs add by chance (host names, parents, times) is left out. The health check stays, which podman itself would drop
from an OCI image.

FOLDER/NAME_VERSION_PLATFORM.tar   one platform, for `docker load` and `podman load`
FOLDER/NAME_VERSION_oci.tar        all of them as one OCI image, for registries
"""

import datetime
import hashlib
import io
import json
import pathlib
import sys
import tarfile

# What of an image's configuration decides how it runs; the rest is an accident of the build.
KEPT = ("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Healthcheck", "Labels", "StopSignal")
OCI = "application/vnd.oci.image."


def encode(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def tar(files, epoch):
    """A tar of (name, mode, data), owned by root."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode, data in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), mode, epoch
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


class Image:
    """A saved image with its layers made into one."""

    def __init__(self, platform, saved, epoch):
        created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        # Not as saved: podman has been seen to give one platform's variant to the next.
        self.platform = dict(zip(("os", "architecture", "variant"), platform.split("/")))
        with tarfile.open(saved) as archive:
            (manifest,) = json.load(archive.extractfile("manifest.json"))
            config = json.load(archive.extractfile(manifest["Config"]))
            files = {}
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=archive.extractfile(layer)) as members:
                    for member in members:
                        # Nothing is ever deleted, linked or nested in an image made from scratch by COPY.
                        assert member.isfile() and "/" not in member.name, f"{saved}: {member.name} is not a plain file"
                        files[member.name] = (member.mode, members.extractfile(member).read())
        self.layer = tar([(name, *file) for name, file in files.items()], epoch)
        for key in ("os", "architecture"):
            assert config[key] == self.platform[key], f"{saved} is for {config[key]}, not {platform}"
        self.config = encode(
            {
                **self.platform,
                "created": created,
                "config": {key: config["config"][key] for key in KEPT if config["config"].get(key)},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(self.layer)}"]},
                "history": [{"created": created, "created_by": "boards/docker/Dockerfile"}],
            }
        )


def load_archive(image, tags, epoch):
    """The form of `docker save`."""
    config, layer = f"{sha256(image.config)}.json", f"{sha256(image.layer)}.tar"
    manifest = encode([{"Config": config, "RepoTags": tags, "Layers": [layer]}])
    return tar([(config, 0o644, image.config), (layer, 0o644, image.layer), ("manifest.json", 0o644, manifest)], epoch)


def oci_archive(images, version, epoch):
    """An OCI image layout whose one entry is an index of all platforms."""
    blobs = {}

    def blob(kind, data, **more):
        blobs[f"blobs/sha256/{sha256(data)}"] = data
        return {"mediaType": OCI + kind, "digest": f"sha256:{sha256(data)}", "size": len(data), **more}

    def manifest(image):
        config, layer = blob("config.v1+json", image.config), blob("layer.v1.tar", image.layer)
        return {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": config, "layers": [layer]}

    def index(entries):
        return encode({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": entries})

    platforms = [blob("manifest.v1+json", encode(manifest(image)), platform=image.platform) for image in images]
    name = {"org.opencontainers.image.ref.name": version}
    top = index([blob("index.v1+json", index(platforms), annotations=name)])
    files = {"oci-layout": encode({"imageLayoutVersion": "1.0.0"}), "index.json": top, **blobs}
    return tar([(path, 0o644, data) for path, data in files.items()], epoch)


def write(path, data):
    path.write_bytes(data)
    print(f"{path}: {len(data)} bytes")


def main(folder, name, version, epoch, *saved):
    folder, epoch = pathlib.Path(folder), int(epoch)
    images = [Image(*pair.split("=", 1), epoch) for pair in saved]
    tags = [f"localhost/{name}:{version}", f"localhost/{name}:latest"]
    for image in images:
        platform = "-".join(image.platform.values())
        write(folder / f"{name}_{version}_{platform}.tar", load_archive(image, tags, epoch))
    write(folder / f"{name}_{version}_oci.tar", oci_archive(images, version, epoch))


main(*sys.argv[1:])
