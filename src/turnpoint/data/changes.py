"""What reading changed of the data, counted: nothing is altered silently."""

from collections import Counter
from collections.abc import Collection, Iterable


class Changes:
    """Counts, per kind of change, how often it happened and in how many rows.

    Attributes:
        broken: of each row that was left out because it breaks a rule, where it stands and which rule.
    """

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._last_row: dict[str, str] = {}
        self._lines: list[str] = []
        self.broken: list[str] = []

    def say(self, line: str) -> None:
        """Note what is no matter of rows, such as a file that was left out."""
        self._lines.append(line)

    def drop(self, reason: str) -> None:
        """Count a row that is left out because it breaks a rule."""
        self.broken.append(reason)

    def add(self, what: str, where: str, times: int = 1) -> None:
        """Count `times` changes of the kind `what` in the row at `where`; rows are read one after the other."""
        if times:
            self._times[what] += times
            self._rows[what] += self._last_row.get(what) != where
            self._last_row[what] = where

    def dropped(self, of: str, keys: Iterable[str], known: Collection[str], where: str) -> None:
        """Count each of `keys` that is not `known` as dropped."""
        for key in keys:
            if key not in known:
                self.add(f"dropped {of} key {key!r}", where)

    def merge(self, other: "Changes") -> None:
        """Add what was counted in other rows."""
        self._lines += other._lines
        self._times.update(other._times)
        self._rows.update(other._rows)
        self.broken += other.broken

    def notes(self) -> tuple[str, ...]:
        """One line per kind of change, in the order of first appearance."""
        counted = tuple(
            f"{what}: {times} in {self._rows[what]} {'row' if self._rows[what] == 1 else 'rows'}"
            for what, times in self._times.items()
        )
        dropped = [
            f"left out rows that break a rule: {len(self.broken)}, the first: {each}" for each in self.broken[:1]
        ]
        return (*self._lines, *dropped, *counted)
