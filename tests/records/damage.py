"""Ways to damage bytes. Imports no TensorFlow, for the short processes of `test_guard`."""

from __future__ import annotations

import random


def damaged(
    data: bytes, rng: random.Random, tags: bytes = b"\x0a\x12\x1a\x08\x0d\x00\x80\xff"
) -> bytes:
    """`data` with one to three bytes changed, lost, put in, repeated or cut off."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if not made:
            break
        at = rng.randrange(len(made))
        what = rng.randrange(7)
        if what == 0:
            made[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            made[at] = rng.choice(tags)
        elif what == 2:
            made[at] = (made[at] + rng.choice((1, -1))) % 256
        elif what == 3:
            del made[at : at + rng.randint(1, 4)]
        elif what == 4:
            made[at:at] = bytes(rng.choice(tags) for _ in range(rng.randint(1, 4)))
        elif what == 5:
            made[at:at] = made[rng.randrange(len(made)) :][: rng.randint(1, 20)]
        else:
            del made[at:]
    return bytes(made)
