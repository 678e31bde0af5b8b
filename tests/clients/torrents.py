"""Torrents of random bytes, and the encoding they are described in (BEP 3)."""

import hashlib
import os

PIECE = 1 << 15
NAME = "random.bin"


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    return b"d%se" % b"".join(bencode(key) + bencode(value[key]) for key in sorted(value))


def bdecode(text):
    """The value of a text; strings and keys are bytes."""

    def value(at):
        kind = text[at : at + 1]
        if kind == b"i":
            end = text.index(b"e", at)
            return int(text[at + 1 : end]), end + 1
        if kind in (b"l", b"d"):
            items, at = [], at + 1
            while text[at : at + 1] != b"e":
                item, at = value(at)
                items.append(item)
            return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
        colon = text.index(b":", at)
        end = colon + 1 + int(text[at:colon])
        return text[colon + 1 : end], end

    return value(0)[0]


class Torrent:
    """A file of random bytes, and the .torrent and the magnet link for it."""

    def __init__(self, folder, size, tracker=None):
        self.content = os.urandom(size)
        pieces = (self.content[at : at + PIECE] for at in range(0, size, PIECE))
        info = {
            "length": size,
            "name": NAME,
            "piece length": PIECE,
            "pieces": b"".join(hashlib.sha1(piece).digest() for piece in pieces),
        }
        if tracker:
            # BEP 27: a client gets the peers of such a torrent from its tracker, and from nowhere else.
            info["private"] = 1
        self.info_hash = hashlib.sha1(bencode(info)).digest()
        # A network of the JSON API, too.
        self.network = self.info_hash.hex()
        self.magnet = f"magnet:?xt=urn:btih:{self.network}"
        self.file = str(folder / "file.torrent")
        with open(self.file, "wb") as file:
            file.write(bencode({"info": info, **({"announce": tracker} if tracker else {})}))

    def put(self, folder):
        (folder / NAME).write_bytes(self.content)

    def is_whole(self, folder):
        file = folder / NAME
        if not file.exists() or file.stat().st_size != len(self.content):
            return False
        return hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(self.content).digest()
