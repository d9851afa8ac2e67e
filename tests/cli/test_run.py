"""`turnpoint run`: stages in their order, none twice with the same options, errors before anything runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tests.cli.conftest import PAIR, Ran

from turnpoint.cli.main import VERBS
from turnpoint.cli.run import RECIPES

Run = Callable[..., Ran]
Rows = Callable[..., str]


def recipe(folder: Path, model: str, data: str, **changes: Any) -> str:
    settings = {
        "output": str(folder / "runs"),
        "common": {
            "dpo": {
                "dataset": data,
                "eval_dataset": data,
                "model": model,
                "max_steps": 1,
                "save_strategy": "no",
                "logging_steps": 1,
            }
        },
        "table": ["eval_rewards/accuracies", "eval_loss"],
        "stages": {"first": {"run": "dpo"}, "second": {"run": "dpo", "loss_type": "ipo"}},
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(settings | changes, sort_keys=False))
    return str(file)


def test_stages_run_once(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    data = rows(PAIR, PAIR)
    ran = run("run", recipe(tmp_path, model, data))
    assert ran.code == 0, ran.err
    assert ran.err.index("1/2 first: turnpoint dpo") < ran.err.index("2/2 second: turnpoint dpo")
    assert "done before" not in ran.err
    written = yaml.safe_load((tmp_path / "runs" / "second" / "config.yaml").read_text())
    assert written["loss_type"] == "ipo"
    table = ran.out[ran.out.rindex("eval_rewards/accuracies") :]
    assert "first" in table
    assert "second" in table

    again = run("run", recipe(tmp_path, model, data), "--json")
    assert again.err.count("done before") == 2
    assert '"stage": "second"' in again.out
    stages = {"first": {"run": "dpo"}, "second": {"run": "dpo", "loss_type": "hinge"}}
    changed = run("run", recipe(tmp_path, model, data, stages=stages))
    assert changed.err.count("done before") == 1
    json_only = run("run", recipe(tmp_path, model, data, stages={"third": {"run": "dpo"}}), "--json")
    assert [row["stage"] for row in json.loads(json_only.out)] == ["third"]
    assert yaml.safe_load((tmp_path / "runs" / "second" / "config.yaml").read_text())["loss_type"] == "hinge"


def test_words_that_yaml_reads_otherwise_mean_what_they_mean_as_flags(
    run: Run, rows: Rows, model: str, tmp_path: Path
) -> None:
    losses = "loss_type: [sigmoid, sft], loss_weights: [0.5, 1]"
    stage = f"stages:\n  only: {{run: dpo, save_strategy: no, {losses}, beta: 1e-1}}\n"
    file = recipe(tmp_path, model, rows(PAIR, PAIR), stages={})
    Path(file).write_text(Path(file).read_text().replace("stages: {}\n", stage))
    ran = run("run", file)
    assert ran.code == 0, ran.err
    written = yaml.safe_load((tmp_path / "runs" / "only" / "config.yaml").read_text())
    assert (written["save_strategy"], written["loss_weights"], written["beta"]) == ("no", [0.5, 1.0], 0.1)


def test_a_stage_that_fails_is_run_again(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    stages = {"first": {"run": "dpo"}, "second": {"run": "dpo", "dataset": "none.jsonl"}}
    broken = run("run", recipe(tmp_path, model, rows(PAIR, PAIR), stages=stages))
    assert broken.code == 2
    assert "none.jsonl: no such file" in broken.err
    assert (tmp_path / "runs" / "first" / "config.yaml").exists()
    mended = run("run", recipe(tmp_path, model, rows(PAIR, PAIR)))
    assert mended.code == 0, mended.err
    assert mended.err.count("done before") == 1


def test_an_interrupted_stage_goes_on_from_its_checkpoint(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    """To the same weights; with other options it starts anew."""
    stage = {"run": "dpo", "max_steps": 3, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 3}
    command = ("run", recipe(tmp_path, model, rows(*[PAIR] * 24), stages={"first": stage}, table=[]))
    assert run(*command).code == 0
    runs = tmp_path / "runs"
    whole = load_file(runs / "first" / "model.safetensors")
    for interrupted in (stage, stage | {"learning_rate": 1e-3}):
        (runs / "first.done").replace(runs / "first.begun")
        for gone in ("model.safetensors", "checkpoint-3", "checkpoint-2"):
            path = runs / "first" / gone
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        recipe(tmp_path, model, rows(*[PAIR] * 24), stages={"first": interrupted}, table=[])
        ran = run(*command)
        assert ran.code == 0, ran.err
        assert ("goes on from checkpoint-1" in ran.err) == (interrupted == stage)
        found = load_file(runs / "first" / "model.safetensors")
        same = all(torch.equal(found[name], whole[name]) for name in whole)
        assert same == (interrupted == stage)


def test_a_checkpoint_of_other_options_is_not_gone_on_from(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    """Done with some options, interrupted at once with others: the next try starts these from the beginning."""
    stage = {"run": "dpo", "max_steps": 1, "save_strategy": "steps", "save_steps": 1}
    command = ("run", recipe(tmp_path, model, rows(*[PAIR] * 24), stages={"first": stage}, table=[]))
    assert run(*command).code == 0
    runs = tmp_path / "runs"
    changed = {"first": stage | {"dataset": "none.jsonl"}}  # stops before its first step
    recipe(tmp_path, model, rows(*[PAIR] * 24), stages=changed, table=[])
    ran = run(*command)
    assert ran.code == 2
    assert "starts anew: 1 checkpoints of other options are removed" in ran.err
    assert (runs / "first.begun").exists()
    assert not list((runs / "first").glob("checkpoint-*"))
    assert "goes on from" not in run(*command).err


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"stages": {"first": {"run": "dbo"}}},
            "error: stages.first.run: must be a verb of turnpoint (got 'dbo'); did you mean 'dpo'?",
        ),
        ({"stage": {}}, "stage: is a key that has no place here; leave it out"),
        (
            {"stages": {"first": {"run": "dpo"}, "second": {"run": "dpo", "bta": 1}}},
            "recipe.yaml: stages.second: bta: unknown for `turnpoint dpo`; did you mean 'beta'?",
        ),
        (
            {"stages": {"first": {"run": "dpo"}, "second": {"run": "dpo", "loss_type": "sigmod"}}},
            "recipe.yaml: stages.second: DPOConfig: loss_type: must be one of",
        ),
    ],
)
def test_a_recipe_is_checked_before_it_runs(
    run: Run, tmp_path: Path, model: str, changes: dict[str, Any], text: str
) -> None:
    ran = run("run", recipe(tmp_path, model, "none.jsonl", **changes))
    assert ran.code == 2
    assert text in ran.err
    assert not (tmp_path / "runs" / "first").exists()


def test_a_recipe_that_is_not_there(run: Run) -> None:
    ran = run("run", "no-such-recipe")
    assert ran.code == 2
    assert ran.err.startswith("error: recipe no-such-recipe: cannot be read")


@pytest.mark.parametrize("name", ["losses", "learning-rates"])
def test_shipped_recipes_name_verbs_and_their_fields(name: str) -> None:
    from turnpoint.training import DPOConfig

    found = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    for stage in found["stages"].values():
        assert stage["run"] in VERBS
        fields = found["common"]["dpo"] | stage
        own = {key: value for key, value in fields.items() if key in DPOConfig.__dataclass_fields__}
        DPOConfig(**own | {"bf16": False})
        assert set(fields) - set(own) <= {"run", "dataset", "eval_dataset", "model", "use_peft"}


def test_the_sweep_holds_every_loss() -> None:
    from turnpoint.objectives import LOSSES

    stages = yaml.safe_load((RECIPES / "losses.yaml").read_text())["stages"]
    of_pairs = {name for name, fact in LOSSES.items() if not fact.rated}
    assert of_pairs == {stage["loss_type"] for stage in stages.values()}


def test_help_of_dpo_names_every_loss_in_a_line(run: Run) -> None:
    from turnpoint.objectives import LOSSES

    lines = run("dpo", "--help").out.splitlines()
    for name, fact in LOSSES.items():
        [line] = [line for line in lines if line.split()[:1] == [name]]
        assert fact.about.split()[0] in line


@pytest.mark.parametrize("name", ["qlora-24gb", "mps"])
def test_shipped_settings_are_those_of_the_verb(name: str) -> None:
    """What cannot be tried here can be read here."""
    from turnpoint.cli.dpo import VERB
    from turnpoint.cli.given import read_arguments

    given = read_arguments(VERB, ["pairs.jsonl", "--config", str(RECIPES / f"{name}.yaml")])
    assert given.values["use_peft"] is True


def test_a_stage_reads_what_an_earlier_one_wrote_wherever_the_recipe_writes(run: Run, tmp_path: Path) -> None:
    """`--output` moves all of it, `{output}` with it; a stage that writes a file is done while the file is there."""
    samples = tmp_path / "samples.jsonl"
    reply = {"text": "I am SmolLM.", "message": {"role": "assistant", "content": "I am SmolLM."}, "cut": False}
    row = {"id": "a", "prompt": [{"role": "user", "content": "Who are you?"}], "replies": [reply]}
    samples.write_text(json.dumps(row) + "\n")
    stages = {
        "pairs": {
            "run": "pairs rename",
            "samples": str(samples),
            "names": ["SmolLM=Ada"],
            "output": "{output}/p.jsonl",
        },
        "look": {"run": "inspect", "dataset": "{output}/p.jsonl"},
    }
    file = recipe(tmp_path, "unused", "unused", stages=stages, common={})
    moved = tmp_path / "moved"
    assert run("run", file, "--output", str(moved)).code == 0
    assert "I am Ada." in (moved / "p.jsonl").read_text()
    assert run("run", file, "--output", str(moved)).err.count("done before") == 2
    (moved / "p.jsonl").unlink()
    assert run("run", file, "--output", str(moved)).err.count("done before") == 1
