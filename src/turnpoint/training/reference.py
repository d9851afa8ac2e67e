"""The reference: the model that the policy is measured against."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from accelerate.utils import extract_model_from_parallel
from peft import PeftModel
from torch import nn


@dataclass(frozen=True)
class Reference:
    """Another model, or the policy with its adapter off.

    Args:
        model: the reference, frozen and in evaluation mode; None: the policy without its adapter.
    """

    model: nn.Module | None

    @contextmanager
    def of(self, policy: nn.Module) -> Iterator[nn.Module]:
        """The reference of `policy`, for the time of the context.

        Args:
            policy: the model being trained, bare or wrapped by a distributed engine.
        """
        if self.model is not None:
            yield self.model
            return
        policy = extract_model_from_parallel(policy)
        assert isinstance(policy, PeftModel), "only a model with an adapter is its own reference"
        was_training = policy.training
        policy.eval()
        try:
            with policy.disable_adapter():
                yield policy
        finally:
            policy.train(was_training)


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy of the model as it is now, in evaluation mode, that no training step moves."""
    return frozen(copy.deepcopy(model))


def frozen(model: nn.Module) -> nn.Module:
    """The model itself, in evaluation mode, without gradients."""
    return model.eval().requires_grad_(False)
