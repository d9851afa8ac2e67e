"""One optimiser step: cut into rows, run row by row, synchronised once.

The batch that the transformers Trainer hands over is the whole step of this process. The loss of a step is a mean over
all its items on all processes (pairs, or scored tokens of dialogues): each row's loss is divided by the global
denominator and multiplied by the number of processes, over which gradients are averaged. So rows, accumulation and the
number of processes change no update.

A stage tells the executor what to run and what to make of it; the executor knows no loss.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from turnpoint.training.experts import auxiliary_losses
from turnpoint.tree import ScoredSequence, ScoreRow, TokenScores, build_tree, pack_rows

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)


class RowResult(NamedTuple):
    """What a stage makes of a row.

    Args:
        loss: summed over the items of the row, divided by nothing, with its graph; a scalar.
        metrics: of each of the stage's metrics what the row adds to a sum over items, or over the denominator of the
            loss (`Stage.metrics_by_weight`), detached, [M].
        of_items: what is known of each item by itself, detached, [B, K]; None where nothing is asked.
        auxiliary: auxiliary loss of the row's forwards, their mean, times what the row adds to the denominator.
    """

    loss: Tensor
    metrics: Tensor
    of_items: Tensor | None = None
    auxiliary: Tensor | float = 0.0


class Stage(Protocol[Item_contra]):
    """What a stage tells the executor."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what `row` sums up."""
        ...

    @property
    def metrics_by_weight(self) -> bool:
        """Whether means of the metrics are over the denominator of the loss, not over items."""
        ...

    @property
    def score(self) -> ScoreRow:
        """What reads the model: log-probs of scored tokens, or rewards."""
        ...

    @property
    def statistics(self) -> tuple[str, ...]:
        """What `row` needs of tokens beside log-probs: keys of `turnpoint.tree.token_logprobs.STATISTICS`."""
        ...

    @property
    def sequences_per_item(self) -> int:
        """How many `sequences` gives."""
        ...

    @property
    def coupling(self) -> "Coupling[Any] | None":
        """What finds the losses of a step whose items enter each other's losses; None where they do not."""
        ...

    def sequences(self, item: Item_contra) -> Sequence[ScoredSequence]:
        """The sequences of an item, which stay in one row."""
        ...

    def weight(self, item: Item_contra) -> float:
        """What the item adds to the denominator of the loss: 1 for a pair, its scored tokens for a dialogue."""
        ...

    def row(self, model: nn.Module, items: Sequence[Item_contra], scores: Sequence[Sequence[TokenScores]]) -> RowResult:
        """Loss and metrics of a row from what the model says of each item's sequences."""
        ...

    def run_beside(self, model: nn.Module, sequences: Sequence[ScoredSequence]) -> None:
        """Run the forwards that `row` runs; for a row without items, which keeps sharded engines in step."""
        ...


class Coupling(Protocol[Item]):
    """How items enter each other's losses: all are observed without gradients, then each is told what that comes to."""

    def observe(
        self, model: nn.Module, items: Sequence[Item], scores: Sequence[Sequence[TokenScores]]
    ) -> Sequence[Any]:
        """What the losses of the items of a row depend on, one each, without a graph; sent to all processes."""
        ...

    def couple(self, items: Sequence[Item], everything: Sequence[Any], first: int) -> Sequence[Item]:
        """The items of this process with what their losses are among everything observed, theirs from `first` on."""
        ...


