#!/usr/bin/env python3
"""Prints the licence of Waypost and those of everything that is linked into its static binary.

    boards/third-party.py TARGET FEATURES

Asks cargo which crates those are, so it has to have downloaded them: a build for the same target has.
"""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A crate that offers a choice is taken by the first of these it has.
CHOICE = ("LICENSE-MIT", "LICENSE", "LICENSE-BOOST", "COPYING", "LICENSE-APACHE")
# Files with the notices of what a crate took from others.
NOTICES = ("COPYRIGHT", "LICENSE-THIRD-PARTY", "NOTICE")

# What the linker adds to every binary, and cargo does not know of.
LINKED = """\
Also linked in:
- the standard library of Rust, copyright the Rust Project Developers, MIT or Apache-2.0 (taken as MIT);
- musl, copyright 2005-2020 Rich Felker and others, MIT;
- compiler-rt of LLVM, Apache-2.0 with the LLVM exception.
"""


def crates(target, features):
    """What is linked: the packages reached by normal dependencies, less macros, which only run when it is built."""
    metadata = json.loads(subprocess.check_output(
        [os.environ.get("CARGO", "cargo"), "metadata", "--locked", "--format-version=1", "--filter-platform", target,
         "--no-default-features", "--features", features], cwd=ROOT))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = {}, [metadata["resolve"]["root"]]
    while waiting:
        name = waiting.pop()
        if name in found or any("proc-macro" in target["kind"] for target in packages[name]["targets"]):
            continue
        found[name] = packages[name]
        waiting += [dependency["pkg"] for dependency in nodes[name]["deps"]
                    if any(kind["kind"] is None for kind in dependency["dep_kinds"])]
    del found[metadata["resolve"]["root"]]
    return sorted(found.values(), key=lambda package: (package["name"], package["version"]))


def licence(package):
    """The text a crate is taken by, and its notices."""
    folder = pathlib.Path(package["manifest_path"]).parent
    chosen = next((folder / name for name in CHOICE if (folder / name).exists()), None)
    if chosen is None:
        sys.exit(f"third-party: {package['name']} {package['version']} ({package['license']}) has no file of its licence")
    files = [chosen] + [folder / name for name in NOTICES if (folder / name).exists()]
    return "\n\n".join(file.read_text(encoding="utf-8").replace("\r\n", "\n").strip() for file in files)


def main():
    target, features = sys.argv[1:]
    texts = {}
    for package in crates(target, features):
        texts.setdefault(licence(package), []).append(f"{package['name']} {package['version']}")
    parts = ["Waypost is licensed under MIT or Apache-2.0, as you like. Both, and the licences of what it is made of, follow.\n"
             + LINKED.rstrip()]
    parts += [f"Waypost: {name}\n\n{(ROOT / name).read_text(encoding='utf-8').strip()}"
              for name in ("LICENSE-MIT", "LICENSE-APACHE")]
    parts += [f"{', '.join(names)}\n\n{text}" for text, names in texts.items()]
    sys.stdout.write(f"\n\n{'=' * 80}\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
