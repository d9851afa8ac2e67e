"""The model card of a run: what was trained on what, how, and how to load it."""

import importlib.metadata
from typing import Any, NamedTuple

import yaml

from turnpoint.models import Loader
from turnpoint.training.data_report import DataReport, in_words

_TITLES = {"sft": "supervised fine-tuning", "reward": "reward modelling", "dpo": "preference optimisation"}
_SETTINGS = (
    "loss_type",
    "reduction",
    "beta",
    "gamma",
    "margin",
    "label_smoothing",
    "center_rewards_coefficient",
    "turns_from",
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_length",
    "bf16",
    "seed",
)
_METRICS = ("loss", "eval_loss", "rewards/accuracies", "rewards/margins", "eval_rewards/accuracies")
_LIBRARIES = ("turnpoint", "transformers", "torch", "peft")


class RunFacts(NamedTuple):
    """What a run folder says of the run."""

    stage: str
    model: str
    settings: dict[str, Any]
    adapter: bool
    by: Loader
    log: list[dict[str, Any]]


def model_card(facts: RunFacts, report: DataReport) -> str:
    """Markdown with the front matter of the hub."""
    head: dict[str, Any] = {
        "base_model": facts.model,
        "library_name": "peft" if facts.adapter else "transformers",
        "pipeline_tag": facts.by.task,
        "tags": ["turnpoint", facts.stage],
    }
    kind = "An adapter" if facts.adapter else "A model"
    sections = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {_TITLES[facts.stage].capitalize()} of {facts.model}",
        f"{kind} trained by turnpoint: {_TITLES[facts.stage]} of `{facts.model}`.",
        "## Data\n\n" + _data(report),
        "## Settings\n\n" + _bullets({name: facts.settings[name] for name in _SETTINGS if name in facts.settings}),
        "All of them are in `config.yaml`.",
    ]
    if last := _last_values(facts.log):
        sections.append("## Last metrics\n\n" + _bullets(last) + "\n\nAll of them are in `metrics.jsonl`.")
    sections += ["## Loading\n\n" + _loading(facts), _versions()]
    return "\n\n".join(sections) + "\n"


def _data(report: DataReport) -> str:
    lines = [
        f"- {split}: {each.kept} of {each.read} records of `{each.source}`; left out {in_words(each.left_out)};"
        f" shortened {in_words(each.shortened)}"
        for split, each in report.splits.items()
    ]
    return "\n".join([*lines, *(f"- {note}" for note in report.general)]) or "- none"


def _bullets(values: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def _last_values(log: list[dict[str, Any]]) -> dict[str, str]:
    merged = {name: value for entry in log for name, value in entry.items()}
    return {name: f"{merged[name]:.4g}" for name in _METRICS if name in merged}


def _loading(facts: RunFacts) -> str:
    by = facts.by
    imports = sorted([f"from {by.library} import {by.model}", f"from transformers import {by.processing}"])
    name = by.processing.removeprefix("Auto").lower()
    return (
        "```python\n" + "\n".join(imports) + "\n\n"
        f"model = {by.code('path/to/this/folder')}\n"
        f'{name} = {by.processing}.from_pretrained("path/to/this/folder")\n```'
    )


def _versions() -> str:
    found = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return f"Made with {', '.join(found)}."
