"""The server under test, and others to try the scenarios on."""

import json
import re
import signal
import socket
import struct
import urllib.parse

from clients import Libtorrent
from network import PATIENCE, Failure, Program, in_url, wait_for
from torrents import bdecode


class Server(Program):
    """A server, and what it tells a bystander."""

    def port(self, kind, family):
        raise NotImplementedError

    def at(self, kind, family):
        """HOST:PORT of its "udp" or "http"."""
        return f"{in_url(self.host.address[family])}:{self.port(kind, family)}"

    def admit(self, torrent):
        """Lets it serve a torrent."""

    def http(self, family, target, body=None):
        """The body of an answer; None when we are to ask later."""
        method, more = "GET", ""
        if body is not None:
            method, more = "POST", f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        where = (self.host.address[family], self.port("http", family))
        with socket.create_connection(where, PATIENCE) as stream:
            head = f"{method} {target} HTTP/1.1\r\nHost: {self.at('http', family)}\r\nConnection: close\r\n{more}\r\n"
            stream.sendall((head + (body or "")).encode())
            head, _, answer = b"".join(iter(lambda: stream.recv(65536), b"")).partition(b"\r\n\r\n")
        status = head.split()[1:2]
        if status == [b"429"]:
            return None
        if status != [b"200"]:
            raise Failure(f"{method} {target} is answered by {head!r} {answer!r}")
        return answer

    def scrape(self, torrent, family, scheme):
        """Seeders and leechers, as the tracker counts them."""
        return (self._scrape_udp if scheme == "udp" else self._scrape_http)(torrent.info_hash, family)

    def _scrape_http(self, info_hash, family):
        """BEP 48."""
        answer = self.http(family, f"/scrape?info_hash={urllib.parse.quote_from_bytes(info_hash, safe='')}")
        if answer is None:
            return None
        counts = bdecode(answer).get(b"files", {}).get(info_hash, {})
        return counts.get(b"complete", 0), counts.get(b"incomplete", 0)

    def _scrape_udp(self, info_hash, family):
        """BEP 15. None when an answer is lost."""
        with socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as packets:
            packets.settimeout(1)
            packets.connect((self.host.address[family], self.port("udp", family)))
            try:
                packets.send(struct.pack("!QLL", 0x41727101980, 0, 1))
                connection = packets.recv(2048)[8:16]
                packets.send(connection + struct.pack("!LL", 2, 2) + info_hash)
                action, _, seeders, _, leechers = struct.unpack("!LLLLL", packets.recv(2048)[:20])
            except socket.timeout:
                return None
        if action != 2:
            raise Failure(f"the scrape is answered by action {action}")
        return seeders, leechers


class Waypost(Server):
    """The server under test, with the settings it has by default, but for its ports."""

    FLAGS = ["--no-mdns"]

    def __init__(self, host, binary, log, flags=()):
        command = [binary, "serve", "--port", "0", "--udp-port", "auto", *self.FLAGS, *flags]
        super().__init__(host, command, log)
        wait_for("the server's start", lambda: self.process.poll() is not None or self.said("ready"))
        listening = re.compile(r"listening +(\w+) +(\S+):(\d+)")
        found = [listening.fullmatch(line).groups() for line in self.said("listening")]
        self._ports = {(kind, 6 if where == "[::]" else 4): int(port) for kind, where, port in found}

    def port(self, kind, family):
        return self._ports[kind, family]

    def peers(self, torrent, family):
        """The endpoints of each peer in the JSON API."""
        answer = self.http(family, f"/peers?network={torrent.network}")
        return answer and [peer["endpoints"] for peer in json.loads(answer)["peers"]]

    def announce(self, torrent, family, endpoints):
        """Announces a peer over the JSON API."""
        body = json.dumps({"id": "bystander", "endpoints": endpoints, "network": torrent.network})
        answer = json.loads(self.http(family, "/announce", body) or "{}")
        if not answer.get("registered"):
            raise Failure(f"the announce is answered by {answer}")

    def stop(self):
        status = super().stop()
        if status != 0:
            raise Failure(f"the server ended with {status}")


class LanWaypost(Waypost):
    """One that advertises on the LAN."""

    FLAGS = []

    def advert(self):
        """The label of its instance as it was when it started."""
        return self.said("mdns ")[0].split(None, 1)[1].partition("._")[0]


class Opentracker(Server):
    """opentracker: a stand-in as a tracker."""

    def __init__(self, host, _, log):
        # Debian's serves the torrents on a list, over IPv4.
        self._list = log.with_name("whitelist")
        self._list.write_text("")
        ports = ["-p", "6969", "-P", "6969", "-i", host.address[4]]
        super().__init__(host, ["opentracker", "-d", str(log.parent), "-w", "/whitelist", *ports], log)
        wait_for("the tracker's start", self._is_there)

    def _is_there(self):
        with socket.socket() as stream:
            return stream.connect_ex((self.host.address[4], 6969)) == 0

    def port(self, kind, family):
        return 6969

    def admit(self, torrent):
        self._list.write_text(torrent.info_hash.hex() + "\n")
        self.process.send_signal(signal.SIGHUP)


class LibtorrentNode(Server, Libtorrent):
    """A third session of libtorrent: a stand-in as a DHT node."""

    def __init__(self, host, _, log):
        listen = f"{host.address[4]}:6881,{in_url(host.address[6])}:6881"
        Libtorrent.__init__(self, host, 4, log, log.parent, f"magnet:?xt=urn:btih:{'57' * 20}", listen=listen)
        wait_for("the node's start", lambda: len(self.said("listening on [uTP]")) == 2)

    def port(self, kind, family):
        return 6881

    def peers(self, torrent, family):
        return self.said("incoming dht announce", torrent.network)
