#!/usr/bin/env python3
"""Makes pow.json: solved challenges, for those who write a solver of their own.

    docs/vectors/pow.py > docs/vectors/pow.json        (a minute)

The challenges are what a server would give out, but for their tags, which only a server can make.
"""
import base64
import hashlib
import json


def bits(digest):
    """Zero bits at the front."""
    return 256 - int.from_bytes(digest, "big").bit_length()


def solve(challenge, difficulty):
    """The smallest nonce that solves it."""
    nonce = 0
    while bits(hashlib.sha256(f"{challenge}{nonce}".encode()).digest()) < difficulty:
        nonce += 1
    return nonce


def main():
    vectors = []
    for number in range(16):
        filling = hashlib.sha256(b"waypost vector %d" % number).digest()
        for difficulty in (0, 1, 7, 8, 9, 15, 16, 17, 20):
            terms = bytes([1, difficulty, 6 if number % 2 else 4, 1]) + (number * 7919).to_bytes(4, "big") + filling
            challenge = base64.urlsafe_b64encode(terms[:40]).rstrip(b"=").decode()
            nonce = solve(challenge, difficulty)
            digest = hashlib.sha256(f"{challenge}{nonce}".encode()).hexdigest()
            vectors.append({"challenge": challenge, "difficulty": difficulty, "nonce": nonce, "sha256": digest})
    print("[\n" + ",\n".join(json.dumps(vector) for vector in vectors) + "\n]")


main()
