"""Scenarios on a LAN: DNS-SD with avahi and python-zeroconf."""

import pathlib
import re
import struct
import subprocess
import time

from network import Failure, Program, ip, wait_for
from servers import LanWaypost

KIND = "_pscryptochat._tcp"
ZEROCONF = pathlib.Path(__file__).with_name("zeroconf_peer.py")
EXAMPLE = pathlib.Path(__file__).parents[2] / "target/debug/examples/lan"
# A bus for whoever is root in these namespaces only.
BUS = """<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/></policy></busconfig>"""


class Avahi(Program):
    """avahi-daemon with a bus of its own."""

    def __init__(self, host, log):
        bus = log.with_suffix(".bus.xml")
        bus.write_text(BUS)
        script = f"""
            mount -t tmpfs none /run && mkdir /run/dbus &&
            dbus-daemon --config-file={bus.resolve()} --fork --nopidfile &&
            exec avahi-daemon --no-drop-root --no-rlimits --no-chroot"""
        super().__init__(host, ["unshare", "--mount", "sh", "-c", script], log)
        wait_for("avahi's start", lambda: self.process.poll() is not None or self.said("startup complete"))

    @property
    def enter(self):
        """How its own tools get to it."""
        return [*self.host.enter, "nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", "--"]

    def browse(self):
        """Everything there is: by instance and family, host, address, port and texts."""
        command = [*self.enter, "avahi-browse", "--resolve", "--parsable", "--terminate", KIND]
        out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        found = {}
        for line in out.splitlines():
            state, link, family, name, _, _, *rest = line.split(";", 9)
            if state == "=" and link == "eth0":
                name = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1])), name).replace("\\", "")
                host, address, port, texts = rest
                found[name, family] = (host, address, int(port), sorted(re.findall(r'"([^"]*)"', texts)))
        return found


class AvahiTool(Program):
    """One of avahi's tools that goes on."""

    def __init__(self, avahi, name, *arguments):
        log = avahi.log.with_name(f"{name}-{len(list(avahi.log.parent.iterdir()))}.log")
        enter = type("Inside", (), {"enter": avahi.enter, "address": avahi.host.address})
        super().__init__(enter, ["stdbuf", "-oL", f"avahi-{name}", *arguments], log)


class Zeroconf(Program):
    """python-zeroconf."""

    def __init__(self, host, log, what, *arguments):
        command = ["/usr/bin/python3", "-B", str(ZEROCONF), what, host.address[4], f"{KIND}.local.", *arguments]
        super().__init__(host, command, log)
        wait_for("zeroconf's start", lambda: self.process.poll() is not None or self.said("ready"))


def start(stage, kind, *arguments, host=None):
    program = kind(host or stage.network.host(), *arguments)
    stage.programs.append(program)
    return program


def serve(stage, binary, name, flags=(), host=None):
    server = LanWaypost(host or stage.network.host(), binary, stage.folder / f"{name}.log", flags)
    stage.programs.append(server)
    return server


def expect(what, found, wanted):
    if found != wanted:
        raise Failure(f"{what}: {found} instead of {wanted}")


def texts(server):
    identity = server.said("identity")[0].split()[1]
    return sorted(["txtvers=1", f"udp={server.port('udp', 4)}", "path=/", f"id={identity}"])


def avahi_browses(stage, binary):
    """avahi-browse sees two servers, each with its name, its address and its texts, and sees one go."""
    avahi = start(stage, Avahi, stage.folder / "avahi.log")
    one, two = serve(stage, binary, "one"), serve(stage, binary, "two")
    wanted = {}
    for server in (one, two):
        host = server.advert().replace(" ", "-") + ".local"
        for family in ("IPv4", "IPv6"):
            wanted[server.advert(), family] = (host, server.port("http", 4), texts(server))

    def found():
        seen = {key: (host, port, said) for key, (host, _, port, said) in avahi.browse().items()}
        return seen == wanted and avahi.browse()

    seen = stage.wait_for("both servers with all that is known of them", found)
    for server in (one, two):
        addresses = {seen[server.advert(), family][1] for family in ("IPv4", "IPv6")}
        if not addresses <= set(server.host.address.values()):
            raise Failure(f"{server.advert()} is at {addresses}")
    watch = AvahiTool(avahi, "browse", "--parsable", KIND)
    stage.programs.append(watch)
    gone = two.advert().replace(" ", r"\032")
    stage.wait_for("the second server", lambda: watch.said(f"+;eth0;IPv4;{gone};"))
    stage.stop(two)
    wait_soon("its goodbye", lambda: watch.said(f"-;eth0;IPv4;{gone};") and watch.said(f"-;eth0;IPv6;{gone};"))
    return f"{one.advert()!r} and {two.advert()!r} came, the second went"


