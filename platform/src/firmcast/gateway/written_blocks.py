"""Smaller blocks are written to a device where the first of the larger ones was never answered.

A datagram may be too large for the buffer of a device, or for the network before it. Nothing says so: it is lost each
time that it is sent, while smaller ones arrive.
"""

from typing import Final

SMALLEST: Final = 3
"""SZX of blocks of 128 bytes: clients that take none as large say so."""


def next_exponent(tried: int, largest: int) -> int:
    """Return the SZX to write with after a first block at `tried` found no answer.

    After the smallest comes `largest` again: then it was not for their size.
    """
    return tried - 1 if tried > SMALLEST else largest
