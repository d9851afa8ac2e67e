"""One measured run in this process: `python -m benchmarks.runs '{"peer": "turnpoint", "case": "a", ...}'`.

Prints one line of JSON: seconds of each step, losses, tokens, peak memory.
"""

import json
import os
import resource
import sys
import tempfile
import time
from itertools import cycle, islice
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback

from benchmarks.cases import as_texts, cases, lengthened
from benchmarks.models import load
from turnpoint import DPOConfig, DPOTrainer
from turnpoint.template import Renderer, ensure_tool_template

COMMON: dict[str, Any] = {
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant",
    "beta": 0.1,
    "num_train_epochs": 1,
    "train_sampling_strategy": "sequential",
    "max_length": None,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "use_cpu": not torch.cuda.is_available(),
    "disable_tqdm": True,
}


def _now() -> float:
    """Seconds, once the GPU has done what it was asked to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock(TrainerCallback):
    """Seconds of each optimiser step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self._start = _now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop."""
        self.seconds.append(_now() - self._start)


def measure(run: dict[str, Any]) -> dict[str, Any]:
    """Train on the first `steps` × `pairs` pairs of a case, `pairs` a step; on them again where there are fewer.

    Args:
        run: `peer` (turnpoint or trl), `case`, `pairs`, `steps`, `settings` of the peer's DPOConfig; `hh_rlhf` for d;
            `load`, arguments of `benchmarks.models.load`; `length` of prompts, tokens, where they are to be longer.
    """
    model, tokenizer, adapter = load(**run["load"])
    ensure_tool_template(tokenizer)
    renderer = Renderer(tokenizer)
    data = list(islice(cycle(cases(run.get("hh_rlhf"))[run["case"]](renderer)), run["pairs"] * run["steps"]))
    data = lengthened(data, renderer, run["length"]) if run.get("length") else data
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TURNPOINT_CACHE"] = folder  # the reference is computed, not found
        settings = COMMON | {"output_dir": folder, "per_device_train_batch_size": run["pairs"]} | run["settings"]
        make = _turnpoint if run["peer"] == "turnpoint" else _trl
        start = time.perf_counter()
        trainer = make(model, tokenizer, data, settings, adapter)  # TRL computes its reference here
        trainer.add_callback(clock)
        trainer.train()
        whole = time.perf_counter() - start
    sides = [side for pair in data for side in renderer.tokenize_pair(pair)[:2]]
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))  # head too
    return {
        "seconds": clock.seconds,
        "before": whole - sum(clock.seconds),
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "pairs": len(data),
        "tokens": sum(len(side.input_ids) for side in sides),
        "weights": weights,
        "peak_gb": _peak_gb(),
    }


def _peak_gb() -> float:
    """Of the GPU where there is one, of the process elsewhere."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _turnpoint(model: Any, tokenizer: Any, data: list[Any], settings: dict[str, Any], adapter: Any) -> Any:
    config = DPOConfig(**settings)
    return DPOTrainer(model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=adapter)


def _trl(model: Any, tokenizer: Any, data: list[Any], settings: dict[str, Any], adapter: Any) -> Any:
    import trl
    from datasets import Dataset

    renderer = Renderer(tokenizer)
    rows = Dataset.from_list([as_texts(pair, renderer) for pair in data])
    config = trl.DPOConfig(**settings)
    return trl.DPOTrainer(model, args=config, train_dataset=rows, processing_class=tokenizer, peft_config=adapter)


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
