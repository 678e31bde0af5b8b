"""The clients. Each knows nothing but a torrent or a magnet link, and DHT nodes if it gets some."""

import json
import pathlib
import signal
import sys

from network import Program, in_url

PORT = 51413


class Libtorrent(Program):
    """libtorrent, which is also the heart of qBittorrent and Deluge."""

    NAME = "libtorrent"

    def __init__(self, host, family, log, folder, source, nodes=(), listen=None):
        settings = {
            "listen_interfaces": listen or f"{in_url(host.address[family])}:{PORT}",
            "enable_dht": bool(nodes) or listen is not None,
            "dht_bootstrap_nodes": ",".join(nodes),
        }
        asked = {"source": source, "folder": str(folder), "settings": settings}
        script = pathlib.Path(__file__).with_name("libtorrent_peer.py")
        super().__init__(host, [sys.executable, "-X", "faulthandler", str(script), json.dumps(asked)], log)


class Aria2(Program):
    """aria2, with a DHT and trackers of its own making."""

    NAME = "aria2"
    END = signal.SIGINT

    def __init__(self, host, family, log, folder, source, nodes=()):
        dht, other = ("dht", "dht6") if family == 4 else ("dht6", "dht")
        command = [
            "aria2c",
            "--no-conf",
            f"--dir={folder}",
            f"--listen-port={PORT}",
            f"--dht-listen-port={PORT}",
            # It asks UDP trackers from the socket of its DHT. Without `nodes` its DHT has nobody to talk to.
            f"--enable-{dht}=true",
            f"--enable-{other}=false",
            f"--dht-file-path={folder}/dht.dat",
            f"--dht-file-path6={folder}/dht6.dat",
            "--dht-message-timeout=3",
            "--bt-enable-lpd=false",
            "--enable-peer-exchange=false",
            "--check-integrity=true",
            "--seed-ratio=0",
            "--file-allocation=none",
            "--console-log-level=info",
            "--show-console-readout=false",
            "--enable-color=false",
        ]
        command += [f"--dht-entry-point{'6' if family == 6 else ''}={node}" for node in nodes]
        if family == 6:
            command.append(f"--dht-listen-addr6={host.address[6]}")
        super().__init__(host, [*command, source], log)
