"""Curves of a run, as PNG."""

import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from turnpoint.errors import CheckpointError


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
