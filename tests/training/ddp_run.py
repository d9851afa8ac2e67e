"""Trains a saved tiny model on saved pairs, all of it and with an adapter; run by torchrun, one of several processes.

Arguments: a folder with `model/`, `pairs.json` and `settings.json`, and a stage, dpo or reward; results go to `full.pt`
and `adapter.pt` in the folder.
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig

from turnpoint.models import load_model, load_processing_class
from turnpoint.training import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

STAGES = {"dpo": (DPOTrainer, DPOConfig), "reward": (RewardTrainer, RewardConfig)}


def run(folder: Path, stage: str, name: str, peft_config: LoraConfig | None) -> None:
    trainer_class, config_class = STAGES[stage]
    trainer = trainer_class(
        load_model(str(folder / "model"), dtype="float64"),
        args=config_class(**json.loads((folder / "settings.json").read_text())),
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
    given, named = Path(sys.argv[1]), sys.argv[2]
    run(given, named, "full", None)
    run(given, named, "adapter", LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True))
    torch.distributed.destroy_process_group()