def wait_soon(what, check):
    """Waits for what must not take long: far less than the lives of records."""
    end = time.monotonic() + 10
    while not check():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within 10 s")
        time.sleep(0.05)


def zeroconf_browses(stage, binary):
    """python-zeroconf sees the server, with its address and its texts, and sees it go."""
    browser = start(stage, Zeroconf, stage.folder / "zeroconf.log", "browse")
    server = serve(stage, binary, "server")
    name = f"{server.advert()}.{KIND}.local."
    stage.wait_for("the server", lambda: browser.said(f"added;{name}"))
    host, port, addresses, said = browser.said(f"added;{name}")[0].split(";")[2:]
    expect("host", host, server.advert().replace(" ", "-") + ".local.")
    expect("port", int(port), server.port("http", 4))
    expect("texts", sorted(said.split()), texts(server))
    if server.host.address[4] not in addresses.split(","):
        raise Failure(f"it is at {addresses}")
    stage.stop(server)
    wait_soon("its goodbye", lambda: browser.said(f"removed;{name}"))
    return f"{name} at {addresses}, and gone at once"


def conflict(stage, binary):
    """Names that avahi has are given up; names that the server has, avahi gives up."""
    avahi = start(stage, Avahi, stage.folder / "avahi.log")
    seed = stage.folder / "seed"
    seed.write_bytes(bytes(range(32)))
    flags, host = ("--identity", str(seed)), stage.network.host()
    server = serve(stage, binary, "first", flags, host)
    label = server.advert()
    stage.wait_for("the server", lambda: (label, "IPv4") in avahi.browse())
    rival = AvahiTool(avahi, "publish", "--service", label, KIND, "1")
    stage.programs.append(rival)
    stage.wait_for("a name that avahi chooses", lambda: rival.said("picking new name") or rival.said("#2"))
    stage.stop(rival)
    stage.stop(server)

    stage.wait_for("its goodbye", lambda: not avahi.browse())
    hostname = label.replace(" ", "-") + ".local"
    for tool in (("--service", label, KIND, "1"), ("--address", "--no-reverse", hostname, "10.77.0.250")):
        rival = AvahiTool(avahi, "publish", *tool)
        stage.programs.append(rival)
        stage.wait_for("avahi's claim", lambda: rival.said("Established"))
    server = serve(stage, binary, "second", flags, host)
    renamed = (f"{label} (2)", "IPv4")
    stage.wait_for("another name", lambda: renamed in avahi.browse())
    expect("host", avahi.browse()[renamed][0], label.replace(" ", "-") + "-2.local")
    expect("the name that avahi has", avahi.browse()[label, "IPv4"][2], 1)
    return f"avahi gave way to {label!r}, which came back as {renamed[0]!r}"


