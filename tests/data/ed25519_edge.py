#!/usr/bin/env python3
"""Prints edge cases of Ed25519: points of small order, alone and mixed in, and points that are not spelt canonically.

    tests/data/ed25519_edge.py >tests/data/ed25519-edge.txt

One a line: flags, key, signature, message in hex. Every signature satisfies 8(sB - R - kA) = 0, so it is for its flags alone that a
verifier may refuse it. `residue` says that sB - R - kA is not 0 before it is multiplied.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
I = pow(2, (P - 1) // 4, P)


def recover(y, sign):
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * I % P
    return None if v * x * x % P != u else (x if x % 2 == sign else -x % P, y)


def add(p, q):
    (a, b), (c, d) = p, q
    t = D * a * b * c * d % P
    return ((a * d + b * c) * pow(1 + t, -1, P) % P, (b * d + a * c) * pow(1 - t, -1, P) % P)


def times(n, p):
    total = (0, 1)
    while n:
        if n & 1:
            total = add(total, p)
        p, n = add(p, p), n >> 1
    return total


def negate(p):
    return (-p[0] % P, p[1])


def spell(p, y=None, sign=None):
    y, sign = p[1] if y is None else y, p[0] % 2 if sign is None else sign
    return (y | sign << 255).to_bytes(32, "little")


BASE = recover(4 * pow(5, -1, P) % P, 0)


def points_of_small_order():
    """The eight, made from one of order 8."""
    y = 2
    while True:
        point = recover(y, 0)
        eighth = point and times(L, point)
        if eighth and times(4, eighth) != (0, 1):
            return [times(n, eighth) for n in range(8)]
        y += 1


def spellings(point):
    """All encodings that a lenient decoder takes for the point: the canonical one first."""
    x, y = point
    ys = [y] + ([y + P] if y + P < 2**255 else [])
    signs = [x % 2] + ([1 - x % 2] if x == 0 else [])
    return [spell(point, y, sign) for y in ys for sign in signs]


def main():
    small = points_of_small_order()
    seen = set()

    def case(key_point, key, scalar, r_point, r, r_scalar, flags):
        for n in range(64):
            message = b"edge case %d" % n
            k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
            s = (r_scalar + k * scalar) % L
            left = add(times(s, BASE), negate(add(r_point, times(k, key_point))))
            assert times(8, left) == (0, 1)
            names = flags + ([] if left == (0, 1) else ["residue"])
            label = ",".join(names) or "-"
            if (label, key, r) not in seen and [f for f, _, _ in seen].count(label) < 4:
                seen.add((label, key, r))
                print(label, key.hex(), (r + s.to_bytes(32, "little")).hex(), message.hex())
        return

    a, b = 0x1234567890ABCDEF << 128 | 7, 0xFEDCBA0987654321 << 130 | 5
    whole = lambda scalar, extra: add(times(scalar, BASE), extra)
    for n, extra in enumerate(small):
        for m, other in enumerate(small):
            key, r = whole(a, extra), whole(b, other)
            flags = (["mixed_A"] if n else []) + (["mixed_R"] if m else [])
            case(key, spell(key), a, r, spell(r), b, flags)
        for i, text in enumerate(spellings(extra)):
            odd = ["non_canonical"] if i else []
            r = whole(b, (0, 1))
            case(extra, text, 0, r, spell(r), b, ["small_A"] + odd)
            key = whole(a, (0, 1))
            case(key, spell(key), a, extra, text, 0, ["small_R"] + odd)
            case(extra, text, 0, extra, text, 0, ["small_A", "small_R"] + odd)
    # S + L, which a verifier that reduces S takes for S.
    key, r = whole(a, (0, 1)), whole(b, (0, 1))
    message = b"malleable"
    k = int.from_bytes(hashlib.sha512(spell(r) + spell(key) + message).digest(), "little") % L
    s = (b + k * a) % L
    for label, s in [("-", s), ("large_S", s + L), ("large_S", s + 8 * L)]:
        print(label, spell(key).hex(), (spell(r) + s.to_bytes(32, "little")).hex(), message.hex())


main()
