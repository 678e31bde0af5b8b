#!/usr/bin/env python3
"""Packs a binary for OpenWrt: an .ipk for opkg (up to and with 24.10) and an .apk for apk (from 25.12 on).

    boards/openwrt/pack.py ARCH BINARY LICENCES VERSION FOLDER

LICENCES is a text of all licences. Writes FOLDER/waypost_VERSION_ARCH.ipk and .apk, and prints their names. All times are
SOURCE_DATE_EPOCH, so the same input gives the same bytes.

An .ipk is a tar of three members, an .apk two tars one after the other (version 2 of the format, which apk 3 still
installs); neither needs a tool of OpenWrt's.
"""

import gzip
import hashlib
import io
import os
import pathlib
import sys
import tarfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAME = "waypost"
LICENSE = "MIT OR Apache-2.0"
# Made by the router when it installs the package; it picks the numbers.
USER = f"{NAME}:{NAME}"
CONFFILES = ["/etc/config/waypost"]
# What OpenWrt's own packages do: enable and start the service, make the user, and undo the first two.
FUNCTIONS = '[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0\n. "${IPKG_INSTROOT}/lib/functions.sh"\n'
NO_SCRIPT = '[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0\n'


def description():
    """From Cargo.toml."""
    lines = (ROOT / "Cargo.toml").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("description = ")]
    return line.split('"')[1]


def contents(binary, licences):
    """The files of the package: path, mode and bytes. The modes are those of OpenWrt's INSTALL_BIN, _CONF and _DATA."""
    files = HERE / "files"
    return [
        ("etc/capabilities/waypost.json", 0o644, (files / "waypost.capabilities").read_bytes()),
        ("etc/config/waypost", 0o600, (files / "waypost.config").read_bytes()),
        ("etc/init.d/waypost", 0o755, (files / "waypost.init").read_bytes()),
        ("usr/bin/waypost", 0o755, binary),
        ("usr/share/licenses/waypost/LICENSES.gz", 0o644, gzip.compress(licences, 9, mtime=0)),
    ]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def archive(files, epoch, prefix="", pax=False, end=True):
    """A gzipped tar of the files and the folders they are in, owned by root."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT) as tar:
        folders = {"." for _ in files if prefix}
        for path, _, _ in files:
            folders.update(str(folder) for folder in pathlib.PurePosixPath(path).parents if str(folder) != ".")
        entries = [(folder, 0o755, None) for folder in folders] + list(files)
        for path, mode, data in sorted(entries, key=lambda entry: entry[0]):
            member = tarfile.TarInfo(path if path == "." else prefix + path)
            member.mode, member.mtime, member.uname, member.gname = mode, epoch, "root", "root"
            if data is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(data)
                if pax:
                    member.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(data).hexdigest()}
            tar.addfile(member, io.BytesIO(data or b""))
        size = tar.offset
    # Without the blocks of zeros that end a tar, the next one goes on where this one stops.
    return gzip.compress(out.getvalue() if end else out.getvalue()[:size], 9, mtime=0)


def ipk(files, arch, version, epoch):
    control = f"""\
Package: {NAME}
Version: {version}
Source: {NAME}
SourceName: {NAME}
License: {LICENSE}
Section: net
Require-User: {USER}
SourceDateEpoch: {epoch}
Architecture: {arch}
Installed-Size: {sum(len(data) for _, _, data in files)}
Description: {description()}
"""
    scripts = [
        ("control", 0o644, control),
        ("conffiles", 0o644, "".join(f"{path}\n" for path in CONFFILES)),
        ("postinst", 0o755, f"#!/bin/sh\n{NO_SCRIPT}{FUNCTIONS}default_postinst $0 $@\n"),
        ("prerm", 0o755, f"#!/bin/sh\n{FUNCTIONS}default_prerm $0 $@\n"),
    ]
    return archive([
        ("debian-binary", 0o644, b"2.0\n"),
        ("data.tar.gz", 0o644, archive(files, epoch, "./")),
        ("control.tar.gz", 0o644, archive([(name, mode, text.encode()) for name, mode, text in scripts], epoch, "./")),
    ], epoch, "./")


def apk(files, arch, version, epoch):
    by_path = {f"/{path}": data for path, _, data in files}
    # What OpenWrt's functions.sh reads to enable the service, make the user and keep the settings.
    records = {
        "list": "".join(f"{path}\n" for path in sorted(by_path)),
        "rusers": f"{USER}\n",
        "conffiles": "".join(f"{path}\n" for path in CONFFILES),
        "conffiles_static": "".join(f"{path} {sha256(by_path[path])}\n" for path in CONFFILES),
    }
    files = files + [(f"lib/apk/packages/{NAME}.{kind}", 0o644, text.encode()) for kind, text in records.items()]
    data = archive(files, epoch, pax=True)
    info = f"""\
pkgname = {NAME}
pkgver = {version}
pkgdesc = {description()}
builddate = {epoch}
size = {sum(len(data) for _, _, data in files)}
arch = {arch}
license = {LICENSE}
origin = {NAME}
datahash = {sha256(data)}
"""
    environment = f'{FUNCTIONS}export root="${{IPKG_INSTROOT}}"\nexport pkgname="{NAME}"\n'
    install = f"{NO_SCRIPT}{environment}add_group_and_user\ndefault_postinst\n"
    control = [
        (".PKGINFO", 0o644, info),
        (".post-install", 0o755, f"#!/bin/sh\n{install}"),
        (".post-upgrade", 0o755, f"#!/bin/sh\nexport PKG_UPGRADE=1\n{install}"),
        (".pre-deinstall", 0o755, f"#!/bin/sh\n{environment}default_prerm\n"),
    ]
    return archive([(name, mode, text.encode()) for name, mode, text in control], epoch, pax=True, end=False) + data


def main():
    arch, binary, licences, version, folder = sys.argv[1:]
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    files = contents(pathlib.Path(binary).read_bytes(), pathlib.Path(licences).read_bytes())
    for form in (ipk, apk):
        package = pathlib.Path(folder) / f"{NAME}_{version}_{arch}.{form.__name__}"
        package.write_bytes(form(files, arch, version, epoch))
        print(package)


if __name__ == "__main__":
    main()
