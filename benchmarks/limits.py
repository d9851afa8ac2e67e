"""How much of the machine a step uses, part by part: `python -m benchmarks.limits`.

The peak is the best rate of matrix products of this model's shapes, measured in the same process. FLOPs are counted by
torch's counter in a step of its own, so that counting costs no measured time. What is computed anew in the backward
pass counts there, but for the head, which counts by itself.
"""

import argparse
import functools
import os
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import TrainerCallback

from benchmarks.cases import cases
from benchmarks.dpo import PAIRS
from benchmarks.runs import COMMON
from turnpoint import DPOConfig, DPOTrainer, load_model_and_tokenizer
from turnpoint.template import Renderer, ensure_tool_template
from turnpoint.tree.forward import bare_model

_PEAK_SECONDS = 2.0  # of products of one shape
_PEAK_ROWS = 1024
_BATCHES = "batches"


class Parts(TrainerCallback):
    """Seconds and FLOPs of the parts of a step: the first warms up, the second counts FLOPs, the others seconds."""

    def __init__(self) -> None:
        self.seconds: list[dict[str, float]] = []
        self.flops: Counter[str] = Counter()
        self._now: dict[str, float] = defaultdict(float)
        self._open: list[tuple[str, float, int]] = []
        self._counter: FlopCounterMode | None = None
        self._start = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start."""
        if state.global_step == 1:
            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop."""
        whole = time.perf_counter() - self._start
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._counter = None
        elif state.global_step > 1:
            self._now["rest: rows, losses, clipping"] = whole + self._now[_BATCHES] - sum(self._now.values())
            self.seconds.append(dict(self._now))
        self._now = defaultdict(float)

    def enter(self, name: str) -> None:
        """A part begins; what runs before it ends is no longer the part's that is open."""
        self._open.append((name, time.perf_counter(), self._counted()))

    def leave(self) -> None:
        """The part that began last ends."""
        name, start, counted = self._open.pop()
        seconds, flops = time.perf_counter() - start, self._counted() - counted
        self._add(name, seconds, flops)
        if self._open:
            self._add(self._open[-1][0], -seconds, -flops)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a part."""

        @functools.wraps(call)
        def run(*args: Any, **kwargs: Any) -> Any:
            self.enter(name)
            try:
                return call(*args, **kwargs)
            finally:
                self.leave()

        return run

    def _add(self, name: str, seconds: float, flops: int) -> None:
        self._now[name] += seconds
        self.flops[name] += flops

    def _counted(self) -> int:
        return 0 if self._counter is None else int(self._counter.get_total_flops())


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="a", choices=list(cases()))
    parser.add_argument("--steps", type=int, default=6, help="the first warms up, in the second FLOPs are counted")
    parser.add_argument("--max_tokens_per_row", type=int, help="of turnpoint; its default where none is given")
    given = parser.parse_args()
    if given.steps < 3:
        parser.error("--steps: at least 3: one warms up, one counts FLOPs")
    settings = {} if given.max_tokens_per_row is None else {"max_tokens_per_row": given.max_tokens_per_row}
    before = matmul_peak()
    parts = measured(given.case, given.steps, settings)
    peak = max(before, matmul_peak())
    print(f"matmul peak, bf16, {torch.get_num_threads()} threads: {peak / 1e9:.0f} GFLOP/s\n")
    print("| part | s / step | share | TFLOP | GFLOP/s | of the peak |\n|---|---:|---:|---:|---:|---:|")
    medians = {name: statistics.median(step.get(name, 0.0) for step in parts.seconds) for name in parts.seconds[0]}
    step = sum(medians.values())
    rows = [(name, seconds, parts.flops[name]) for name, seconds in medians.items()]
    both = [row for row in rows if row[0] in ("forward", "head, both ways", "backward")]
    rows.append(("**forward and backward**", sum(row[1] for row in both), sum(row[2] for row in both)))
    rows.append(("**step**", step, sum(parts.flops.values())))
    for name, seconds, flops in rows:
        print(
            f"| {name} | {seconds:.2f} | {seconds / step:.0%} | {flops / 1e12:.2f} |"
            f" {flops / seconds / 1e9:.0f} | {flops / seconds / peak:.0%} |"
        )


def matmul_peak() -> float:
    """FLOP/s of the fastest of this model's products in bfloat16."""
    best = 0.0
    for inner, outer in ((576, 1536), (1536, 576), (576, 49152)):
        left = torch.randn(_PEAK_ROWS, inner, dtype=torch.bfloat16)
        right = torch.randn(inner, outer, dtype=torch.bfloat16)
        result = left @ right
        spent = []
        end = time.perf_counter() + _PEAK_SECONDS
        while time.perf_counter() < end:
            start = time.perf_counter()
            torch.mm(left, right, out=result)
            spent.append(time.perf_counter() - start)
        best = max(best, 2 * _PEAK_ROWS * inner * outer / statistics.median(spent))
    return best


def measured(case: str, steps: int, settings: dict[str, Any]) -> Parts:
    """Train a few steps and measure them."""
    model, tokenizer = load_model_and_tokenizer("demo")
    ensure_tool_template(tokenizer)
    pairs = cases()[case](Renderer(tokenizer))[:PAIRS] * steps  # the same in each step, for FLOPs and seconds
    parts = Parts()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TURNPOINT_CACHE"] = folder  # the user's own is left alone
        config = DPOConfig(
            **COMMON | {"output_dir": folder, "per_device_train_batch_size": PAIRS, "bf16": True} | settings
        )
        trainer = DPOTrainer(model, args=config, train_dataset=pairs, processing_class=tokenizer, callbacks=[parts])
        _watch(trainer, parts)
        trainer.train()
    return parts


def _watch(trainer: DPOTrainer, parts: Parts) -> None:
    """Measure the model's forward, its head, the backward pass and the optimiser."""
    model = bare_model(trainer.model)
    model.forward = parts.around("forward", model.forward)
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda *_: parts.enter("head, both ways"))
    head.register_forward_hook(lambda *_: parts.leave())
    head.register_full_backward_pre_hook(lambda *_: parts.enter("head, both ways"))
    head.register_full_backward_hook(lambda *_: parts.leave())
    trainer.accelerator.backward = parts.around("backward", trainer.accelerator.backward)
    trainer.get_batch_samples = parts.around(_BATCHES, trainer.get_batch_samples)
    trainer.create_optimizer()
    trainer.optimizer.step = parts.around("optimiser", trainer.optimizer.step)


if __name__ == "__main__":
    main()
