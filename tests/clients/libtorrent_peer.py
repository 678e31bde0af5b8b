#!/usr/bin/env python3
"""A session of libtorrent with one torrent, until SIGTERM ends it as a user would.

    libtorrent_peer.py '{"source": "FILE.torrent or magnet:...", "folder": "...", "settings": {...}}'

Prints what libtorrent reports, a line each, after the seconds since the start.
"""

import json
import signal
import sys
import time

import libtorrent as lt

REPORTS = lt.alert.category_t
SETTINGS = {
    "alert_mask": REPORTS.status_notification
    | REPORTS.error_notification
    | REPORTS.tracker_notification
    | REPORTS.dht_notification
    | REPORTS.connect_notification,
    # Peers come from the DHT or a tracker alone.
    "enable_lsd": False,
    "enable_natpmp": False,
    "enable_upnp": False,
    # Seconds. A torrent that is added before the first DHT node answers is looked up this much later; by default, after
    # 15 minutes.
    "dht_announce_interval": 4,
}
# The reports that tell the story.
TOLD = (
    "dht_announce_alert",
    "dht_bootstrap_alert",
    "dht_get_peers_alert",
    "dht_reply_alert",
    "external_ip_alert",
    "listen_failed_alert",
    "listen_succeeded_alert",
    "metadata_received_alert",
    "peer_connect_alert",
    "torrent_error_alert",
    "torrent_finished_alert",
    "tracker_announce_alert",
    "tracker_error_alert",
    "tracker_reply_alert",
    "tracker_warning_alert",
)
# Seconds for a tracker to answer the last announce.
GOODBYE = 10


def torrent(source, folder):
    if source.startswith("magnet:"):
        params = lt.parse_magnet_uri(source)
    else:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(source)
    params.save_path = folder
    params.flags |= lt.torrent_flags.disable_pex | lt.torrent_flags.disable_lsd
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    return params


def main():
    began = time.monotonic()
    asked = json.loads(sys.argv[1])
    terminated = []
    signal.signal(signal.SIGTERM, lambda *_: terminated.append(time.monotonic()))

    session = lt.session({**SETTINGS, **asked["settings"]})
    handle = session.add_torrent(torrent(asked["source"], asked["folder"]))
    paused = stopping = stopped = False
    while not stopped:
        if terminated and not paused:
            paused = True
            handle.pause()
            stopped = not handle.trackers()
        elif paused and time.monotonic() > terminated[0] + GOODBYE:
            stopped = True
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            name = type(alert).__name__
            if name not in TOLD:
                # Of some, libtorrent 2.0.8 now and then crashes when it is asked for the message.
                continue
            message = alert.message()
            print(f"{time.monotonic() - began:7.3f} {name} {message}", flush=True)
            stopping = stopping or (name == "tracker_announce_alert" and message.endswith("(stopped)"))
            stopped = stopped or (stopping and name in ("tracker_reply_alert", "tracker_error_alert"))


if __name__ == "__main__":
    main()
