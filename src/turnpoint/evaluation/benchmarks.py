"""The table of benchmarks: whose items are read how, and by which rules replies to them are judged."""

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Literal, NamedTuple

from turnpoint.data import Source
from turnpoint.data.reading import Opened
from turnpoint.data.rows import Row
from turnpoint.dialogue import Dialogue
from turnpoint.errors import DataError
from turnpoint.evaluation import bfcl, functionchat, when2call
from turnpoint.evaluation.graders import Grader, by_decision
from turnpoint.evaluation.items import KINDS, DecisionItem, drawn
from turnpoint.evaluation.rates import DecisionReport

Name = Literal["functionchat", "bfcl", "when2call"]
_ReadRow = Callable[[Row, Opened], Iterable[DecisionItem]]


class Benchmark(NamedTuple):
    """One benchmark.

    Attributes:
        formats: of the files that hold it.
        read: makes items of rows.
        grade: judges a reply.
        forgives: whether a second column forgives a sensible question where a call is due.
        further: what else the benchmark reports, by name.
    """

    formats: tuple[str, ...]
    read: Callable[[Opened], Iterator[DecisionItem]]
    grade: Grader
    forgives: bool = False
    further: Callable[[DecisionReport], dict[str, float | None]] | None = None


class Loaded(NamedTuple):
    """Items of a benchmark."""

    items: list[DecisionItem]
    kinds: tuple[str, ...]
    notes: tuple[str, ...]


def load_items(name: Name, source: Source, *, per_kind: int | None = None, seed: int = 0) -> Loaded:
    """The items of a benchmark's files.

    Args:
        name: of the benchmark.
        source: its file or folder.
        per_kind: items of each category at most, drawn at random; None takes all.
        seed: of the draw.

    Raises:
        ConfigError: `per_kind` is not positive.
        DataError: the files are of something else, or break a rule.
    """
    opened = open_benchmark(name, source)
    items = list(BENCHMARKS[name].read(opened))
    found = dict.fromkeys(item.kind for item in items)
    kinds = tuple(sorted(found, key=lambda kind: KINDS.index(kind) if kind in KINDS else len(KINDS)))
    # The readers for training leave these unread; here they are read.
    notes = tuple(note for note in opened.changes.notes() if "acceptable_arguments" not in note)
    return Loaded(drawn(items, kinds, per_kind, Random(seed)), kinds, notes)


def open_benchmark(name: Name, source: Source) -> Opened:
    """Begin to read files of a benchmark.

    Raises:
        DataError: they are of something else.
    """
    opened = source.open()
    if opened.format not in BENCHMARKS[name].formats:
        formats = ", ".join(BENCHMARKS[name].formats)
        raise DataError(f"{source.name}: is of format {opened.format}; --benchmark {name} reads {formats}")
    return opened


def _by_row(read: _ReadRow) -> Callable[[Opened], Iterator[DecisionItem]]:
    def read_all(opened: Opened) -> Iterator[DecisionItem]:
        return (item for row in opened.rows for item in read(row, opened))

    return read_all


def _dialogue(row: Row, opened: Opened) -> Dialogue | None:
    found = opened.read(row, opened.changes)
    return found if isinstance(found, Dialogue) else None


def _functionchat(row: Row, opened: Opened) -> Iterable[DecisionItem]:
    dialogue = _dialogue(row, opened)
    return () if dialogue is None else functionchat.read_items(row, dialogue)


def _bfcl(row: Row, opened: Opened) -> Iterable[DecisionItem]:
    if row.parsed().get("involved_classes") is not None:
        return bfcl.read_missing_turns(row)
    dialogue = _dialogue(row, opened)
    return () if dialogue is None else bfcl.read_items(row, dialogue)


def _when2call(opened: Opened) -> Iterator[DecisionItem]:
    return (question.item for question in when2call.questions(opened.rows, opened.changes))


BENCHMARKS: dict[Name, Benchmark] = {
    "functionchat": Benchmark(
        ("functionchat-dialog", "functionchat-decision", "functionchat-call"),
        _by_row(_functionchat),
        functionchat.grade,
        forgives=True,
    ),
    "bfcl": Benchmark(("bfcl",), _by_row(_bfcl), bfcl.grade),
    "when2call": Benchmark(("when2call",), _when2call, by_decision, further=when2call.further_figures),
}
