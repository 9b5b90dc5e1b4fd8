"""A fleet is a mix of kinds: which device is of which kind follows from the shares alone, so that it never changes."""

from collections.abc import Iterator

_HIGHEST_SHARE = 1_000_000


def parse_mix(text: str) -> dict[str, int]:
    """Read `anjay=30,zephyr=70`, shares of any sum, or one name alone. Raises ValueError, saying what is wrong."""
    shares: dict[str, int] = {}
    for part in text.split(","):
        name, separator, share = (word.strip() for word in part.partition("="))
        if not name:
            raise ValueError(f"{text!r} names no profile, or one too few")
        if name in shares:
            raise ValueError(f"{text!r} names {name} twice")
        if not separator:
            share = "1"
        if not (share.isascii() and share.isdecimal() and 0 < int(share[:9]) <= _HIGHEST_SHARE):
            raise ValueError(f"the share of {name} is a whole number from 1, not {share!r}")
        shares[name] = int(share)
    return shares


def shared_out(shares: dict[str, int], count: int) -> Iterator[str]:
    """Yield `count` names, at each moment as many of each as its share asks for, to within one."""
    total = sum(shares.values())
    behind = dict.fromkeys(shares, 0)
    for _ in range(count):
        for name, share in shares.items():
            behind[name] += share
        chosen = max(behind, key=behind.__getitem__)
        behind[chosen] -= total
        yield chosen
