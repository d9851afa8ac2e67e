"""What the ways to make pairs have in common: the file, and the count of what gave none."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from turnpoint.cli.loading import say
from turnpoint.cli.output import print_json, print_table
from turnpoint.data import write_pairs
from turnpoint.dialogue import PreferencePair
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs import Built


def write(pairs: Sequence[PreferencePair], output: str) -> None:
    """Write pairs, the folder of their file too where it is missing.

    Raises:
        ConfigError: the file cannot be written.
    """
    file = Path(output).expanduser()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_pairs(pairs, file)
    except OSError as error:
        raise ConfigError(f"--output: cannot write {file}: {error.strerror}; check the path") from None


def write_and_count(built: Built, output: str, of: str, *, json: bool) -> None:
    """Write pairs and say how many there are, of what, and what gave none.

    Raises:
        ConfigError: the file cannot be written.
        DataError: there is no pair.
    """
    if not built.pairs:
        reasons = "; ".join(f"{reason} ({times})" for reason, times in built.not_possible.most_common(3))
        raise DataError(f"{of}: no pair can be made of it: {reasons}")
    write(built.pairs, output)
    if json:
        print_json({"output": output, "pairs": len(built.pairs), "left_out": built.not_possible})
        return
    print_table(["of", "pairs"], [[of, len(built.pairs)]], title=output)
    say_left_out(built)


def say_left_out(built: Built) -> None:
    """A line for each reason why something gave no pair."""
    reasons = Counter[str]()
    for reason, times in built.not_possible.items():
        reasons[reason.partition(": ")[2]] += times
    for reason, times in reasons.most_common():
        say(f"left out {times}: {reason}")
