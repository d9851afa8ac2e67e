"""Rates of several models side by side."""

from collections.abc import Mapping

from rich.table import Table

from turnpoint.evaluation import DecisionReport


def comparison(reports: Mapping[str, DecisionReport]) -> Table:
    """A table with a row for each model and a column for each rate; the heading tells how many turns each stands on."""
    table = Table()
    table.add_column("model")
    for heading in _headings(reports):
        table.add_column(heading, justify="right")
    for name, report in reports.items():
        table.add_row(name, *(value for _, value in report.rows()))
    return table


def markdown(reports: Mapping[str, DecisionReport]) -> str:
    """The same as a Markdown table."""
    headings = ["model", *(heading.replace("\n", " ") for heading in _headings(reports))]
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)]]
    lines += [[name, *(value for _, value in report.rows())] for name, report in reports.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _headings(reports: Mapping[str, DecisionReport]) -> list[str]:
    first = next(iter(reports.values()))
    counts = {str(kind): count for kind, count in first.counts().items()}
    return [f"{name}\n(n={counts[name]})" if name in counts else name for name, _ in first.rows()]
