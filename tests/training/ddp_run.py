"""Trains a saved tiny model on saved pairs, all of it and with an adapter; run by torchrun, one of several processes.

Argument: a folder with `model/`, `pairs.json` and `settings.json`; results go to `full.pt` and `adapter.pt` in it.
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig

from turnpoint.models import load_model, load_processing_class
from turnpoint.training import DPOConfig, DPOTrainer


def run(folder: Path, name: str, peft_config: LoraConfig | None) -> None:
    trainer = DPOTrainer(
        load_model(str(folder / "model"), dtype="float64"),
        args=DPOConfig(**json.loads((folder / "settings.json").read_text())),
        train_dataset=str(folder / "pairs.json"),
        eval_dataset=str(folder / "pairs.json"),
        processing_class=load_processing_class(str(folder / "model")),
        peft_config=peft_config,
    )
    trainer.train()
    trainer.evaluate()
    trainer.save_model()
    if trainer.is_world_process_zero():
        torch.save({"weights": trainer.model.state_dict(), "log": trainer.state.log_history}, folder / f"{name}.pt")


if __name__ == "__main__":
    given = Path(sys.argv[1])
    run(given, "full", None)
    run(given, "adapter", LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True))
    torch.distributed.destroy_process_group()
