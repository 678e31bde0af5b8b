#!/usr/bin/env python3
"""Boots a system in QEMU, speaks to its server from outside, and prints what was measured.

    boot.py --qemu qemu-system-arm --network virtio-net-device [options] -- [QEMU's arguments]

The system must have a shell on its serial console (`waypost.shell` on the kernel's command line): through it the server
is killed and figures are read. Ends with 0 and one line of tab-separated figures on standard output (seconds to the first
answer, seconds from a kill to the next answer, MiB of memory used, MiB there are, KiB the server has resident, the wall
clock), or with 1, and the end of the console's output, at the first thing that is not as it should be.
"""

import argparse
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request


class Wrong(Exception):
    """Something is not as it should be."""


def free_port(kind):
    """A port of the loopback nobody uses just now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Guest:
    """A running QEMU: its console, and its two ports."""

    def __init__(self, args):
        self.deadline = time.monotonic() + args.deadline
        self.http, self.udp = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
        forward = f"hostfwd=tcp:127.0.0.1:{self.http}-:{args.http_port},hostfwd=udp:127.0.0.1:{self.udp}-:{args.udp_port}"
        # Whatever ends this program ends QEMU.
        command = ["setpriv", "--pdeathsig", "KILL", args.qemu, "-display", "none", "-monitor", "none", "-no-reboot", *args.arguments,
                   "-serial", "stdio", "-netdev", f"user,id=net,{forward}", "-device", f"{args.network},netdev=net"]
        self.console = ""
        self.questions = 0
        self.began = time.monotonic()
        # Its errors are the console's, too: before the guest has an address, QEMU complains of packets it cannot send.
        self.qemu = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        """Gathers what the console says."""
        while chunk := self.qemu.stdout.read1(4096):
            self.console += chunk.decode(errors="replace").replace("\r", "")

    def until(self, what, attempt, within=None):
        """Repeats `attempt` until it returns something true, and returns that."""
        deadline = self.deadline if within is None else min(self.deadline, time.monotonic() + within)
        while time.monotonic() < deadline:
            if self.qemu.poll() is not None:
                raise Wrong(f"QEMU ended with {self.qemu.returncode} before there was {what}")
            if result := attempt():
                return result
            time.sleep(0.05)
        raise Wrong(f"no {what} in time")

    def until_console(self, pattern, within=None):
        """Waits for a text on the console, and returns what it matched."""
        return self.until(f"/{pattern}/ on the console", lambda: re.search(pattern, self.console), within)

    def shell(self, command):
        """Runs a command in the guest, and returns what it printed."""
        self.questions += 1
        number = self.questions
        # What the terminal echoes has no digits where the answer has them.
        line = f"echo BEGIN-$(({number}));{command};echo END-$(({number}))\n"
        self.qemu.stdin.write(line.encode())
        self.qemu.stdin.flush()
        return self.until_console(rf"BEGIN-{number}\n((?:.*\n)*?)(?:.*)END-{number}\n", within=40).group(1)

    def request(self, path, body=None):
        """The JSON of an answer over HTTP, or None if there is none."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            # Before the guest has an address, QEMU accepts a connection and then says nothing.
            with urllib.request.urlopen(request, timeout=0.4) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def datagram(self, sock, message):
        """The JSON of the answer to a datagram, asked again until it comes."""
        # An answer may be as long as the question, and no longer.
        text = json.dumps({**message, "pad": "x" * 400}).encode()

        def ask():
            try:
                sock.sendto(text, ("127.0.0.1", self.udp))
                # A question asked again may be answered again: what answers another one is not ours.
                while (answer := json.loads(sock.recv(2048)))["id"] != message["id"]:
                    pass
                return answer
            except (OSError, ValueError):
                return None

        return self.until(f"answer over UDP to {message['type']}", ask)


def require(condition, what):
    if not condition:
        raise Wrong(what)


def speak(guest, ttl):
    """Announces over each protocol and finds over the other. Returns what the server thinks of its wall clock."""
    body = {"id": "by-http", "endpoints": ["tcp://:9001"]}
    answer = guest.until("answer to /announce", lambda: guest.request("/announce", body))
    require(answer["registered"], f"announce over HTTP: {answer}")
    endpoint = f"{answer['you']}:9001"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        found = guest.datagram(sock, {"type": "find_peers", "id": "1"})
        require(endpoint in found["peers"], f"announced over HTTP, not found over UDP: {found}")
        answer = guest.datagram(sock, {"type": "announce", "id": "2", "peer_id": "by-udp", "token": found["token"]})
        require(answer.get("registered"), f"announce over UDP: {answer}")
    found = guest.until("answer to /peers", lambda: guest.request("/peers"))
    names = sorted(peer["id"] for peer in found["peers"])
    require(names == ["by-http", "by-udp"], f"announced over HTTP and UDP, found over HTTP: {found}")
    require(ttl is None or found["ttl"] == ttl, f"peers should live {ttl} s: {found}")
    if "server_time" not in found:
        return "none"
    require(abs(found["server_time"] - time.time()) < 10, f"a wrong server_time: {found}")
    return "right"


def identity(guest):
    """The server's name, which is a new one after each start."""
    return (guest.request("/peers") or {}).get("bootstrap_id")


def kill(guest):
    """Kills the server, waits until another one answers, and returns how long that took."""
    before = guest.until("name of the server", lambda: identity(guest))
    guest.shell("kill -9 $(pidof waypost)")
    began = time.monotonic()
    guest.until("answer after a kill", lambda: identity(guest) not in (None, before), within=40)
    return time.monotonic() - began


