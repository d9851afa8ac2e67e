"""What enters training: tokenised dialogues and pairs that fit, and why others do not."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.errors import ConfigError, DataError
from turnpoint.template.render import Renderer
from turnpoint.template.spans import TokenizedDialogue, TokenizedPair

Overflow = Literal["drop", "trim_history", "keep_start", "error"]
Record = TypeVar("Record", Dialogue, PreferencePair)
Tokenized = TypeVar("Tokenized", TokenizedDialogue, TokenizedPair)

NOTHING_SCORED = "no scored token"
NO_LABEL = "no label that says whether it was liked"
EQUAL_SIDES = "chosen and rejected are the same tokens"


def fit_dialogues(renderer: Renderer, *, max_length: int | None, overflow: Overflow = "drop") -> "Fit":
    """How dialogues are tokenised and fitted into `max_length` tokens; see `fit_pairs`."""
    _check_settings(max_length, overflow)
    return Fit(renderer.tokenize, _DIALOGUE, max_length, overflow)


def fit_rated(renderer: Renderer, *, max_length: int | None, overflow: Overflow = "drop") -> "Fit":
    """As `fit_dialogues`; dialogues that nobody rated are left out."""
    _check_settings(max_length, overflow)
    return Fit(renderer.tokenize, _RATED, max_length, overflow)


def fit_pairs(renderer: Renderer, *, max_length: int | None, overflow: Overflow = "drop") -> "Fit":
    """How pairs are tokenised and both their sides fitted into `max_length` tokens.

    Args:
        renderer: of the model's tokenizer.
        max_length: most tokens of a side; None for no limit.
        overflow: what happens to a pair with a longer side. `drop` leaves it out; `trim_history` takes the oldest
            exchanges after the system message out of the shared prompt; `keep_start` cuts both sides after
            `max_length` tokens; `error` stops.

    Raises:
        ConfigError: `max_length` or `overflow` cannot be honoured.
    """
    _check_settings(max_length, overflow)
    return Fit(renderer.tokenize_pair, _PAIR, max_length, overflow)


class Fitted(NamedTuple):
    """What became of a dialogue or a pair."""

    tokenized: Any  # TokenizedDialogue or TokenizedPair; None where nothing of it fits
    fault: str | None  # why it does not enter training
    how: str | None  # it lost something to max_length


class _Kind(NamedTuple):
    """What differs between dialogues and pairs."""

    sides: Callable[..., tuple[TokenizedDialogue, ...]]
    map_sides: Callable[..., Any]  # (tokenised, function of a side) -> tokenised
    fault: Callable[..., str | None]
    history: str  # the field that trim_history shortens


class Fit(NamedTuple):
    """How a record is tokenised and made to fit. Made by `fit_dialogues` and `fit_pairs`."""

    tokenize: Callable[..., Any]
    kind: _Kind
    max_length: int | None
    overflow: Overflow

    def __call__(self, record: Dialogue | PreferencePair) -> Fitted:
        """Tokenise a record and make it fit.

        Only what has a scored token enters training; of a pair both sides, after the fork, and sides that differ.

        Raises:
            DataError: it is longer than `max_length` under `overflow="error"`.
            TemplateError: the template cannot render it exactly.
        """
        tokenized, how = self._within_length(record)
        if tokenized is None:
            return Fitted(None, f"longer than max_length {self.max_length}", None)
        return Fitted(tokenized, self.kind.fault(tokenized), how)

    def _within_length(self, record: Any) -> tuple[Any, str | None]:
        """The record in at most `max_length` tokens and how it was shortened; None when it does not fit."""
        tokenized, max_length = self.tokenize(record), self.max_length
        length = _length(tokenized, self.kind)
        if max_length is None or length <= max_length:
            return tokenized, None
        match self.overflow:
            case "drop":
                return None, None
            case "error":
                raise DataError(
                    f"{record.source or record.id}: {length} tokens are more than max_length {max_length};"
                    " raise max_length, or set overflow to drop, trim_history or keep_start"
                )
            case "keep_start":
                cut = self.kind.map_sides(tokenized, partial(keep_start, max_length=max_length))
                return cut, f"cut after max_length {max_length} tokens"
            case "trim_history":
                trimmed = _trimmed(record, self.tokenize, self.kind, max_length)
                return trimmed, f"history trimmed to max_length {max_length}"


def _trimmed(record: Record, tokenize: Callable[[Record], Tokenized], kind: _Kind, max_length: int) -> Tokenized | None:
    """The record without as few of its oldest exchanges as make it fit; None when even all are not enough.

    Turns keep the message index of the whole record.
    """
    messages: tuple[Message, ...] = getattr(record, kind.history)
    head = int(messages[0].role == "system")
    starts = [i for i in range(head, len(messages)) if messages[i].role == "user"][1:]
    for start in [] if record.verbatim else starts:
        shorter = record.model_copy(update={kind.history: messages[:head] + messages[start:]})
        tokenized = tokenize(shorter)
        if _length(tokenized, kind) <= max_length:
            trimmed: Tokenized = kind.map_sides(tokenized, partial(_moved, by=start - head))
            return trimmed
    return None


def _length(tokenized: TokenizedDialogue | TokenizedPair, kind: _Kind) -> int:
    return max(len(side.input_ids) for side in kind.sides(tokenized))


def keep_start(side: TokenizedDialogue, max_length: int | None) -> TokenizedDialogue:
    """The first tokens of a side; an image that does not fit whole is cut off with all that follows it."""
    if max_length is None or len(side.input_ids) <= max_length:
        return side
    max_length = next((image.start for image in side.images if image.start < max_length < image.end), max_length)
    turns = (turn._replace(end=min(turn.end, max_length)) for turn in side.turns if turn.start < max_length)
    images = (image for image in side.images if image.end <= max_length)
    return side._replace(input_ids=side.input_ids[:max_length], turns=tuple(turns), images=tuple(images))


def _moved(side: TokenizedDialogue, by: int) -> TokenizedDialogue:
    return side._replace(turns=tuple(turn._replace(message=turn.message + by) for turn in side.turns))


def _map_pair(pair: TokenizedPair, change: Callable[[TokenizedDialogue], TokenizedDialogue]) -> TokenizedPair:
    return pair._replace(chosen=change(pair.chosen), rejected=change(pair.rejected))


def _dialogue_fault(dialogue: TokenizedDialogue) -> str | None:
    return None if dialogue.scored() else NOTHING_SCORED


def _rated_fault(dialogue: TokenizedDialogue) -> str | None:
    return NO_LABEL if dialogue.label is None else _dialogue_fault(dialogue)


def _pair_fault(pair: TokenizedPair) -> str | None:
    for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if not side.scored(pair.shared_turns):
            return f"{NOTHING_SCORED} on the {name} side"
    return EQUAL_SIDES if _read(pair.chosen) == _read(pair.rejected) else None


def _read(side: TokenizedDialogue) -> tuple[Any, ...]:
    """What the model reads."""
    return side.input_ids, side.images


_DIALOGUE = _Kind(lambda dialogue: (dialogue,), lambda dialogue, change: change(dialogue), _dialogue_fault, "messages")
_RATED = _DIALOGUE._replace(fault=_rated_fault)
_PAIR = _Kind(lambda pair: (pair.chosen, pair.rejected), _map_pair, _pair_fault, "prompt")


def _check_settings(max_length: int | None, overflow: str) -> None:
    if overflow == "keep_end":
        raise ConfigError(
            "overflow: keep_end would cut off the system message and the tools (got 'keep_end');"
            " use trim_history, which takes out the oldest exchanges"
        )
    if overflow not in get_args(Overflow):
        raise ConfigError(f"overflow: must be one of {', '.join(get_args(Overflow))} (got {overflow!r})")
    if max_length is not None and max_length < 2:
        raise ConfigError(f"max_length: must be at least 2 tokens, or null for no limit (got {max_length})")
