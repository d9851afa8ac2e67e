"""What rounding does to rewards: `python -m benchmarks.noise`.

Another arrangement of a row changes the order of sums, so that in bfloat16 a log-prob comes out a little otherwise. The
reference is computed in one arrangement and the policy in another: before the first step, when both are the same model,
their difference is all noise. Case a, the embedded model, log-probs summed over a side as DPO does.
"""

import os
import tempfile

import torch

from benchmarks.cases import cases
from benchmarks.runs import COMMON
from turnpoint import DPOConfig, DPOTrainer, load_model_and_tokenizer
from turnpoint.template import Renderer, ensure_tool_template

DEFAULT = "the default"
BUDGETS = {"a pair a row": 1, DEFAULT: None, "all in one row": 1 << 30}  # max_tokens_per_row
BETA = 0.1


def main() -> None:
    """Measure and print Markdown."""
    found = {(name, bf16): side_logps(bf16, budget) for bf16 in (True, False) for name, budget in BUDGETS.items()}
    print("| rows | against rows | mean, nats | largest, nats | largest reward at beta 0.1 |")
    print("|---|---|---:|---:|---:|")
    for name, bf16 in found:
        for other in dict.fromkeys([(DEFAULT, bf16), (DEFAULT, False)]):
            if other != (name, bf16):
                off = (found[name, bf16] - found[other]).abs()
                numbers = " | ".join(f"{each:.1e}" for each in (off.mean(), off.amax(), BETA * off.amax()))
                print(f"| {name}, {_PRECISION[bf16]} | {other[0]}, {_PRECISION[other[1]]} | {numbers} |")


def side_logps(bf16: bool, max_tokens_per_row: int | None) -> torch.Tensor:
    """Log-probs of all sides of the first 32 pairs, nats, [64]."""
    model, tokenizer = load_model_and_tokenizer("demo")
    ensure_tool_template(tokenizer)
    pairs = cases()["a"](Renderer(tokenizer))[:32]
    settings = COMMON | {"bf16": bf16, "max_tokens_per_row": max_tokens_per_row}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TURNPOINT_CACHE"] = folder  # the user's own is left alone
        config = DPOConfig(**settings, output_dir=folder)
        trainer = DPOTrainer(model, args=config, train_dataset=pairs, processing_class=tokenizer)
    found = trainer.executor.logprobs(trainer.stage, model.eval(), list(trainer.train_dataset))
    return torch.stack([side.sum() for pair in found for side in pair])


_PRECISION = {True: "bf16", False: "fp32"}

if __name__ == "__main__":
    main()
