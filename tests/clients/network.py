"""A network of namespaces, programs on it, and waiting with a deadline.

Whoever imports this is root in network, mount and process namespaces of its own (run.sh sees to that), so that whatever
is started here ends with it.
"""

import os
import signal
import subprocess
import time

# Seconds that a step may take: several times what the slowest takes on a busy machine, a client's own timers included.
PATIENCE = 90


class Failure(Exception):
    """What was expected did not happen."""


def wait_for(what, check):
    """Asks `check` until it answers something true, and returns that."""
    end, pause = time.monotonic() + PATIENCE, 0.05
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {PATIENCE} s")
        time.sleep(pause)
        # A server answers one address about once a second.
        pause = min(pause * 1.5, 1.5)


def ip(commands, enter=()):
    subprocess.run([*enter, "ip", "-batch", "-"], input=commands, text=True, check=True)


class Host:
    """A machine of its own on the network."""

    def __init__(self, pid, address):
        self.address = address
        self.enter = ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]


class Network:
    """Hosts on one bridge. Whoever makes it is on it, too, at `here`.

    Nothing leads out of it, so it has addresses as the Internet has them: clients and servers have rules of their own
    for those of a LAN, and for those of documentation. Each host is in a prefix of its own, as peers mostly are.
    """

    PREFIX = {4: 8, 6: 16}

    def __init__(self):
        self._hosts = 0
        self.here = self._next_address()
        ip(f"""\
            link set lo up
            link add bridge type bridge mcast_snooping 0
            link set bridge up
            {self._add(self.here, "bridge")}""")

    def _next_address(self):
        """The addresses of the next host, by family."""
        self._hosts += 1
        return {4: f"81.{10 * self._hosts}.2.1", 6: f"2a00:{10 * self._hosts}::1"}

    def _add(self, address, link):
        return f"""\
            address add {address[4]}/{self.PREFIX[4]} dev {link}
            address add {address[6]}/{self.PREFIX[6]} dev {link} nodad"""

    def host(self):
        """One more host."""
        address, link = self._next_address(), f"host{self._hosts}"
        own = os.readlink("/proc/self/ns/net")
        pid = subprocess.Popen(["unshare", "--net", "sleep", "infinity"]).pid
        wait_for("a network namespace", lambda: os.readlink(f"/proc/{pid}/ns/net") != own)
        ip(f"""\
            link add {link} type veth peer name eth0 netns {pid}
            link set {link} master bridge up""")
        host = Host(pid, address)
        ip(f"""\
            link set lo up
            link set eth0 up
            {self._add(address, "eth0")}""", host.enter)
        return host


class Lan(Network):
    """Hosts of one LAN, with addresses as a LAN has them."""

    PREFIX = {4: 24, 6: 64}

    def _next_address(self):
        self._hosts += 1
        return {4: f"10.77.0.{self._hosts}", 6: f"fd77::{self._hosts}"}


class Program:
    """A program that runs on a host and writes a log."""

    # Ends it in order.
    END = signal.SIGTERM

    def __init__(self, host, command, log):
        self.host, self.log = host, log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [*host.enter, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )

    def said(self, *words):
        """The lines of the log with these words."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if all(word in line for word in words)]

    def stop(self):
        """Ends it in order, and returns its status."""
        if self.process.poll() is None:
            self.process.send_signal(self.END)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.log.name}: it did not end") from None


def in_url(address):
    """An address as the host of a URL."""
    return f"[{address}]" if ":" in address else address