@dataclass
class Tally:
    """Sums over items, from one or more steps of this process; and what is known of each item by itself, [K] each."""

    weight: float = 0.0
    items: float = 0.0
    tree_tokens: float = 0.0
    sequence_tokens: float = 0.0
    loss: Tensor | float = 0.0
    metrics: Tensor | float = 0.0
    auxiliary: Tensor | float = 0.0
    of_items: list[Tensor] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add the sums of `other` to these."""
        self.weight += other.weight
        self.items += other.items
        self.tree_tokens += other.tree_tokens
        self.sequence_tokens += other.sequence_tokens
        self.loss = self.loss + other.loss
        self.metrics = self.metrics + other.metrics
        self.auxiliary = self.auxiliary + other.auxiliary
        self.of_items += other.of_items


class StepResult(NamedTuple):
    """What a step gave.

    Args:
        loss: this process's share times the number of processes: its mean over processes is the loss of the step.
        tally: the sums of this process.
    """

    loss: Tensor
    tally: Tally


class Means(NamedTuple):
    """Means and totals over all processes."""

    loss: float
    metrics: dict[str, float]
    items: float
    tree_tokens: float
    sequence_tokens: float


class Plan(NamedTuple):
    """The rows of one step on this process, as item indexes, and what all processes agreed on.

    Args:
        rows: item indexes of each row; empty rows at the end where another process has more.
        weight: denominator of the loss over all processes.
        tally: items and tokens of this process.
    """

    rows: list[list[int]]
    weight: float
    tally: Tally


@dataclass
class Executor:
    """Runs the items of a step through a model, a row at a time.

    Args:
        accelerator: of the Trainer; it knows precision and processes.
        max_tokens_per_row: budget of a row in tree tokens.
        full_at: tree tokens beyond which only items join a row that share with it (`turnpoint.tree.pack_rows`).
        auxiliary: weight of the auxiliary loss of a mixture of experts, 0 for models that have none.
        shared: whether the sequences of a row may share their tree (`turnpoint.tree.support.check_sharing`).
        chunked: whether some rows of logits are made at a time (`turnpoint.tree.head.can_score_in_head`).
    """

    accelerator: Accelerator
    max_tokens_per_row: int
    full_at: int | None = field(default=None)
    auxiliary: float = field(default=0.0)
    shared: bool = field(default=True)
    chunked: bool = field(default=False)

    def train(self, stage: Stage[Item], model: nn.Module, items: Sequence[Item]) -> StepResult:
        """Add the gradients of the step's loss to the model's parameters."""
        plan = self._plan(stage, items)
        scale = self.accelerator.num_processes / plan.weight

        def backward(result: RowResult) -> None:
            # Backward runs in the precision of its forward; under autocast it would cast once more.
            with torch.autocast(self.accelerator.device.type, enabled=False):
                self.accelerator.backward(result.loss * scale, **self._backward_options)

        tally = self._run(stage, model, items, plan, backward)
        return StepResult(torch.as_tensor(tally.loss) * scale, tally)

    def evaluate(self, stage: Stage[Item], model: nn.Module, items: Sequence[Item]) -> Tally:
        """The sums of the items, without gradients."""
        with torch.no_grad():
            return self._run(stage, model, items, self._plan(stage, items), None)

    def logprobs(self, stage: Stage[Item], model: nn.Module, items: Sequence[Item]) -> list[list[Tensor]]:
        """Log-probs of the scored tokens of each item's sequences in the rows a step would have, on the CPU."""
        found: list[list[Tensor]] = [[] for _ in items]
        with torch.no_grad(), self.accelerator.autocast():
            for row in self._rows(stage, items):
                for i, scores in zip(row, self._scores(stage, model, [items[i] for i in row], ()), strict=True):
                    found[i] = [each.values.cpu() for each in scores]
        return found

    def means(self, stage: Stage[Item], tally: Tally) -> Means:
        """Means over the items of all processes."""
        counts = torch.tensor([tally.weight, tally.items, tally.tree_tokens, tally.sequence_tokens])
        metrics = torch.as_tensor(tally.metrics).expand(len(stage.metrics))
        parts = (counts, *(torch.as_tensor(each).view(1) for each in (tally.loss, tally.auxiliary)), metrics)
        sums = torch.cat([part.to(self.accelerator.device, torch.float64) for part in parts])
        weight, items, tree, sequence, loss, auxiliary, *rest = self.accelerator.reduce(sums, "sum").tolist()
        count = weight if stage.metrics_by_weight else items
        of_experts = {"aux_loss": auxiliary / (weight or 1)} if self.auxiliary else {}
        return Means(
            loss / (weight or 1),
            {name: value / (count or 1) for name, value in zip(stage.metrics, rest, strict=True)} | of_experts,
            items,
            tree,
            sequence,
        )

    def _run(
        self,
        stage: Stage[Item],
        model: nn.Module,
        items: Sequence[Item],
        plan: Plan,
        backward: Callable[[RowResult], None] | None,
    ) -> Tally:
        tally = plan.tally
        of_items: dict[int, Tensor] = {}
        # One context for all rows: the casts of the weights are made once a step and freed at its end.
        with self.accelerator.autocast():
            if stage.coupling is not None:
                items = self._coupled(stage, stage.coupling, model, items, plan)
            for number, row in enumerate(plan.rows):
                with self._synchronised(model, backward is None or number == len(plan.rows) - 1):
                    result = self._row(stage, model, [items[i] for i in row])
                    if backward is not None:
                        backward(result)
                tally.loss = tally.loss + result.loss.detach()
                tally.metrics = tally.metrics + result.metrics
                tally.auxiliary = tally.auxiliary + result.auxiliary
                if result.of_items is not None:
                    of_items |= zip(row, result.of_items.cpu(), strict=True)
        tally.of_items = [of_items[i] for i in sorted(of_items)]
        return tally

    def _coupled(
        self, stage: Stage[Item], coupling: Coupling[Item], model: nn.Module, items: Sequence[Item], plan: Plan
    ) -> Sequence[Item]:
        """The items, each knowing its loss among all items of the step."""
        observed: dict[int, Any] = {}
        with torch.no_grad():
            for row in plan.rows:
                of_row = [items[i] for i in row]
                if row:
                    scores = self._scores(stage, model, of_row, stage.statistics)
                    observed |= zip(row, coupling.observe(model, of_row, scores), strict=True)
                else:
                    self._run_nothing(stage, model)
        mine = [observed[i] for i in range(len(items))]
        if self.accelerator.num_processes == 1:
            return coupling.couple(items, mine, 0)
        everyone: list[list[Any]] = gather_object([mine])
        rank = self.accelerator.process_index
        return coupling.couple(items, [each for part in everyone for each in part], sum(map(len, everyone[:rank])))

    def _row(self, stage: Stage[Item], model: nn.Module, items: Sequence[Item]) -> RowResult:
        if not items:
            values = self._run_nothing(stage, model)
            return RowResult(values.sum() * 0, values.new_zeros(len(stage.metrics)))
        if not self.auxiliary:
            return stage.row(model, items, self._scores(stage, model, items, stage.statistics))
        with auxiliary_losses(model) as found:
            scores = self._scores(stage, model, items, stage.statistics)
        result = stage.row(model, items, scores)
        auxiliary = torch.stack(found).mean() * sum(map(stage.weight, items))
        return result._replace(loss=result.loss + self.auxiliary * auxiliary, auxiliary=auxiliary.detach())

    def _run_nothing(self, stage: Stage[Item], model: nn.Module) -> Tensor:
        """The forwards of a row without items, which keep sharded engines in step."""
        count = 1 if self.shared else stage.sequences_per_item
        nothing = [ScoredSequence([0, 0], np.array([1]))] * count
        scores = stage.score(model, nothing, shared=self.shared)
        stage.run_beside(model, nothing)
        return torch.cat([each.values for each in scores])

    def _scores(
        self, stage: Stage[Item], model: nn.Module, items: Sequence[Item], statistics: Sequence[str]
    ) -> list[list[TokenScores]]:
        sequences = [stage.sequences(item) for item in items]
        together = [each for item in sequences for each in item]
        flat = iter(stage.score(model, together, statistics=statistics, shared=self.shared, chunked=self.chunked))
        return [[next(flat) for _ in item] for item in sequences]

    def _rows(self, stage: Stage[Item], items: Sequence[Item]) -> list[list[int]]:
        ids = [[sequence.input_ids for sequence in stage.sequences(item)] for item in items]
        if not self.shared:  # the longest first, as `pack_rows` has it
            return sorted([[i] for i in range(len(items))], key=lambda row: -max(map(len, ids[row[0]])))
        return pack_rows(ids, self.max_tokens_per_row, full_at=self.full_at)

    def _plan(self, stage: Stage[Item], items: Sequence[Item]) -> Plan:
        """Cut the step into rows, and agree with the other processes on their number and on the denominator."""
        rows = self._rows(stage, items)
        sequences = [[each.input_ids for i in row for each in stage.sequences(items[i])] for row in rows]
        tally = Tally(
            weight=sum(stage.weight(item) for item in items),
            items=len(items),
            sequence_tokens=sum(len(ids) for row in sequences for ids in row),
        )
        tally.tree_tokens = (
            sum(len(build_tree(row).input_ids) for row in sequences) if self.shared else tally.sequence_tokens
        )
        weight, most_rows = tally.weight, len(rows)
        if self.accelerator.num_processes > 1:
            mine = torch.tensor([[weight, most_rows]], dtype=torch.float64, device=self.accelerator.device)
            everyone = self.accelerator.gather(mine)  # [processes, 2]
            weight, most_rows = everyone[:, 0].sum().item(), int(everyone[:, 1].max().item())
        return Plan(rows + [[] for _ in range(most_rows - len(rows))], weight, tally)

    @contextmanager
    def _synchronised(self, model: nn.Module, now: bool) -> Iterator[None]:
        """Let gradients be averaged over processes in this row's backward, or hold them back until the last row."""
        if now:
            yield
            return
        state = self.accelerator.gradient_state
        state._set_sync_gradients(False)
        try:
            with self.accelerator.no_sync(model):
                yield
        finally:
            state._set_sync_gradients(True)

    @property
    def _backward_options(self) -> dict[str, bool]:
        """DeepSpeed would divide by its own number of accumulation steps."""
        return {"scale_wrt_gas": False} if self.accelerator.distributed_type == "DEEPSPEED" else {}
