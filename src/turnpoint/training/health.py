"""Whether a run of DPO goes well: its log, judged while it goes and at its end.

Every check is a function of the log alone, so that a finished run can be judged from its `metrics.jsonl`. Means are
over the first and the last quarter of the logged steps.
"""

import json
import logging
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from turnpoint.progress import tell

logger = logging.getLogger(__name__)

Log = Mapping[str, Any]

_LEAST_LOGS = 4
_FALL = 0.1  # nats a token: the perplexity of chosen answers is up by a tenth
_BIAS = 0.5  # a quarter of the variance of the margins is that of lengths
_KL = 0.2  # nats a token: that of a token whose odds changed by a factor of 1.8
_SPIKE = 10.0  # times the median: one step that moves the weights as far as ten
_NO_SIGNAL = 1e-3  # of the loss at the start: less than rounding in bfloat16
_GROWTH = 1.5
_SAME_ACCURACY = 0.02
_SOLVED = 0.95
_OVERFIT = 1.02


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Args:
        check: its name.
        good: nothing is wrong.
        number: what was measured.
        threshold: beyond which it is wrong.
        since: optimiser step from which on it was beyond, to the end; None where it is not, or has no beginning.
        says: the finding in a sentence, with what to try.
    """

    check: str
    good: bool
    number: float
    threshold: float
    since: int | None
    says: str


def judge(history: Sequence[Log]) -> list[Verdict]:
    """All checks for which the log holds what they need.

    Args:
        history: entries with `step`, training logs and evaluations mixed, as in `TrainerState.log_history`.
    """
    logs = [entry for entry in history if "loss" in entry and "rewards/margins" in entry]
    verdicts = [check(logs) for check in _CHECKS] if len(logs) >= _LEAST_LOGS else []
    names = {name for entry in history for name in entry if name.startswith("eval_") and name.endswith("_loss")}
    for name in sorted(names):
        losses = {int(entry["step"]): float(entry[name]) for entry in history if name in entry}
        verdicts += [_overfitting(name, losses)] if len(losses) > 1 else []
    return [verdict for verdict in verdicts if verdict is not None]


class Health(TrainerCallback):
    """Judges a run at each log, says what is wrong when it first shows, and all of it at the end.

    `health.json` in the run folder holds the verdicts.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A verdict on an earlier run in the folder says nothing of this one."""
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / "health.json").unlink(missing_ok=True)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a log."""
        if not state.is_world_process_zero:
            return
        for verdict in judge(state.log_history):
            if not verdict.good and verdict.check not in self._said:
                self._said.add(verdict.check)
                logger.warning("step %d: %s", state.global_step, verdict.says)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """At the end of a run."""
        if not state.is_world_process_zero:
            return
        verdicts = judge(state.log_history)
        if not verdicts:
            tell(logger, f"health of the run: fewer than {_LEAST_LOGS} logs, nothing to judge")
            return
        wrong = [verdict for verdict in verdicts if not verdict.good]
        names = ", ".join(verdict.check for verdict in verdicts)
        tell(logger, f"health of the run: {len(verdicts) - len(wrong)} of {len(verdicts)} checks are good ({names})")
        for verdict in wrong:
            logger.warning("%s", verdict.says)
        folder = Path(str(args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(verdict) for verdict in verdicts], indent=1)
        (folder / "health.json").write_text(text + "\n", encoding="utf-8")


def _chosen_falls(logs: Sequence[Log]) -> Verdict | None:
    if "logratios/chosen" not in logs[-1]:
        return None  # a loss without a reference
    number = _last(logs, "logratios/chosen")
    since = _since(logs, lambda log: log["logratios/chosen"] < -_FALL)
    return Verdict(
        "chosen_falls",
        number >= -_FALL,
        number,
        -_FALL,
        since,
        f"chosen answers are {_less(number)} under the reference ({number:.3f} nats a token{_from(since)}; it should"
        f" stay above {-_FALL}): both sides fall together. Lower learning_rate, raise beta, or hold the chosen side up:"
        " rpo_alpha: 1.0, or loss_type: dpop",
    )


def _margin_without_accuracy(logs: Sequence[Log]) -> Verdict:
    margins = _first(logs, "rewards/margins"), _last(logs, "rewards/margins")
    accuracies = _first(logs, "rewards/accuracies"), _last(logs, "rewards/accuracies")
    gained = accuracies[1] - accuracies[0]
    grows = margins[1] > max(_GROWTH * margins[0], 0)
    return Verdict(
        "margin_without_accuracy",
        not grows or gained > _SAME_ACCURACY or accuracies[1] > _SOLVED,
        gained,
        _SAME_ACCURACY,
        None,
        f"margins grow ({margins[0]:.3g} to {margins[1]:.3g}) and accuracy does not ({accuracies[0]:.2f} to"
        f" {accuracies[1]:.2f}): pairs that are told apart already are pushed further. Use loss_type ipo or hinge, stop"
        " earlier, or look at the pairs that stay wrong: their labels may be swapped (label_smoothing)",
    )