def set_wrong(guest):
    """Gives the server a setting it must refuse: it says so once, and serves again as soon as the setting is right."""
    tries = set()

    def third_try():
        # The script that starts it sleeps after each refusal: not for us. A part of it has the same name, and came later.
        for pids in re.findall(r"^\d[\d ]*$", guest.shell("kill $(pidof sleep); usleep 200000; pidof server"), re.MULTILINE):
            tries.add(min(map(int, pids.split())))
        return len(tries) >= 3

    guest.shell("cp /run/settings /run/right; echo PORT=99999 >>/run/settings; kill -9 $(pidof waypost)")
    guest.until_console(r"waypost: PORT.* must be ")
    guest.until("third try to start the server", third_try, within=40)
    said = len(re.findall("waypost: PORT", guest.console))
    require(said == 1, f"the wrong setting was complained of {said} times")
    guest.shell("mv /run/right /run/settings; kill $(pidof sleep)")
    guest.until("answer after a wrong setting was taken back", lambda: identity(guest), within=40)


def measure(guest):
    """Checks whose the server is and what the system writes to. Returns memory used, memory, and the server's share."""
    status = dict(re.findall(r"(\w+):\s+(.*)", guest.shell("cat /proc/$(pidof waypost)/status")))
    require(set(status["Uid"].split() + status["Gid"].split()) == {"990"}, f"not a user of its own: {status['Uid']}, {status['Gid']}")
    capabilities = [status[kind] for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb")]
    require(not any(int(mask, 16) for mask in capabilities), f"capabilities: {capabilities}")
    require(status["NoNewPrivs"] == "1", "new privileges are possible")
    mounts = [line.split() for line in guest.shell("cat /proc/mounts /proc/swaps").splitlines() if line]
    real = [mount for mount in mounts if mount[0].startswith("/dev/")]
    require(len(mounts) > 3 and not real, f"mounted or swapped to: {real or mounts}")
    memory = {name: int(kib) / 1024 for name, kib in re.findall(r"(\w+):\s+(\d+) kB", guest.shell("cat /proc/meminfo"))}
    # Without what the kernel only keeps as long as nobody needs the room.
    spare = sum(memory[name] for name in ("MemFree", "SReclaimable", "Buffers", "Cached")) - memory["Shmem"]
    return memory["MemTotal"] - spare, memory["MemTotal"], int(status["VmRSS"].split()[0])


def stop_feeding(guest):
    """Stops who feeds the watchdog: the machine must be reset within twice its 15 seconds."""
    require(guest.shell("kill -STOP $(pidof watchdog) && echo done").strip() == "done", "nothing feeds the watchdog")
    began = time.monotonic()
    # QEMU ends instead of starting the machine again (-no-reboot).
    while guest.qemu.poll() is None:
        require(time.monotonic() < began + 40, "the watchdog was not fed, and nothing came of it")
        time.sleep(0.05)


def check(guest, args):
    """The whole conversation. Returns the line of figures."""
    guest.until("answer to /health", lambda: guest.request("/health"))
    first = time.monotonic() - guest.began
    wall_clock = speak(guest, args.ttl)
    guest.until_console(r"Waypost is ready on \"\S+\":\n(?:  http://\S+/\n)+")
    # IPv6 needs a moment longer: first the router speaks, then the address is tried.
    guest.until_console(r"http://\[[0-9a-f:]+\]:\d+/\n")
    guest.until_console(r"server: user 990, group 990, no capabilities")
    for text in args.says:
        guest.until_console(re.escape(text), within=10)
    respawned = kill(guest)
    if args.wrong:
        set_wrong(guest)
    used, total, server = measure(guest)
    require(speak(guest, args.ttl) == wall_clock, "the wall clock has changed")
    if args.watchdog:
        stop_feeding(guest)
    return f"{first:.1f}\t{respawned:.1f}\t{used:.0f}\t{total:.0f}\t{server}\t{wall_clock}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qemu", required=True, help="the emulator")
    parser.add_argument("--network", required=True, help="its network card, as for -device")
    parser.add_argument("--http-port", type=int, default=8080, help="the server's in the guest")
    parser.add_argument("--udp-port", type=int, default=6881)
    parser.add_argument("--ttl", type=int, help="the peer-ttl that was set")
    parser.add_argument("--says", action="append", default=[], help="a text the console must say (repeatable)")
    parser.add_argument("--wrong", action="store_true", help="also try a wrong setting")
    parser.add_argument("--watchdog", action="store_true", help="also starve the watchdog (15 to 30 s)")
    parser.add_argument("--deadline", type=float, default=180, help="seconds for everything")
    parser.add_argument("--log", help="a file for all the console said")
    parser.add_argument("arguments", nargs="*", help="QEMU's")
    args = parser.parse_args()
    guest = Guest(args)
    try:
        print(check(guest, args))
        return 0
    except Wrong as wrong:
        print(f"boot: {wrong}; the end of the console:", *guest.console.splitlines()[-30:], sep="\n", file=sys.stderr)
        return 1
    finally:
        # As if power were cut.
        guest.qemu.kill()
        guest.qemu.wait()
        if args.log:
            with open(args.log, "w", encoding="utf-8") as log:
                log.write(guest.console)


if __name__ == "__main__":
    sys.exit(main())
