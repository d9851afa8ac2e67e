"""Rates of a run, and differences between two runs, as tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from turnpoint.cli.output import print_table

if TYPE_CHECKING:
    from turnpoint.evaluation.bootstrap import Estimate
    from turnpoint.evaluation.measured import Measured
    from turnpoint.evaluation.results import Difference


def print_rates(measured: "Measured", seed: int, title: str) -> None:
    """Print each rate with its interval, and what else the benchmark reports."""
    from turnpoint.evaluation.rates import percent

    report = measured.report
    columns: dict[str, dict[str, str]] = {
        "turns": {str(kind): str(count) for kind, count in report.counts().items()},
        "passed": dict(report.rows()),
        "95% interval": {name: _interval(found) for name, found in report.intervals(seed).items()},
    }
    content = {str(kind): percent(report.with_content(kind)) for kind in report.kinds}
    if set(content.values()) != {"-"} and not measured.strict:
        columns["content right too"] = content
    for name, other in measured.other_columns().items():
        columns[name] = dict(other.rows())
    names = [*map(str, report.kinds), "micro", "macro"]
    rows = [[name, *(column.get(name, "") for column in columns.values())] for name in names]
    print_table(["decision" if measured.benchmark is None else "category", *columns], rows, title=title)
    if figures := measured.figures():
        print_table(["also", ""], [[name, percent(value)] for name, value in figures.items()])


def print_differences(differences: "Sequence[Difference]", title: str) -> None:
    """Print how two models differ on the same turns."""
    from turnpoint.evaluation.rates import percent

    rows = [
        [
            each.name,
            percent(each.before),
            percent(each.after),
            f"{100 * each.moved.value:+.1f}",
            _interval(each.moved, sign="+"),
            f"{each.won} / {each.lost}",
            "" if each.p is None else f"{each.p:.3g}",
        ]
        for each in differences
    ]
    columns = ["", "before", "now", "points", "95% interval", "won / lost", "p (McNemar)"]
    print_table(columns, rows, title=title)


def _interval(found: "Estimate", sign: str = "") -> str:
    return f"[{100 * found.low:{sign}.1f}, {100 * found.high:{sign}.1f}]"