def _length_bias(logs: Sequence[Log]) -> Verdict | None:
    logs = [log for log in logs if "length_bias" in log]  # not where all pairs of a step are alike
    if len(logs) < _LEAST_LOGS:
        return None
    number = _last(logs, "length_bias")
    since = _since(logs, lambda log: abs(log["length_bias"]) > _BIAS)
    direction = "longer" if number > 0 else "shorter"
    return Verdict(
        "length_bias",
        abs(number) <= _BIAS,
        number,
        _BIAS,
        since,
        f"the reward prefers the {direction} side: its margin correlates with the difference of lengths at"
        f" {number:.2f}{_from(since)} (at most {_BIAS} either way). Use reduction: mean (sigmoid_norm, ipo) or"
        " ld_alpha: 0.5, or balance the lengths of the data",
    )


def _far_from_reference(logs: Sequence[Log]) -> Verdict | None:
    if "kl" not in logs[-1]:
        return None
    number = _last(logs, "kl")
    since = _since(logs, lambda log: log["kl"] > _KL)
    return Verdict(
        "far_from_reference",
        number <= _KL,
        number,
        _KL,
        since,
        f"the policy is {number:.3f} nats a token from the reference{_from(since)} (at most {_KL}; on the tokens of the"
        " data). Raise beta, lower learning_rate, or train for fewer steps",
    )


def _gradient_spikes(logs: Sequence[Log]) -> Verdict | None:
    norms = [(float(log["grad_norm"]), log["step"]) for log in logs if log.get("grad_norm") is not None]
    median = statistics.median(norm for norm, _ in norms) if norms else 0.0
    if not median:
        return None
    largest, step = max(norms)
    return Verdict(
        "gradient_spikes",
        largest <= _SPIKE * median,
        largest / median,
        _SPIKE,
        None,
        f"the gradient was {largest / median:.0f} times its median at step {step} (at most {_SPIKE:.0f}). Keep"
        " max_grad_norm at 1 or below, warm up (warmup_steps), and look at the pairs of that step",
    )


def _no_signal(logs: Sequence[Log]) -> Verdict:
    start, end = _first(logs, "loss"), _last(logs, "loss")
    change = abs(end - start) / max(abs(start), 1e-12)
    measured = "kl" in logs[-1]  # without a reference rewards are log-probs, and only their change tells
    origin = 0.0 if measured else logs[0]["rewards/margins"]
    rewards = max(abs(log["rewards/margins"] - origin) for log in logs)
    stuck = change < _NO_SIGNAL and rewards < _NO_SIGNAL
    return Verdict(
        "no_signal",
        not stuck,
        change,
        _NO_SIGNAL,
        logs[0]["step"] if stuck else None,
        f"nothing is learnt: the loss stays at {end:.4f} (it changed by {change:.1e} of itself)."
        f" {_cause(logs, rewards)}",
    )


def _cause(logs: Sequence[Log], rewards: float) -> str:
    """Why nothing is learnt, as far as the log tells."""
    if all(not log.get("grad_norm") for log in logs):
        return (
            "Every gradient is 0: no weight that is trained reaches the loss (a frozen adapter, or requires_grad off)"
        )
    if all(log.get("learning_rate", 1) < 1e-9 for log in logs):
        return "The learning rate is 0 at every log: look at warmup_steps and the scheduler"
    if rewards == 0:
        return (
            "Rewards are exactly 0 though there are gradients: either the reference is the policy itself and moves with"
            " it, or the updates are lost to rounding (weights in bfloat16 and a small learning_rate: load them in"
            " float32 and set bf16: true)"
        )
    return "Raise learning_rate (LoRA 1e-5, full 1e-6 to 5e-6), or look whether the sides differ where they are scored"


def _overfitting(name: str, losses: Mapping[int, float]) -> Verdict:
    """Of one evaluation set, from its loss at some steps."""
    step = min(losses, key=lambda step: losses[step])
    best, last = losses[step], losses[max(losses)]
    number = last / best if best > 0 else 1.0
    return Verdict(
        "overfitting",
        number <= _OVERFIT,
        number,
        _OVERFIT,
        step if number > _OVERFIT else None,
        f"the loss on held-back pairs rises again: {name} {best:.4f} at step {step}, {last:.4f} at the end. Stop at"
        f" step {step} (load_best_model_at_end with metric_for_best_model: {name}), or train on more pairs",
    )


_CHECKS: tuple[Callable[[Sequence[Log]], Verdict | None], ...] = (
    _no_signal,
    _chosen_falls,
    _margin_without_accuracy,
    _length_bias,
    _far_from_reference,
    _gradient_spikes,
)


def _quarter(logs: Sequence[Log]) -> int:
    return max(1, len(logs) // 4)


def _first(logs: Sequence[Log], name: str) -> float:
    return statistics.fmean(log[name] for log in logs[: _quarter(logs)])


def _last(logs: Sequence[Log], name: str) -> float:
    return statistics.fmean(log[name] for log in logs[-_quarter(logs) :])


def _since(logs: Sequence[Log], wrong: Callable[[Log], bool]) -> int | None:
    """The step of the first of the logs, up to the last, that are all wrong."""
    step = None
    for log in reversed(logs):
        if not wrong(log):
            break
        step = int(log["step"])
    return step


def _from(since: int | None) -> str:
    return "" if since is None else f", since step {since}"


def _less(nats: float) -> str:
    return f"{1 - math.exp(nats):.0%} less likely per token than" if nats < 0 else "as likely as"
