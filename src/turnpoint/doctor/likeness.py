"""Texts that are nearly the same, found among many in time that grows with their number.

The pieces of a text are its overlapping runs of bytes; the likeness of two texts is the share of their pieces that both
have (Jaccard). Sets of pieces are compared by one-permutation MinHash (Li, Owen, Zhang, arXiv 1208.1259): of each of
equal ranges of hashes the least, an empty range taking that of the next one (Shrivastava, Li, ICML 2014). Texts whose
least hashes agree over a whole band of ranges are candidates, and the best of these are compared exactly. A band of r
ranges agrees with probability J^r, one of b bands with 1 - (1 - J^r)^b: .95 for J = .8, .9995 for J = .9, .15 for
J = .5. So a few that are only just near are missed, and what is reported is exact.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from turnpoint.doctor.finding import Place

NEAR = 0.8  # likeness from which two texts are nearly the same
_BANDS, _RANGES = 10, 6  # b bands of r ranges
_HALF = 8  # bytes, half a piece
# What bounds the work where texts by the thousand are somewhat alike:
_KEPT = 8  # texts of one key of a band
_PROMISING = 0.65  # share of least hashes in common: three standard deviations, of b * r, below what is sought
_KEPT_PIECES = 2048  # texts whose pieces are kept ready
_COMPARED = 2  # candidates that are compared exactly, the most promising first
_EDGES = np.arange(_BANDS * _RANGES, dtype=np.uint64) * np.uint64(2**64 // (_BANDS * _RANGES))
_ODD = np.uint64(0x9E3779B97F4A7C15)
_WEIGHTS = np.arange(1, 2 * _RANGES, 2, dtype=np.uint64) * _ODD

Pieces = NDArray[np.uint64]  # [P], hashes, increasing, each once


class Text(NamedTuple):
    """A text to compare, where it is, and what makes it another row of one thing, which is not news."""

    source: str
    text: str
    group: str = ""


class Like(NamedTuple):
    """The text that another one is like, and how much."""

    source: str
    likeness: float


class Texts:
    """Texts that others are compared with."""

    def __init__(self) -> None:
        self._texts: list[Text] = []
        self._least: list[Pieces] = []  # of each text, [b * r]
        self._bands: list[dict[int, list[int]]] = [{} for _ in range(_BANDS)]

    def like(self, text: Text, pieces: Pieces) -> Like | None:
        """A text here, of another group, that is nearly the same as the one given; None where none is found."""
        least = _least(pieces)
        candidates = {i for band, key in zip(self._bands, _keys(least), strict=True) for i in band.get(key, ())}
        others = sorted(i for i in candidates if not text.group or self._texts[i].group != text.group)
        if not others:
            return None
        agreeing = (np.stack([self._least[i] for i in others]) == least).mean(axis=1)  # estimates the likeness
        for i in np.argsort(-agreeing, kind="stable")[:_COMPARED]:
            other = self._texts[others[i]]
            if agreeing[i] >= _PROMISING and (found := likeness(pieces, _kept(other.text))) >= NEAR:
                return Like(other.source, found)
        return None

    def add(self, text: Text, pieces: Pieces) -> None:
        """Compare with this text from now on."""
        least = _least(pieces)
        for band, key in zip(self._bands, _keys(least), strict=True):
            found = band.setdefault(key, [])
            if len(found) < _KEPT:
                found.append(len(self._texts))
        self._texts.append(text)
        self._least.append(least)


def near_repeats(texts: Iterable[Text]) -> list[Place]:
    """Texts that are nearly the same as an earlier one, but not equal to one, with that and the likeness."""
    known = Texts()
    seen: set[tuple[str, str]] = set()
    found = []
    for text in texts:
        if (text.text, text.group) in seen:
            continue
        seen.add((text.text, text.group))
        pieces = pieces_of(text.text)
        if like := known.like(text, pieces):
            found.append(Place(text.source, f" ({like.likeness:.0%} as {like.source})"))
        else:
            known.add(text, pieces)
    return found


def likeness(one: Pieces, other: Pieces) -> float:
    """The share of the pieces of two texts that both have."""
    together = np.sort(np.concatenate([one, other]), kind="stable")  # which merges two sorted runs in one go
    both = int((together[1:] == together[:-1]).sum())
    return both / (len(one) + len(other) - both)


def pieces_of(text: str) -> Pieces:
    """Hashes of the runs of 16 bytes of a text, case and white space made alike; a shorter text is one run."""
    data = " ".join(text.lower().split()).encode(errors="surrogatepass").ljust(2 * _HALF)
    windows = sliding_window_view(np.frombuffer(data, np.uint8), _HALF)
    halves = _mixed(np.ascontiguousarray(windows).view(np.uint64).ravel())
    hashes: Pieces = np.sort(_mixed(halves[:-_HALF] * _ODD ^ halves[_HALF:]))
    first = np.append(True, hashes[1:] != hashes[:-1])
    return np.asarray(hashes[first], np.uint64)


@lru_cache(_KEPT_PIECES)
def _kept(text: str) -> Pieces:
    """The pieces of a text that others are compared with, which is often the same one."""
    return pieces_of(text)


def _least(pieces: Pieces) -> Pieces:
    """The least hash of each range, [b * r]."""
    # Of sorted hashes the first from the edge of a range on; where the range is empty, that is the one of the next.
    return np.asarray(pieces[np.searchsorted(pieces, _EDGES) % len(pieces)], np.uint64)


def _keys(least: Pieces) -> list[int]:
    """A number for the least hashes of each band, [b]."""
    keys: list[int] = (least.reshape(_BANDS, _RANGES) * _WEIGHTS).sum(axis=1).tolist()
    return keys


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers spread over all of 64 bits, each to one of its own (SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
