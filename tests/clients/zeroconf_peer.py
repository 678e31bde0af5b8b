#!/usr/bin/env python3
"""python-zeroconf on a LAN: tells what comes and goes, or advertises itself, until it is stopped.

    zeroconf_peer.py browse ADDRESS TYPE
    zeroconf_peer.py advertise ADDRESS TYPE NAME PORT
"""

import socket
import sys
import threading

from zeroconf import ServiceBrowser, ServiceInfo, Zeroconf


class Listener:
    def add_service(self, zeroconf, kind, name):
        info = zeroconf.get_service_info(kind, name, 3000)
        if info is None:
            print(f"unknown;{name}", flush=True)
            return
        texts = sorted(f"{key.decode()}={(value or b'').decode()}" for key, value in info.properties.items())
        addresses = ",".join(sorted(info.parsed_addresses()))
        print(f"added;{name};{info.server};{info.port};{addresses};{' '.join(texts)}", flush=True)

    def update_service(self, zeroconf, kind, name):
        pass

    def remove_service(self, zeroconf, kind, name):
        print(f"removed;{name}", flush=True)


def main():
    what, address, kind, *more = sys.argv[1:]
    zeroconf = Zeroconf(interfaces=[address])
    if what == "browse":
        ServiceBrowser(zeroconf, kind, Listener())
    else:
        name, port = more
        zeroconf.register_service(
            ServiceInfo(
                kind,
                f"{name}.{kind}",
                addresses=[socket.inet_aton(address)],
                port=int(port),
                properties={"txtvers": "1", "id": name, "udp": port},
                server=f"{name}-host.local.",
            )
        )
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
