"""Token ids as pieces of text that can be shown: a token, or the few tokens that spell one character together."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

from transformers import PreTrainedTokenizerBase

from turnpoint.template.spans import TokenIds

_UNFINISHED = "\ufffd"  # what decoding writes for bytes that are no whole character
_LONGEST = 16  # tokens that are tried as one piece; a character has four bytes, an emoji of several a few more


class Pieces:
    """The distinct pieces of a data set, numbered in the order in which they are first met.

    Args:
        tokenizer: of the model that reads them.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._added = frozenset(tokenizer.added_tokens_decoder)
        # Some decoders strip the space before the first token, so no token is decoded as the first.
        self._before = tokenizer("a", add_special_tokens=False)["input_ids"]
        self._skipped = len(self._decode(self._before))
        self._pieces: list[tuple[int, ...]] = []
        self._numbers: dict[tuple[int, ...], int] = {}
        self._texts: dict[tuple[int, ...], str] = {}

    def numbers(self, input_ids: TokenIds, cuts: Iterable[int] = ()) -> list[int]:
        """The pieces of a sequence.

        Args:
            input_ids: its tokens.
            cuts: indexes of tokens before which a piece ends.
        """
        ids = [int(token) for token in input_ids]
        edges = sorted({0, len(ids), *cuts})
        return [self._number(piece) for start, end in pairwise(edges) for piece in self._split(ids[start:end])]

    def starts(self, numbers: Iterable[int]) -> list[int]:
        """Of each piece of a sequence the index of its first token, and at the end the number of tokens."""
        return list(accumulate((len(self._pieces[number]) for number in numbers), initial=0))

    def ids(self) -> list[list[int]]:
        """The token ids of each piece."""
        return [list(piece) for piece in self._pieces]

    def texts(self) -> list[str]:
        """What each piece says."""
        return [self._text(piece) for piece in self._pieces]

    def added(self) -> list[int]:
        """Numbers of the pieces that the tokenizer takes for units of their own, such as the end of a turn."""
        return [number for number, piece in enumerate(self._pieces) if piece[0] in self._added]

    def _number(self, piece: tuple[int, ...]) -> int:
        if piece not in self._numbers:
            self._numbers[piece] = len(self._pieces)
            self._pieces.append(piece)
        return self._numbers[piece]

    def _split(self, ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
        start = 0
        while start < len(ids):
            end = self._end(ids, start)
            yield tuple(ids[start:end])
            start = end

    def _end(self, ids: Sequence[int], start: int) -> int:
        """Where the piece ends that starts there: after as few tokens as say something whole, or after one."""
        for end in range(start + 1, min(start + _LONGEST, len(ids)) + 1):
            if _UNFINISHED not in self._text(tuple(ids[start:end])):
                return end
            if _UNFINISHED not in self._text((ids[end - 1],)):
                break
        return start + 1

    def _text(self, piece: tuple[int, ...]) -> str:
        if piece not in self._texts:
            self._texts[piece] = self._decode([*self._before, *piece])[self._skipped :]
        return self._texts[piece]

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))
