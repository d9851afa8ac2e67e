"""Padded batches of pairs, for training loops of one's own; the trainers of turnpoint pad nothing.

Shapes: B pairs, L tokens of the longest side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from turnpoint.errors import ConfigError


@dataclass
class DataCollatorForPreference:
    """Chosen sides, then rejected ones, padded on the right, under the names and in the layout of TRL.

    Args:
        pad_token_id: fills what is left of a row.
        max_length: most tokens of a side; what is beyond is cut off its end.
        truncation_mode: keep_start, the only one: keep_end would cut off the system message and the tools.
        pad_to_multiple_of: rounds L up; None does not.
        return_tensors: pt, the only one.

    Raises:
        ConfigError: another truncation mode.
    """

    pad_token_id: int
    max_length: int | None = None
    truncation_mode: str = "keep_start"
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __post_init__(self) -> None:
        if self.truncation_mode != "keep_start":
            raise ConfigError(
                "DataCollatorForPreference: truncation_mode: must be keep_start, since keep_end would cut off the"
                f" system message and the tools (got {self.truncation_mode!r}); leave it out"
            )

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """A batch.

        Args:
            examples: B of them, each with token ids `prompt_ids`, `chosen_ids`, `rejected_ids`.

        Returns:
            `input_ids`, `attention_mask` and `completion_mask`, int64 [2 B, L]; and `ref_chosen_logps` and
            `ref_rejected_logps` [B] where the examples have them.
        """
        sides = [
            (example["prompt_ids"], example[f"{side}_ids"]) for side in ("chosen", "rejected") for example in examples
        ]
        rows = [
            ([*prompt, *completion][: self.max_length], ([0] * len(prompt) + [1] * len(completion))[: self.max_length])
            for prompt, completion in sides
        ]
        length = max(len(ids) for ids, _ in rows)
        length += -length % (self.pad_to_multiple_of or 1)
        return {
            "input_ids": _padded([ids for ids, _ in rows], length, self.pad_token_id),
            "attention_mask": _padded([[1] * len(ids) for ids, _ in rows], length, 0),
            "completion_mask": _padded([mask for _, mask in rows], length, 0),
        } | {
            name: torch.tensor([example[name] for example in examples])
            for name in ("ref_chosen_logps", "ref_rejected_logps")
            if name in examples[0]
        }


def _padded(rows: Sequence[Sequence[int]], length: int, value: int) -> Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows], dtype=torch.int64)
