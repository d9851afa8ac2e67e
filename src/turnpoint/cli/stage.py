"""What `sft`, `reward` and `dpo` have in common: load data and model, train, save, say what to do with the result."""

from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

from turnpoint.cli.given import Given
from turnpoint.cli.groups import AdapterOptions, ModelOptions, OutputOptions, TrainingDataOptions
from turnpoint.cli.loading import adapter, open_processing_class, open_weights, say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import print_json, print_table
from turnpoint.data import Source
from turnpoint.progress import bars_of_transformers
from turnpoint.training.configs import StageConfig
from turnpoint.training.records import Tokenized
from turnpoint.training.trainer import StageTrainer


class Stage(NamedTuple):
    """A stage's settings, what trains it, and what to do with `{output}` then."""

    config: type[StageConfig]
    trainer: type[StageTrainer[Any]]
    then: str = "Chat with it:  turnpoint chat {output}"


def verb(name: str, about: str, config: type[StageConfig]) -> Verb:
    """The verb of a stage: its own fields first, those of the transformers Trainer last."""
    return Verb(
        name=name,
        about=about,
        groups={
            "Data": TrainingDataOptions,
            "Model": ModelOptions,
            "Adapter": AdapterOptions,
            "Stage": config,
            "Results": OutputOptions,
        },
        positional=("dataset",),
        defaults={"output_dir": f"runs/{name}"},
    )


@bars_of_transformers()
def run_stage(given: Given, stage: Stage) -> None:
    """Train a stage. What is quick to check is checked before what is slow to load."""
    config = given.build(stage.config)
    peft_config = adapter(given)
    data = given.build(TrainingDataOptions)
    config.check_beside(peft_config, data.eval_dataset)
    if data.streaming:
        config.check_stream()
    sources = _sources(data)
    for source in sources.values():
        source.open(stage.trainer.kind_of(config).record)
    model_options = given.build(ModelOptions)
    processing_class = open_processing_class(model_options)
    tokenized = {part: _tokenize(stage, source, processing_class, config) for part, source in sources.items()}
    model = open_weights(model_options, partial(stage.trainer.load, config=config))
    trainer = stage.trainer(
        model=model,
        args=config,
        train_dataset=tokenized["train"],
        eval_dataset=tokenized.get("eval"),
        processing_class=processing_class,
        peft_config=peft_config,
    )
    trainer.run_settings = _settings(data, model_options, given.build(AdapterOptions))
    result = trainer.train(resume_from_checkpoint=config.resume_from_checkpoint)
    metrics = _last_log(trainer.state.log_history) | result.metrics
    if "eval" in tokenized:
        metrics |= trainer.evaluate()
    trainer.save_model()
    if given.build(OutputOptions).json:
        print_json({"output": str(config.output_dir), "metrics": metrics})
        return
    print_table(["metric", "value"], sorted(metrics.items()), title=str(config.output_dir))
    by = trainer.loader()
    if by.processing == "AutoTokenizer":
        print(stage.then.format(output=config.output_dir))
    print(f"Load it:       from {by.library} import {by.model}; model = {by.code(str(config.output_dir))}")


def _sources(data: TrainingDataOptions) -> dict[str, Source]:
    train = Source(data.dataset, streaming=data.streaming, **data.arguments())
    if data.eval_dataset is None:
        return {"train": train}
    return {"train": train, "eval": replace(train, origin=data.eval_dataset, streaming=False)}


def _tokenize(stage: Stage, source: Source, processing_class: Any, config: StageConfig) -> Tokenized | Source:
    if source.streams:
        return source
    found = stage.trainer.tokenize(source, processing_class, config)
    say(f"{source.name}: {found.facts.read} rows")
    return found


def _settings(data: TrainingDataOptions, model: ModelOptions, adapter: AdapterOptions) -> dict[str, Any]:
    """What the run was given beside the settings of its stage, as a file of `--config` names it."""
    given = asdict(data) | asdict(model) | (asdict(adapter) if adapter.use_peft else {})
    return {name: value for name, value in given.items() if value is not None}


def _last_log(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of the last steps that were logged."""
    return next((log for log in reversed(history) if "loss" in log), {})
