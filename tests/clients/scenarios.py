#!/usr/bin/env python3
"""One scenario: real clients find each other through a server. run.sh starts this, and says more.

    scenarios.py --list [--stand-in]
    scenarios.py --out FOLDER [--waypost BINARY] SCENARIO
"""

import argparse
import pathlib
import select
import shutil
import socket
import sys
import time

import lan
from clients import PORT, Aria2, Libtorrent
from network import PATIENCE, Failure, Lan, Network, in_url, wait_for
from servers import LibtorrentNode, Opentracker, Waypost
from torrents import Torrent

SMALL, LARGE = 100_000, 5_000_000


class Stage:
    """A network with a server and two hosts for clients, and a folder for files."""

    def __init__(self, folder, network=Network):
        self.folder = folder
        self.network = network()
        self.programs = []
        self.server = None

    def serve(self, kind, binary):
        self.server = kind(self.network.host(), binary, self.folder / "server.log")
        self.programs.append(self.server)

    def client(self, kind, family, name, source, nodes=(), torrent=None):
        """Starts a client on a host of its own, with the file of `torrent` if it gets that."""
        folder = self.folder / name
        folder.mkdir()
        if torrent:
            torrent.put(folder)
        client = kind(self.network.host(), family, self.folder / f"{name}.log", folder, source, nodes)
        client.folder = folder
        self.programs.append(client)
        return client

    def wait_for(self, what, check):
        """Waits while all programs are running."""

        def checked():
            for program in self.programs:
                if program.process.poll() is not None:
                    raise Failure(f"{what}: {program.log.name} ended with {program.process.poll()}")
            return check()

        return wait_for(what, checked)

    def stop(self, program):
        self.programs.remove(program)
        program.stop()

    def expect_in_json(self, torrent, family, client):
        """What a client announced over its own protocol is what the JSON API shows."""
        peers = self.wait_for(f"the announce of the {client.log.stem}", lambda: self.server.peers(torrent, family))
        if isinstance(self.server, Waypost):
            where = f"{in_url(client.host.address[family])}:{PORT}"
            if peers != [[f"tcp://{where}", f"udp://{where}"]]:
                raise Failure(f"the JSON API shows {peers} instead of {where}")

    def expect_count(self, torrent, family, scheme, seeders, leechers):
        self.wait_for(
            f"{seeders} seeders and {leechers} leechers",
            lambda: self.server.scrape(torrent, family, scheme) == (seeders, leechers),
        )


def dht(stage, family, seeder, leecher):
    """Two clients that know one DHT node, the server, and an info-hash: a file goes from one to the other."""
    torrent, nodes = Torrent(stage.folder, SMALL), [stage.server.at("udp", family)]
    first = stage.client(seeder, family, "seeder", torrent.file, nodes, torrent)
    stage.expect_in_json(torrent, family, first)
    second = stage.client(leecher, family, "leecher", torrent.magnet, nodes)
    stage.wait_for("the file", lambda: torrent.is_whole(second.folder))
    return f"{SMALL} bytes by info-hash alone"


def tracker(stage, family, scheme, seeder, leecher):
    """Two clients that know one tracker, the server: a file goes from one to the other, and all are counted."""
    torrent = Torrent(stage.folder, LARGE, f"{scheme}://{stage.server.at(scheme, family)}/announce")
    stage.server.admit(torrent)
    second = stage.client(leecher, family, "leecher", torrent.file)
    stage.expect_count(torrent, family, scheme, 0, 1)
    if isinstance(stage.server, Waypost):
        stage.expect_in_json(torrent, family, second)
    first = stage.client(seeder, family, "seeder", torrent.file, torrent=torrent)
    stage.wait_for("the file", lambda: torrent.is_whole(second.folder))
    stage.expect_count(torrent, family, scheme, 2, 0)
    stage.stop(second)
    stage.expect_count(torrent, family, scheme, 1, 0)
    stage.stop(first)
    stage.expect_count(torrent, family, scheme, 0, 0)
    return f"{LARGE} bytes; seeders and leechers 0+1, 2+0, 1+0, 0+0"


