"""Curves of a run, and confusion matrices of decisions, as PNG."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from turnpoint.errors import CheckpointError

_DECISIONS = ("call", "slot", "relevance", "completion")
_DARK = 0.5  # share of a row from which the shade asks for white numbers


def plot_rewards(metrics: Path, output: Path) -> None:
    """Draw rewards and margins over optimiser steps.

    Args:
        metrics: `metrics.jsonl` of a preference run.
        output: PNG to write.

    Raises:
        CheckpointError: the file cannot be read, or holds no rewards.
    """
    try:
        rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{metrics}: cannot be read as metrics ({error})") from error
    rows = [row for row in rows if "rewards/margins" in row]
    if not rows:
        raise CheckpointError(f"{metrics}: holds no rewards/margins; give the metrics.jsonl of a preference run")
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(9, 3.7), layout="constrained")
    FigureCanvasAgg(figure)
    rewards, margins = figure.subplots(1, 2)
    for name, colour in (("chosen", "tab:green"), ("rejected", "tab:red")):
        rewards.plot(steps, [row[f"rewards/{name}"] for row in rows], color=colour, label=name)
    margins.plot(steps, [row["rewards/margins"] for row in rows], color="tab:blue", label="margin")
    accuracy = margins.twinx()
    accuracy.plot(steps, [row["rewards/accuracies"] for row in rows], color="tab:gray", alpha=0.6, label="accuracy")
    accuracy.set(ylim=(0, 1.02), ylabel="share of pairs ranked rightly")
    rewards.set(title="rewards", xlabel="optimiser step", ylabel="β · score of log-ratios (nats)")
    margins.set(title="margin and accuracy", xlabel="optimiser step", ylabel="margin (nats)")
    for axes in (rewards, margins):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 2, "frameon": False}
    rewards.legend(**below)
    margins.legend(handles=[*margins.lines, *accuracy.lines], **below)
    figure.savefig(output, dpi=120)


def plot_confusion(confusion: Mapping[str, Mapping[str, int]], output: Path, *, title: str = "") -> None:
    """Draw what was decided where what was due: a row for each kind that has turns, shaded by its share of the row.

    Args:
        confusion: for each kind, how often the model did what (`DecisionReport.confusion`).
        output: PNG to write.
        title: of the plot.
    """
    due = {kind: counts for kind, counts in confusion.items() if counts}
    decided = list(dict.fromkeys([*(kind for kind in _DECISIONS), *(kind for row in due.values() for kind in row)]))
    counts = np.array([[row.get(kind, 0) for kind in decided] for row in due.values()])
    shares = counts / counts.sum(1, keepdims=True)
    figure = Figure(figsize=(2.4 + len(decided), 1.6 + 0.55 * len(due)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i, j] > _DARK else "black")
    turns = counts.sum(1)
    axes.set_xticks(range(len(decided)), [kind.replace(" ", "\n") for kind in decided])
    axes.set_yticks(range(len(due)), [f"{kind} (n={count})" for kind, count in zip(due, turns, strict=True)])
    axes.set(xlabel="decided", ylabel="due", title=title)
    figure.savefig(output, dpi=120)
