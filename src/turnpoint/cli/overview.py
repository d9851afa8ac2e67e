"""The overview of a data set, as tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from turnpoint.cli.output import print_table
from turnpoint.doctor.overview import Overview, Tokens
from turnpoint.doctor.sides import Side
from turnpoint.doctor.spread import Spread, drawn
from turnpoint.doctor.templates import Features

_PATHS = 8  # shown, the others summed up
_SOURCES = 2  # shown of what is left out


def print_overview(overview: Overview, title: str) -> None:
    """Print what a data set holds."""
    print_table(["overview", ""], list(_facts(overview)), title=title)
    print_table(["", "least", "median", "90%", "99%", "most", "spread, least to most"], list(_spreads(overview.sides)))
    if any(side.decisions for side in overview.sides):
        print_table(*_decisions(overview.sides))
    if overview.query_types:
        print_table(*_paths(overview.sides))
    if overview.tokens is not None:
        print_table(["overflow", "rows kept", "of these shortened", "left out"], list(_fates(overview.tokens)))


def _facts(overview: Overview) -> Iterator[tuple[str, str]]:
    yield "rows", f"{overview.rows}, format {overview.format}"
    yield "amount", overview.experience
    counts = {
        "requests by query type": overview.query_types,
        "rows by rating": overview.ratings,
        "rows by script": overview.scripts,
    }
    yield from ((name, _counted(counted)) for name, counted in counts.items() if counted)
    if (tokens := overview.tokens) is not None:
        share = f" ({tokens.scored / tokens.total:.1%})" if tokens.total else ""
        yield "tokens", f"{tokens.total}, scored {tokens.scored}{share}"
        yield "token tree", _saving(tokens)
        yield "chat template", _template(tokens.template)


def _saving(tokens: Tokens) -> str:
    saving = tokens.saving
    if saving.by_dialogue == saving.plain:
        return f"runs {saving.plain} tokens: no two sequences of a row share any"
    shared = 1 - saving.tree / saving.plain
    more = f"at best {saving.by_dialogue}, {saving.speed_up_by_dialogue:.2f} times fewer"
    return (
        f"runs {saving.tree} tokens instead of {saving.plain}, {saving.speed_up:.2f} times fewer ({shared:.1%} shared);"
        f" with group_by dialogue {more if saving.by_dialogue < saving.tree else 'the same: no two pairs are of one'}"
    )


def _template(features: Features) -> str:
    parts = ("tools", "calls", "results", "system", "reasoning")
    kept = [part for part in parts if getattr(features, part)]
    lost = [part for part in parts if not getattr(features, part)]
    return "; ".join(
        [
            f"shows {', '.join(kept) or 'messages alone'}",
            *([f"leaves out {', '.join(lost)}"] if lost else []),
            f"ends turns with {features.ends}" if features.ends else "ends turns with no token",
            f"the generation prompt is {'' if features.prefix else 'not '}what stands before a turn in training",
        ]
    )


def _spreads(sides: Sequence[Side]) -> Iterator[list[Any]]:
    for side in sides:
        of = "a dialogue" if side.name == "dialogue" else side.name
        if side.turns is not None:
            yield _spread(f"turns of {of}", side.turns)
        if side.tokens is not None and side.tokens.lengths is not None:
            yield _spread(f"tokens of {of}", side.tokens.lengths)


def _spread(name: str, spread: Spread) -> list[Any]:
    return [name, spread.least, spread.median, spread.p90, spread.p99, spread.most, drawn(spread.bins)]


def _decisions(sides: Sequence[Side]) -> tuple[list[str], list[list[Any]]]:
    """How many turns make each decision, and scored tokens of these."""
    columns = ["decision"]
    values: list[Mapping[Any, int]] = []
    for side in sides:
        of = "" if side.name == "dialogue" else f", {side.name}"
        columns.append(f"turns{of}")
        values.append(side.decisions)
        if side.tokens is not None:
            columns.append(f"scored tokens{of}")
            values.append(side.tokens.scored)
    kinds = dict.fromkeys(kind for side in sides for kind in side.decisions)
    return columns, [[kind, *(counts.get(kind, 0) for counts in values)] for kind in kinds]


def _paths(sides: Sequence[Side]) -> tuple[list[str], list[list[Any]]]:
    """How many rows go through each path of states, the most frequent ones."""
    totals: dict[str, int] = {}
    for side in sides:
        for path, count in side.paths.items():
            totals[path] = totals.get(path, 0) + count
    ordered = sorted(totals, key=lambda path: -totals[path])
    rows = [[path, *(side.paths.get(path, 0) for side in sides)] for path in ordered[:_PATHS]]
    if rest := ordered[_PATHS:]:
        rows.append([f"{len(rest)} others", *(sum(side.paths.get(path, 0) for path in rest) for side in sides)])
    heading = "states, 1 initial 2 slots incomplete 3 slots complete 4 waiting for tool 5 complete"
    return [heading, *("rows" if side.name == "dialogue" else side.name for side in sides)], rows


def _fates(tokens: Tokens) -> Iterator[list[Any]]:
    for overflow, fate in tokens.fates.items():
        yield [overflow, fate.kept, _reasons(fate.shortened), _reasons(fate.left_out)]


def _reasons(found: Mapping[str, Sequence[str]]) -> str:
    return (
        "\n".join(
            f"{len(sources)} {reason} ({', '.join(sources[:_SOURCES])}{', …' if len(sources) > _SOURCES else ''})"
            for reason, sources in found.items()
        )
        or "none"
    )


def _counted(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{name}: {count}" for name, count in counts.items())
