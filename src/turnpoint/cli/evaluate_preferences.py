"""`turnpoint evaluate preferences MODEL DATA`: how a trained model ranks pairs, by its implicit rewards."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from peft import PeftConfig

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import on_device, open_processing_class, open_weights, say
from turnpoint.cli.options import Verb, fields_of
from turnpoint.cli.output import print_json, print_table, writable, write_json
from turnpoint.data import load_pairs
from turnpoint.errors import CheckpointError, ConfigError
from turnpoint.evaluation import PreferenceReport
from turnpoint.evaluation.fitted import notes_on_left_out
from turnpoint.objectives import Objective
from turnpoint.training import DPOConfig, evaluate_preferences
from turnpoint.training.preferences import check_reference
from turnpoint.training.run_folder import started_from

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SETTINGS = (
    *("loss_type", "loss_weights", "reduction", "beta", "gamma", "margin", "label_smoothing"),
    *("f_divergence_type", "f_alpha_divergence_coef", "ld_alpha", "rpo_alpha"),
    *("discopop_tau", "dpop_lambda", "cpo_alpha", "slic_lambda"),
    *("turns_from", "max_length", "overflow", "max_tokens_per_row"),
)


@dataclass(frozen=True, kw_only=True)
class PreferenceOptions(OutputOptions):
    """What to measure against."""

    reference: str | None = field(
        default=None,
        metadata={
            "help": "model to measure against: hub name, folder, .gguf file, or demo; null: of a run folder the model"
            " that the run started from, of an adapter the model below it, and none where the loss reads none"
        },
    )
    output: str | None = field(default=None, metadata={"help": "JSON file for everything, each pair included"})


VERB = Verb(
    name="evaluate preferences",
    about=(
        "Measure how a trained model ranks the sides of pairs: accuracy, rewards, margins and log-probs, and whether it"
        " goes by length. By kind of pair and by file, where there are several. The numbers are those of an evaluation"
        " of `turnpoint dpo` with the same reference and settings."
    ),
    groups={
        "Measure": PreferenceOptions,
        "Objective": fields_of(DPOConfig, *_SETTINGS),
        "Model": ModelOptions,
        "Data": DataOptions,
    },
    positional=("model", "dataset"),
)


def run(given: Given) -> None:
    """Measure and print the tables."""
    options, config, data = given.build(PreferenceOptions), given.build(DPOConfig), given.build(DataOptions)
    models, output = given.build(ModelOptions), writable(options.output, "--output")
    pairs, notes = load_pairs(data.dataset, **data.arguments())
    for note in notes:
        say(note)
    processing_class = open_processing_class(models)
    against = _reference(options.reference, models.model, config.objective)
    model = on_device(open_weights(models), models)
    report = evaluate_preferences(
        model,
        processing_class,
        pairs,
        reference=None if against is None else _opened(against, models, stated=options.reference is not None),
        objective=config.objective,
        turns_from=config.turns_from,
        max_length=config.max_length,
        overflow=config.overflow,
        max_tokens_per_row=config.max_tokens_per_row,
        progress="preferences",
    )
    for line in notes_on_left_out(report.left_out):
        say(line)
    if output is not None:
        write_json(output, report.as_dict(), "--output")
    if options.json:
        print_json(report.as_dict())
    else:
        _print(report)


def _reference(stated: str | None, model: str, objective: Objective) -> str | None:
    """The name of the model to measure against; None for the model itself with its adapter off, and for nothing.

    Raises:
        ConfigError: one is needed and nothing says which, or the user names one that nothing reads.
    """
    if stated is not None or not objective.needs_reference:
        check_reference(objective, given=stated is not None)
        return stated
    start = started_from(Path(model))
    base = _base_of_adapter(model)
    if base is not None and (start is None or _base_of_adapter(start) != base):
        say(f"reference: {base}, below the adapter of {model}")
        return None
    if start is not None:
        say(f"reference: {start}, from which the run of {model} started ({Path(model) / 'config.yaml'})")
    elif base is None and Path(model).is_dir():
        check_reference(objective, given=False)
    return start


def _base_of_adapter(folder: str) -> str | None:
    """The model below the adapter of a folder; None where it holds none."""
    if not (Path(folder) / "adapter_config.json").is_file():
        return None
    return str(PeftConfig.from_pretrained(folder).base_model_name_or_path)


def _opened(reference: str, models: ModelOptions, *, stated: bool) -> "PreTrainedModel":
    options = replace(models, model=reference, revision=None)
    try:
        return on_device(open_weights(options), options)
    except CheckpointError as error:
        if stated:
            raise
        raise ConfigError(
            f"reference: {reference}, which config.yaml of {models.model} says that the run started from, cannot be"
            f" loaded ({error}); give --reference"
        ) from error


def _print(report: PreferenceReport) -> None:
    columns = ("pairs", "rewards/accuracies", "rewards/chosen", "rewards/rejected", "rewards/margins", "length_bias")
    rows = [[name, _shown(value)] for name, value in (report.means.metrics() | {"loss": report.loss}).items()]
    print_table(["metric", "value"], rows, title=f"preferences, {len(report.pairs)} pairs")
    for name, groups in (("kind", report.by_kind), ("file", report.by_file)):
        if len(groups) > 1:
            of_groups = [(each or "-", {"pairs": means.pairs} | means.metrics()) for each, means in groups.items()]
            values = [[each, *(_shown(metrics[column]) for column in columns)] for each, metrics in of_groups]
            print_table([name, *columns], values, title=f"by {name}")


def _shown(value: float | None) -> float | str:
    return "-" if value is None else value