def browses(stage, binary):
    """The client finds a server, itself on another host, and what avahi and python-zeroconf advertise."""
    lan = str(EXAMPLE)
    avahi = start(stage, Avahi, stage.folder / "avahi.log")
    server = serve(stage, binary, "server")
    stage.programs.append(AvahiTool(avahi, "publish", "--service", "alice", KIND, "9000", "txtvers=1", "id=al", "udp=9001"))
    zeroconf = start(stage, Zeroconf, stage.folder / "zeroconf.log", "advertise", "carol", "9002")
    own = Program(stage.network.host(), [lan, "advertise", "pscryptochat", "bob", "7000"], stage.folder / "own.log")
    stage.programs.append(own)
    identity = server.said("identity")[0].split()[1]
    wanted = {
        "alice": ("peer", 9000, "9001", "al", avahi.host),
        "bob": ("peer", 7000, "7000", "bob", own.host),
        "carol": ("peer", 9002, "9002", "carol", zeroconf.host),
        server.advert(): ("server", server.port("http", 4), str(server.port("udp", 4)), identity, server.host),
    }
    # From a host where nobody has port 5353, from one that shares it with avahi, and from one with ours.
    for host in (stage.network.host(), avahi.host, server.host):

        def found():
            command = [*host.enter, lan, "browse", "pscryptochat", "3"]
            lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
            seen = {line.split(";")[1]: line.split(";") for line in lines}
            return set(seen) == set(wanted) and seen

        seen = stage.wait_for("everybody", found)
        for name, (kind, port, udp, ident, where) in wanted.items():
            fields = seen[name]
            expect(name, (fields[0], int(fields[3]), fields[5], fields[6]), (kind, port, udp, ident))
            if where.address[4] not in fields[4].split(","):
                raise Failure(f"{name} is at {fields[4]}, not at {where.address[4]}")
    return f"{', '.join(sorted(wanted))}, from three hosts"


def question(kind, ident=7):
    """A query for what there is of the service."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in f"{KIND}.local".split("."))
    return struct.pack("!6H", ident, 0, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


ASK = """
import socket, sys
source, to, packet = sys.argv[1:]
packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
packets.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
packets.bind((source, 0))
packets.settimeout(1.5)
packets.sendto(bytes.fromhex(packet), (to, 5353))
try:
    print(packets.recv(9000).hex())
except socket.timeout:
    print("silence")
"""


def strangers(stage, binary):
    """Who asks once from any port of the LAN is answered; who is not of the LAN is not, nor anybody on a WAN."""
    server, asker, wan = serve(stage, binary, "server"), stage.network.host(), stage.network.host()
    # The other addresses lead to each other as well.
    for host, address in ((server.host, "192.0.2.1/32"), (asker, "192.0.2.7/32")):
        ip(f"address add {address} dev lo\nroute add 192.0.2.0/24 dev eth0", host.enter)

    def ask(source, to, packet=question(12)):
        command = [*asker.enter, "/usr/bin/python3", "-c", ASK, source, to, packet.hex()]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    own, at = asker.address[4], server.host.address[4]
    stage.wait_for("an answer", lambda: ask(own, at) != "silence")
    for to in (at, "224.0.0.251"):
        answer = bytes.fromhex(ask(own, to))
        ident, flags, questions, answers, _, more = struct.unpack("!6H", answer[:12])
        expect("the head of an answer", (ident, flags, questions, answers, more), (7, 0x8400, 1, 1, 4))
        expect("an answer to a stranger", ask("192.0.2.7", to), "silence")
    # SRV of the service itself, as those ask who know no better.
    answer = bytes.fromhex(ask(own, at, question(33)))
    expect("SRV of the service", struct.pack("!H", server.port("http", 4)) in answer, True)

    ip("address flush dev eth0\naddress add 81.2.3.4/24 dev eth0\nroute add 10.77.0.0/24 dev eth0", wan.enter)
    public = serve(stage, binary, "public", host=wan)
    stage.wait_for("the LAN to be missed", lambda: public.said("as soon as there is a LAN"))
    ip("route add 81.2.3.0/24 dev eth0", asker.enter)
    expect("an answer on a WAN", ask(own, "81.2.3.4"), "silence")
    # It may get an address of a LAN later.
    ip("address flush dev eth0\naddress add 10.77.0.200/24 dev eth0", wan.enter)
    stage.wait_for("an answer on the LAN", lambda: ask(own, "10.77.0.200") != "silence")
    return "answers for neighbours, silence for strangers"


SCENARIOS = {
    "avahi-browses": avahi_browses,
    "zeroconf-browses": zeroconf_browses,
    "conflict": conflict,
    "browses": browses,
    "strangers": strangers,
}
