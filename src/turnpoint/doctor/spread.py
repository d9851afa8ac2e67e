"""How numbers are spread: their least, middle and greatest, and how many there are of each size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_BINS = 24
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How whole numbers are spread.

    Attributes:
        least: the smallest.
        median: not exceeded by half of them; each percentile is one of the numbers.
        p90: not exceeded by 90% of them.
        p99: not exceeded by 99% of them.
        most: the greatest.
        bins: how many fall into each of ranges of equal width from the least to the greatest.
    """

    least: int
    median: int
    p90: int
    p99: int
    most: int
    bins: tuple[int, ...]


def spread(values: Iterable[int]) -> Spread | None:
    """How numbers are spread; None without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    least, most = ordered[0], ordered[-1]
    bins = [0] * min(_BINS, most - least + 1)
    for value in ordered:
        bins[(value - least) * len(bins) // (most - least + 1)] += 1
    return Spread(
        least=least,
        median=_percentile(ordered, 50),
        p90=_percentile(ordered, 90),
        p99=_percentile(ordered, 99),
        most=most,
        bins=tuple(bins),
    )


def drawn(bins: Sequence[int]) -> str:
    """Bins as columns of text, the fullest as high as a line; an empty one is a space."""
    most = max(bins, default=0)
    return "".join(_BLOCKS[-(-count * len(_BLOCKS) // most) - 1] if count else " " for count in bins)


def _percentile(ordered: Sequence[int], percent: int) -> int:
    """By nearest rank: the first number that is not exceeded by `percent` of them."""
    return ordered[-(-len(ordered) * percent // 100) - 1]