def from_json(stage, family, scheme, client):
    """A peer that was announced over the JSON API is a peer that a client tries, at the endpoint that fits best."""
    url = None if scheme == "dht" else f"{scheme}://{stage.server.at(scheme, family)}/announce"
    torrent = Torrent(stage.folder, SMALL, url)
    here, kind = stage.network.here[family], socket.AF_INET if family == 4 else socket.AF_INET6
    # Clients try any peer over TCP and over UDP, so both ports listen on both.
    knocks, ports = {}, {}
    for name in ("tcp", "udp"):
        stream, packets = socket.socket(kind, socket.SOCK_STREAM), socket.socket(kind, socket.SOCK_DGRAM)
        stream.bind((here, 0))
        stream.listen()
        ports[name] = stream.getsockname()[1]
        packets.bind((here, ports[name]))
        knocks.update({stream: name, packets: name})
    stage.server.announce(torrent, family, [f"{name}://:{port}" for name, port in ports.items()])
    nodes = [stage.server.at("udp", family)] if scheme == "dht" else []
    first = stage.client(client, family, "leecher", torrent.magnet if nodes else torrent.file, nodes)

    ready, _, _ = select.select(list(knocks), [], [], PATIENCE)
    if not ready:
        raise Failure(f"the client tried no peer within {PATIENCE} s")
    who = ready[0].accept()[1] if ready[0].type == socket.SOCK_STREAM else ready[0].recvfrom(2048)[1]
    wanted = "tcp" if scheme == "http" else "udp"
    if who[0] != first.host.address[family] or knocks[ready[0]] != wanted:
        raise Failure(f"{who[0]} tried the {knocks[ready[0]]} endpoint, not the {wanted} one")
    return f"the client tried {wanted}://{in_url(here)}:{ports[wanted]}"


def scenarios():
    """What there is, by name: a stand-in for the server, the scenario, and its arguments."""
    found = {}
    for client in (Libtorrent, Aria2):
        for family in (4, 6):
            name = f"ipv{family}-{client.NAME}"
            found[f"dht-{name}"] = (LibtorrentNode, dht, family, client, client)
            for scheme in ("udp", "http"):
                # aria2 asks UDP trackers over IPv4 only.
                if (client, family, scheme) != (Aria2, 6, "udp"):
                    stand_in = Opentracker if family == 4 else None
                    found[f"{scheme}-{name}"] = (stand_in, tracker, family, scheme, client, client)
        for scheme in ("dht", "udp", "http"):
            found[f"json-{scheme}-{client.NAME}"] = (None, from_json, 4, scheme, client)
    for name, scenario in lan.SCENARIOS.items():
        found[f"mdns-{name}"] = (None, scenario)
    found["dht-ipv4-mixed"] = (LibtorrentNode, dht, 4, Libtorrent, Aria2)
    return found


def play(name, folder, binary):
    """Runs a scenario and returns what there is to say."""
    stand_in, scenario, *arguments = scenarios()[name]
    if name.startswith("mdns-"):
        stage = Stage(folder, Lan)
        said = scenario(stage, binary)
    else:
        stage = Stage(folder)
        stage.serve(Waypost if binary else stand_in, binary)
        said = scenario(stage, *arguments)
    for program in reversed(stage.programs[:]):
        stage.stop(program)
    return said


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--waypost")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("scenario", nargs="?")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(name for name, about in scenarios().items() if about[0] or not asked.stand_in))
        return 0

    folder = asked.out / asked.scenario
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    try:
        said, status = play(asked.scenario, folder, asked.waypost), 0
    except (Failure, OSError) as failure:
        said, status = f"FAILED: {failure}", 1
        for log in sorted(folder.glob("*.log")):
            said += f"\n---- the end of {log}:\n{log.read_text(errors='replace')[-2000:]}"
    # One write, as others print at the same time.
    sys.stdout.write(f"{asked.scenario} ({time.monotonic() - began:.1f} s): {said}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
