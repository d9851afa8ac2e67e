"""What `sft` and `dpo` have in common: load the data and the model, train, save, say what to do with the result."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

from peft import PeftModel

from turnpoint.cli.given import Given
from turnpoint.cli.groups import AdapterOptions, ModelOptions, OutputOptions, TrainingDataOptions
from turnpoint.cli.loading import adapter, open_model, say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import print_json, print_table
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.progress import bars_of_transformers
from turnpoint.training import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

Records = tuple[list[Dialogue], tuple[str, ...]] | tuple[list[PreferencePair], tuple[str, ...]]


class Stage(NamedTuple):
    """How a stage reads its data, and what trains it."""

    load: Callable[..., Records]
    config: type[SFTConfig] | type[DPOConfig]
    trainer: type[SFTTrainer] | type[DPOTrainer]


def verb(name: str, about: str, config: type[SFTConfig] | type[DPOConfig]) -> Verb:
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
    sources = {"train": data.dataset} | ({"eval": data.eval_dataset} if data.eval_dataset else {})
    loaded = {part: _load(stage, data, source) for part, source in sources.items()}
    model_options = given.build(ModelOptions)
    model, tokenizer = open_model(model_options)
    trainer = stage.trainer(
        model=model,
        args=config,
        train_dataset=loaded["train"][0],
        eval_dataset=loaded["eval"][0] if "eval" in loaded else None,
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    trainer.run_settings = _settings(data, model_options, given.build(AdapterOptions))
    for part, source in sources.items():
        trainer.data_report.splits[part] |= {"source": source, "notes": list(loaded[part][1])}
    result = trainer.train(resume_from_checkpoint=config.resume_from_checkpoint)
    metrics = _last_log(trainer.state.log_history) | result.metrics
    if "eval" in loaded:
        metrics |= trainer.evaluate()
    trainer.save_model()
    is_adapter = isinstance(trainer.accelerator.unwrap_model(trainer.model), PeftModel)
    _print_result(str(config.output_dir), metrics, is_adapter, given.build(OutputOptions).json)


def _load(stage: Stage, data: TrainingDataOptions, source: str) -> Records:
    loaded = stage.load(source, format=data.format, split=data.split, limit=data.limit)
    say(f"{source}: {len(loaded[0])} rows")
    for note in loaded[1]:
        say(note)
    return loaded


def _settings(data: TrainingDataOptions, model: ModelOptions, adapter: AdapterOptions) -> dict[str, Any]:
    """What the run was given beside the settings of its stage, as a file of `--config` names it."""
    given = asdict(data) | asdict(model) | (asdict(adapter) if adapter.use_peft else {})
    return {name: value for name, value in given.items() if value is not None}


def _last_log(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of the last steps that were logged."""
    return next((log for log in reversed(history) if "loss" in log), {})


def _print_result(output: str, metrics: dict[str, Any], is_adapter: bool, as_json: bool) -> None:
    if as_json:
        print_json({"output": output, "metrics": metrics})
        return
    print_table(["metric", "value"], sorted(metrics.items()), title=output)
    loader = "AutoPeftModelForCausalLM" if is_adapter else "AutoModelForCausalLM"
    library = "peft" if is_adapter else "transformers"
    print(f"Chat with it:  turnpoint chat {output}")
    print(f'Load it:       from {library} import {loader}; model = {loader}.from_pretrained("{output}")')
