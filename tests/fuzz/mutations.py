"""Damage as files meet it: cut, flipped, spliced, repeated, and the signs that readers stumble over put anywhere."""

import random

SIGNS = [
    b'"', b"'", b"\\", b'\\"', b"\r", b"\n", b"\r\n", b"\0", b"\xff", b"\x80", b"\xef\xbb\xbf", b"\xff\xfe", b",", b";", b"\t",
    b" ", b"{", b"}", b"[", b"]", b":", b"NaN", b"Infinity", b"null", b"true", b"1e999", b"-", b"9" * 5000, b"\\ud83d",
    b"\\udc00\\ud800", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", "가".encode("cp949"), "가".encode("utf-16-le"),
    "\u1100\u1161".encode(), b"[" * 3000, b'{"a":' * 3000, b"O", b"B-", b"-DOCSTART-", b"\x1f\x8b", b"PK\x03\x04", b"PAR1",
    b"(\xb5/\xfd", b"#", b".", b"text", b"label",
]  # fmt: skip


def mutated(raw: bytes, other: bytes, rng: random.Random) -> bytes:
    """A file with one to four damages; `other`: one that pieces may come from."""
    for _ in range(rng.randint(1, 4)):
        at, end = sorted((rng.randint(0, len(raw)), rng.randint(0, len(raw))))
        end = min(end, at + rng.choice([1, 8, 64, 4096]))
        kind = rng.randrange(8)
        if kind == 0:
            raw = raw[:at]
        elif kind == 1 and raw:
            changed = bytearray(raw)
            for _ in range(rng.choice([1, 1, 3, 20])):
                changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            raw = bytes(changed)
        elif kind == 2:
            raw = raw[:at] + raw[end:]
        elif kind == 3:
            raw = raw[:end] + raw[at:end] * rng.choice([1, 2, 50]) + raw[end:]
        elif kind == 4:
            piece = rng.randint(0, len(other))
            raw = raw[:at] + other[piece : piece + rng.choice([8, 64, 1024])] + raw[end:]
        elif kind == 5:
            raw = raw[:at] + rng.randbytes(rng.choice([1, 4, 64])) + raw[end:]
        else:
            raw = raw[:at] + rng.choice(SIGNS) * rng.choice([1, 1, 2, 200]) + raw[rng.choice([at, end]) :]
    return raw
