"""Two processes give the update of one, whatever share of a step each gets."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from tests.training.vision import llava, rows
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedModel

from turnpoint.dialogue import PreferencePair

SCRIPT = Path(__file__).parent / "ddp_run.py"
SETTINGS: dict[str, Any] = {"beta": 0.5, "reduction": "diatool", "max_tokens_per_row": 60}
COMPARED = ("loss", "grad_norm", "rewards/margins", "logps/chosen", "eval_loss", "eval_rewards/accuracies")


@pytest.fixture
def forwards() -> Iterator[list[nn.Module]]:
    """The models that have run a forward, in their order."""
    found: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any) -> None:
        if isinstance(module, LlamaForCausalLM):
            found.append(module)

    hook = nn.modules.module.register_module_forward_pre_hook(note)
    yield found
    hook.remove()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # asked by peft
@pytest.mark.parametrize("reference", ["adapter off", "a model", "known", "of an adapter, known"])
def test_an_empty_row_runs_the_forwards_of_a_real_one(
    stages: Any,
    tiny_model: Callable[..., PreTrainedModel],
    pairs: list[PreferencePair],
    forwards: list[nn.Module],
    reference: str,
) -> None:
    """Sharded engines gather weights in each forward, so that all processes must run as many."""
    adapter = {"peft_config": LoraConfig(r=4, target_modules=["q_proj"])}
    given: dict[str, Any] = {"adapter off": adapter, "of an adapter, known": adapter}.get(reference, {})
    given |= {"ref_model": tiny_model(seed=1)} if reference == "a model" else {}
    settings: dict[str, Any] = {"precompute_ref_log_probs": True} if "known" in reference else {}
    trainer = stages.dpo(tiny_model(), pairs, given=given, **settings)
    trainer._prepare_run([trainer.train_dataset])
    forwards.clear()
    trainer.executor._row(trainer.stage, trainer.model, [trainer.train_dataset[0]])
    real = list(forwards)
    forwards.clear()
    trainer.executor._row(trainer.stage, trainer.model, [])
    assert len(real) == (2 if reference in ("adapter off", "a model") else 1)
    assert forwards == real


ADAPTER = LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True)
OF_ONE = {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 16}  # what two have together


def launch_two(folder: Path, stage: str = "dpo") -> None:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TURNPOINT_CACHE": str(folder / "cache"),  # nothing of an earlier run
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*launcher, str(SCRIPT), str(folder), stage], env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == ""


COUPLED = {"loss_type": "aot,bco_pair,kto_pair", "reduction": "sum"}
REWARD = {"margin": 0.3, "center_rewards_coefficient": 0.05, "max_tokens_per_row": 60}


@pytest.mark.parametrize(
    ("stage", "own"), [("dpo", SETTINGS), ("dpo", SETTINGS | COUPLED), ("reward", REWARD)], ids=str
)
def test_two_processes_give_the_update_of_one(
    tmp_path: Path,
    stages: Any,
    tiny_model: Callable[..., PreTrainedModel],
    pairs: list[PreferencePair],
    stage: str,
    own: dict[str, Any],
) -> None:
    """Nine pairs, four a step: the last step holds one pair, so that one process runs only empty rows."""
    tiny_model("gpt2").save_pretrained(tmp_path / "model")
    stages.tokenizer.save_pretrained(tmp_path / "model")
    rows = [
        {side: [m.openai() for m in getattr(pair, side)] for side in ("prompt", "chosen", "rejected")}
        for pair in pairs[:9]
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    settings = stages.settings(
        **own, per_device_train_batch_size=2, per_device_eval_batch_size=8, output_dir=str(tmp_path / "two")
    )
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    launch_two(tmp_path, stage)
    assert (tmp_path / "two" / "adapter_model.safetensors").exists()
    for name, peft_config in (("full", None), ("adapter", ADAPTER)):
        given = {"eval_dataset": pairs[:9], "peft_config": peft_config}
        one = getattr(stages, stage)(tiny_model("gpt2"), pairs[:9], given=given, **own, **OF_ONE)
        assert_the_same(one, torch.load(tmp_path / f"{name}.pt"), steps=3)


def assert_the_same(one: Any, two: dict[str, Any], steps: int) -> None:
    """Train and evaluate in this process; two processes have done the same."""
    one.train()
    one.evaluate()
    for key, weight in one.model.state_dict().items():
        torch.testing.assert_close(two["weights"][key], weight, atol=1e-9, rtol=0)
    assert len(one.state.log_history) == len(two["log"]) == steps + 2
    for of_one, of_two in zip(one.state.log_history, two["log"], strict=True):
        values = {key: of_one[key] for key in COMPARED if key in of_one}
        assert {key: of_two[key] for key in COMPARED if key in of_two} == pytest.approx(values, abs=1e-6)
    assert "eval_rewards/accuracies" in two["log"][-1]


def test_two_processes_that_read_images_give_the_update_of_one(tmp_path: Path, stages: Any) -> None:
    """The last row of a step may hold no image, here or in the other process, after rows that do."""
    vision, data = llava(), [each for _ in range(2) for each in rows()][:9]
    vision.model.save_pretrained(tmp_path / "model")
    vision.processor.save_pretrained(tmp_path / "model")
    for i, each in enumerate(data):
        for n, image in enumerate(each["images"]):
            image.save(tmp_path / f"{i}-{n}.png")
        each["images"] = [str(tmp_path / f"{i}-{n}.png") for n in range(len(each["images"]))]
    (tmp_path / "pairs.json").write_text(json.dumps(data))
    settings = stages.settings(
        **SETTINGS, per_device_train_batch_size=2, per_device_eval_batch_size=8, output_dir=str(tmp_path / "two")
    )
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    launch_two(tmp_path)
    for name, peft_config in (("full", None), ("adapter", ADAPTER)):
        given = {"eval_dataset": data, "peft_config": peft_config, "processing_class": vision.processor}
        one = stages.dpo(llava().model, data, given=given, **SETTINGS, **OF_ONE)
        assert_the_same(one, torch.load(tmp_path / f"{name}.pt"), steps=3)
