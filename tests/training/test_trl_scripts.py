"""Scripts as TRL's documentation has them, with `trl` replaced by `turnpoint` and tiny models and data for the large.

Each runs in a process of its own, as a user would run it, in a folder that holds `model`, `sft` (an adapter) and data.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # by peft

ModelFactory = Callable[..., PreTrainedModel]

LOAD = 'train_dataset = load_dataset("json", data_files="pairs.jsonl", split="train")\n'
SCRIPTS = {
    "quick start": f"""
from turnpoint import DPOTrainer
from datasets import load_dataset
{LOAD}
trainer = DPOTrainer(
    model="model",
    train_dataset=train_dataset,
)
trainer.train()
""",
    "config": f"""
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from turnpoint import DPOConfig, DPOTrainer
model = AutoModelForCausalLM.from_pretrained("model")
tokenizer = AutoTokenizer.from_pretrained("model")
{LOAD}
training_args = DPOConfig(output_dir="out", beta=0.2, max_length=512, padding_free=True, max_prompt_length=256)
trainer = DPOTrainer(model=model, args=training_args, processing_class=tokenizer, train_dataset=train_dataset)
trainer.train()
trainer.save_model("out")
""",
    "peft": f"""
from datasets import load_dataset
from turnpoint import DPOTrainer
from peft import LoraConfig
{LOAD}
trainer = DPOTrainer(
    "model",
    train_dataset=train_dataset,
    peft_config=LoraConfig(),
)
trainer.train()
""",
    "peft, continued": f"""
from datasets import load_dataset
from turnpoint import DPOTrainer
from peft import AutoPeftModelForCausalLM
{LOAD}
model = AutoPeftModelForCausalLM.from_pretrained("sft", is_trainable=True)
trainer = DPOTrainer(
    model=model,
    train_dataset=train_dataset,
)
trainer.train()
""",
    "adapter loaded twice": f"""
from datasets import load_dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from turnpoint import DPOConfig, DPOTrainer
{LOAD}
model = AutoModelForCausalLM.from_pretrained("model")
model = PeftModel.from_pretrained(model, "sft", is_trainable=True, adapter_name="policy")
model.load_adapter("sft", adapter_name="reference")
training_args = DPOConfig(model_adapter_name="policy", ref_adapter_name="reference", output_dir="out")
trainer = DPOTrainer(
    model, args=training_args, train_dataset=train_dataset, processing_class=AutoTokenizer.from_pretrained("model")
)
trainer.train()
""",
    "tools": """
from datasets import Dataset
from turnpoint import DPOTrainer

tool = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Book a table.",
        "parameters": {"type": "object", "properties": {"for": {"type": "string"}}, "required": ["for"]},
    },
}
call = {"type": "function", "function": {"name": "book", "arguments": {"for": "two"}}}
row = {
    "prompt": [{"role": "user", "content": "book a table for two"}],
    "chosen": [{"role": "assistant", "tool_calls": [call]}],
    "rejected": [{"role": "assistant", "content": "sorry no tool"}],
    "tools": [tool],
}
trainer = DPOTrainer(model="model", train_dataset=Dataset.from_list([row] * 4))
trainer.train()
""",
    "reward": f"""
from turnpoint import RewardConfig, RewardTrainer
from datasets import load_dataset
{LOAD}
trainer = RewardTrainer(
    model="model",
    args=RewardConfig(output_dir="out", center_rewards_coefficient=0.01, max_length=512),
    train_dataset=train_dataset,
)
trainer.train()
""",
    "reward, a classifier and peft": f"""
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification
from turnpoint import RewardTrainer
{LOAD}
trainer = RewardTrainer(
    AutoModelForSequenceClassification.from_pretrained("model", num_labels=1),
    train_dataset=train_dataset,
    peft_config=LoraConfig(modules_to_save=["score"]),
)
trainer.train()
""",
    "several losses": f"""
from datasets import load_dataset
from turnpoint import DPOConfig, DPOTrainer
{LOAD}
training_args = DPOConfig(
    loss_type=["sigmoid", "bco_pair", "sft"],  # losses to use
    loss_weights=[0.8, 0.2, 1.0],  # weights, as in the MPO paper
    model_init_kwargs={{"dtype": "bfloat16"}},
)
trainer = DPOTrainer(model="model", args=training_args, train_dataset=train_dataset)
trainer.train()
""",
}


@pytest.fixture
def folder(tmp_path: Path, stages: Any, tiny_model: ModelFactory) -> Path:
    model = tiny_model(dtype=torch.float32)
    model.save_pretrained(tmp_path / "model")
    stages.tokenizer.save_pretrained(tmp_path / "model")
    adapter = LoraConfig(r=2, target_modules=["q_proj"], base_model_name_or_path=str(tmp_path / "model"))
    PeftModel(model, adapter).save_pretrained(tmp_path / "sft")
    stages.tokenizer.save_pretrained(tmp_path / "sft")
    rows = [
        {
            "prompt": [{"role": "user", "content": f"book a table for {who}"}],
            "chosen": [{"role": "assistant", "content": "which city"}],
            "rejected": [{"role": "assistant", "content": "sorry"}],
        }
        for who in ("two", "four", "a", "no")
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(folder: Path, script: str, *launch: str) -> str:
    (folder / "script.py").write_text(script)
    command = [sys.executable, *launch, "script.py"]
    environment = os.environ | {
        "TURNPOINT_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "hf"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_of_trl_runs_with_its_import_changed(folder: Path, name: str) -> None:
    said = run(folder, SCRIPTS[name])
    output = next(iter(folder.glob("*/metrics.jsonl")))
    logged = [json.loads(line) for line in output.read_text().splitlines()]
    assert logged[0]["loss"] > 0
    if name == "config":
        assert "DPOConfig: padding_free has nothing left to do: rows of the token tree hold no padding" in said
        assert "DPOConfig: max_prompt_length has nothing left to do" in said
        assert (folder / "out" / "model.safetensors").exists()


def test_a_script_runs_under_accelerate_launch(folder: Path) -> None:
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--main_process_port", "0"]
    run(folder, SCRIPTS["quick start"], *launch)
    assert next(iter(folder.glob("*/metrics.jsonl")))


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("CPOTrainer", "DPOTrainer with DPOConfig(loss_type='cpo'), or 'simpo'"),
        ("ORPOTrainer", "DPOTrainer with DPOConfig(loss_type='orpo')"),
        ("PPOTrainer", "DPOTrainer on samples of the model, round by round (iterative DPO)"),
    ],
)
def test_trainers_that_are_not_here_are_named(name: str, instead: str) -> None:
    with pytest.raises(ImportError) as error:
        exec(f"from turnpoint import {name}")
    assert str(error.value) == f"turnpoint has no {name}: use {instead}; see docs/migrating.md"
