#!/usr/bin/env python3
"""Takes the two packages of an architecture apart, and stops at the first thing in them that is not as it should be.

    boards/openwrt/check_packages.py ARCH BINARY VERSION FOLDER
    boards/openwrt/check_packages.py --list ARCH VERSION FOLDER     only lists what the .ipk installs

Written from the formats, and apart from pack.py, so that a mistake there is not made here again.
"""

import gzip
import hashlib
import io
import pathlib
import sys
import tarfile
import zlib

FILES = pathlib.Path(__file__).resolve().parent / "files"


def want(got, wanted, what):
    if got != wanted:
        sys.exit(f"check_packages: {what} is {str(got)[:500]!r}, not {str(wanted)[:500]!r}")


def members(data):
    """The gzip members of a file, each with its packed bytes."""
    found = []
    while data:
        unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
        plain = unzip.decompress(data) + unzip.flush()
        found.append((data[:len(data) - len(unzip.unused_data)], plain))
        data = unzip.unused_data
    return found


def entries(plain, what):
    """The files and folders of a tar, by path. All must belong to root, and each folder come before what is in it."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        for member in tar:
            want((member.uid, member.gid, member.uname, member.gname), (0, 0, "root", "root"), f"owner of {what}: {member.name}")
            parent = str(pathlib.PurePosixPath(member.name).parent)
            if parent != "." and what != ".ipk":
                want(parent in found, True, f"{parent} before {member.name}")
            data = tar.extractfile(member).read() if member.isfile() else None
            found[str(pathlib.PurePosixPath(member.name))] = (oct(member.mode), data, member)
    return found


def tree(found):
    return {path: mode for path, (mode, _, _) in found.items() if path != "."}


def check_files(found, binary, extra=()):
    """What both kinds of package put on the router."""
    wanted = {
        "etc": "0o755", "etc/capabilities": "0o755", "etc/capabilities/waypost.json": "0o644",
        "etc/config": "0o755", "etc/config/waypost": "0o600", "etc/init.d": "0o755", "etc/init.d/waypost": "0o755",
        "usr": "0o755", "usr/bin": "0o755", "usr/bin/waypost": "0o755", "usr/share": "0o755",
        "usr/share/licenses": "0o755", "usr/share/licenses/waypost": "0o755",
        "usr/share/licenses/waypost/LICENSES.gz": "0o644",
    }
    wanted.update(extra)
    want(tree(found), wanted, "what is installed")
    want(found["usr/bin/waypost"][1] == binary, True, "the program being the built one")
    for path, source in (("etc/config/waypost", "config"), ("etc/init.d/waypost", "init"),
                         ("etc/capabilities/waypost.json", "capabilities")):
        want(found[path][1], (FILES / f"waypost.{source}").read_bytes(), path)
    licences = gzip.decompress(found["usr/share/licenses/waypost/LICENSES.gz"][1])
    for word in (b"Permission is hereby granted", b"Apache License", b"argh ", b"musl"):
        want(word in licences, True, f"{word} in the licences")


def fields(text, separator):
    return dict(line.split(separator, 1) for line in text.decode().splitlines())


def check_ipk(data, arch, binary, version):
    ((_, plain),) = members(data)
    outer = entries(plain, ".ipk")
    want([path for path in outer if path != "."], ["control.tar.gz", "data.tar.gz", "debian-binary"], "the .ipk")
    want(outer["debian-binary"][1], b"2.0\n", "debian-binary")
    control = entries(gzip.decompress(outer["control.tar.gz"][1]), "control")
    want(tree(control), {"conffiles": "0o644", "control": "0o644", "postinst": "0o755", "prerm": "0o755"}, "the control")
    about = fields(control["control"][1], ": ")
    for name, value in (("Package", "waypost"), ("Version", version), ("Architecture", arch), ("License", "MIT OR Apache-2.0"),
                        ("Require-User", "waypost:waypost")):
        want(about.get(name), value, f"{name} of the .ipk")
    want(control["conffiles"][1], b"/etc/config/waypost\n", "conffiles")
    for script, function in (("postinst", b"default_postinst $0 $@"), ("prerm", b"default_prerm $0 $@")):
        want(function in control[script][1], True, f"{function} in {script}")
    check_files(entries(gzip.decompress(outer["data.tar.gz"][1]), "data"), binary)


def check_apk(data, arch, binary, version):
    (_, first), (packed, second) = members(data)
    want(first.endswith(bytes(1024)), False, "the first tar having an end")
    want(second.endswith(bytes(1024)), True, "the second tar having an end")
    control = entries(first, "control")
    want(list(control), [".PKGINFO", ".post-install", ".post-upgrade", ".pre-deinstall"], "the control of the .apk")
    about = fields(control[".PKGINFO"][1], " = ")
    for name, value in (("pkgname", "waypost"), ("pkgver", version), ("arch", arch), ("license", "MIT OR Apache-2.0"),
                        ("datahash", hashlib.sha256(packed).hexdigest())):
        want(about.get(name), value, f"{name} of the .apk")
    for script, words in ((".post-install", b"add_group_and_user\ndefault_postinst\n"),
                          (".post-upgrade", b"export PKG_UPGRADE=1\n"), (".pre-deinstall", b"default_prerm\n")):
        want(words in control[script][1], True, f"{words} in {script}")
    found = entries(second, "data")
    records = "lib/apk/packages/waypost"
    check_files(found, binary, {"lib": "0o755", "lib/apk": "0o755", "lib/apk/packages": "0o755",
                                **{f"{records}.{kind}": "0o644" for kind in ("list", "rusers", "conffiles", "conffiles_static")}})
    for path, (_, content, member) in found.items():
        if content is not None:
            want(member.pax_headers.get("APK-TOOLS.checksum.SHA1"), hashlib.sha1(content).hexdigest(), f"checksum of {path}")
    want(found[f"{records}.rusers"][1], b"waypost:waypost\n", "rusers")
    want(found[f"{records}.conffiles"][1], b"/etc/config/waypost\n", "conffiles")
    config = hashlib.sha256(found["etc/config/waypost"][1]).hexdigest()
    want(found[f"{records}.conffiles_static"][1].decode(), f"/etc/config/waypost {config}\n", "conffiles_static")
    installed = [f"/{path}" for path, (_, content, _) in sorted(found.items())
                 if content is not None and not path.startswith(records)]
    want(found[f"{records}.list"][1].decode().split(), installed, "list")


def list_ipk(arch, version, folder):
    ((_, plain),) = members((pathlib.Path(folder) / f"waypost_{version}_{arch}.ipk").read_bytes())
    data = entries(plain, ".ipk")["data.tar.gz"][1]
    for path, mode in sorted(tree(entries(gzip.decompress(data), "data")).items()):
        print(mode[2:], path)


def main():
    if sys.argv[1] == "--list":
        return list_ipk(*sys.argv[2:])
    arch, binary, version, folder = sys.argv[1:]
    binary = pathlib.Path(binary).read_bytes()
    for check in (check_ipk, check_apk):
        package = pathlib.Path(folder) / f"waypost_{version}_{arch}.{check.__name__[6:]}"
        check(package.read_bytes(), arch, binary, version)


if __name__ == "__main__":
    main()
