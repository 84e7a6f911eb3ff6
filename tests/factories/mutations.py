"""Damage of files as by copies, editors, spreadsheets and disks."""

from __future__ import annotations

import random

FRAGMENTS = (
    *(b"_", b"+", b"-", b"--1", b" ", b"\t", b"0_1", b"1" * 5000, b"-1,-2", b"2", b"7", b"1e0", b"nan"),
    *(b"\0", b"\r", b"\n", b",", b";", b'"', b"'", b'",', b"\\", b"{", b"\x85", b"\xa0", b"\x1f", b"\xd9\xa3"),
)
"""Bytes that belong in no label file, or only in one place."""


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Damage a file at one to three positions."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        content = _damage(content, rng) or b" "
    return content


def _damage(content: bytes, rng: random.Random) -> bytes:
    at, lines = rng.randrange(len(content)), content.split(b"\n")
    end, line = at + rng.choice([0, 0, 1, 1, 5, 40]), rng.randrange(len(lines))
    return rng.choice(
        [
            lambda: content[:at],
            lambda: content[at:],
            lambda: content[:at] + content[end:],
            lambda: content[:at] + rng.choice(FRAGMENTS) + content[end:],
            lambda: content[:at] + rng.choice(FRAGMENTS) + content[end:],
            lambda: content[:at] + rng.randbytes(rng.randint(1, 3)) + content[at:],
            lambda: content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :],
            lambda: content[:at] + rng.choice(b"0123456789,.- \t\r\n").to_bytes(1) + content[at + 1 :],
            lambda: content[:at] + rng.choice(b"0123456789").to_bytes(1) + content[at + 1 :],
            lambda: content[:at] + bytes(rng.randint(1, 64)) + content[at + 1 :],
            lambda: content[:at] + content[max(0, at - 90) : at] + content[at:],
            lambda: b"\n".join([*lines[:line], *lines[line : line + 1] * 2, *lines[line + 1 :]]),
            lambda: b"\n".join([*lines[:line], *lines[line + 1 :]]),
            lambda: b"\n".join(rng.sample(lines, len(lines))),
            lambda: content.replace(b"\n", rng.choice([b"\r\n", b"\r", b"", b" ", b"\n\n", b"\x85"])),
            lambda: rng.choice([b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"]) + content,
            lambda: content.decode("latin-1").encode(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])),
            lambda: content + content[at:],
            lambda: content.replace(b",", rng.choice([b";", b" ", b",,", b", "])),
        ]
    )()
