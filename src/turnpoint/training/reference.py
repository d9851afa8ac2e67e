"""The reference: the model that the policy is measured against."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate.utils import extract_model_from_parallel
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from turnpoint.errors import ConfigError

REFERENCE_ADAPTER = "reference"


@dataclass(frozen=True)
class Reference:
    """Another model, or the policy with another adapter or with none.

    Args:
        model: the reference, frozen and in evaluation mode.
        adapter: of the policy, the one that makes it the reference. Without a model, None stands for no adapter.
    """

    model: nn.Module | None = None
    adapter: str | None = None

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
            with policy.disable_adapter() if self.adapter is None else _switched(policy, self.adapter):
                yield policy
        finally:
            policy.train(was_training)

    def follow(self, policy: nn.Module, share: float) -> None:
        """Move the weights of the reference towards those of the policy (TR-DPO, arXiv 2404.09656).

        Args:
            policy: bare.
            share: of the policy in the new weights, in (0, 1].
        """
        with torch.no_grad():
            for reference, current in self._weights(policy):
                wide = torch.promote_types(reference.dtype, torch.float32)
                reference.copy_(torch.lerp(reference.to(wide), current.to(reference.device, wide), share))

    def check_can_follow(self, policy: nn.Module) -> None:
        """Refuse a reference that has no weights of its own, or others than the policy.

        Raises:
            ConfigError: there is nothing to move.
        """
        if self.model is None and self.adapter is None:
            raise ConfigError(
                "sync_ref_model: the reference is the model with its adapter off, whose weights cannot follow (got"
                " True); leave it out, or train an adapter that is there already (without peft_config)"
            )
        if self.model is not None:
            ours, theirs = dict(policy.named_parameters()), dict(self.model.named_parameters())
            if {name: p.shape for name, p in ours.items()} != {name: p.shape for name, p in theirs.items()}:
                raise ConfigError(
                    "sync_ref_model: ref_model has other weights than the model (got True); leave ref_model out, or"
                    " give one of the same shape without an adapter"
                )

    def _weights(self, policy: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        """Weights of the reference beside those of the policy."""
        if self.model is not None:
            current = dict(policy.named_parameters())
            yield from ((reference, current[name]) for name, reference in self.model.named_parameters())
            return
        assert isinstance(policy, PeftModel)
        assert self.adapter is not None
        ours, theirs = (_of_adapter(policy, name) for name in (policy.active_adapter, self.adapter))
        yield from ((reference, ours[name]) for name, reference in theirs.items())


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy of the model as it is now, in evaluation mode, that no training step moves."""
    return frozen(copy.deepcopy(model))


def frozen(model: nn.Module) -> nn.Module:
    """The model itself, in evaluation mode, without gradients."""
    return model.eval().requires_grad_(False)


def copied_adapter(policy: PeftModel) -> str:
    """Give the policy a frozen copy of its adapter as it is now; the name of the copy."""
    active, trainable = policy.active_adapter, _trainable(policy)
    if REFERENCE_ADAPTER in policy.peft_config:  # of an earlier run with this model
        policy.delete_adapter(REFERENCE_ADAPTER)
    policy.add_adapter(REFERENCE_ADAPTER, copy.deepcopy(policy.peft_config[active]))
    weights = get_peft_model_state_dict(policy, adapter_name=active)
    set_peft_model_state_dict(policy, weights, adapter_name=REFERENCE_ADAPTER)
    policy.set_adapter(active)
    _restore(policy, trainable)
    return REFERENCE_ADAPTER


def use_adapter(model: nn.Module, adapter: str | None, reference: str | None) -> None:
    """Train the adapter `adapter` of a model that has several, and leave `reference` as it is.

    Raises:
        ConfigError: the model has no such adapter, or both are one.
    """
    for field, name in (("model_adapter_name", adapter), ("ref_adapter_name", reference)):
        known = list(model.peft_config) if isinstance(model, PeftModel) else []
        if name is not None and name not in known:
            raise ConfigError(
                f"{field}: the model has no such adapter (got {name!r}; it has {', '.join(known) or 'none'}); load it"
                " with model.load_adapter(folder, name)"
            )
    if adapter is not None:
        cast(Any, model).set_adapter(adapter)
    if reference is not None and cast(Any, model).active_adapter == reference:
        raise ConfigError(
            f"ref_adapter_name: is the adapter that training moves (got {reference!r}); load the adapter twice and name"
            " the other one model_adapter_name"
        )


@contextmanager
def _switched(policy: PeftModel, adapter: str) -> Iterator[None]:
    """The policy with another adapter; what is trained stays what it was."""
    active, trainable = policy.active_adapter, _trainable(policy)
    policy.set_adapter(adapter, inference_mode=True)
    try:
        yield
    finally:
        policy.set_adapter(active)
        _restore(policy, trainable)


def _trainable(policy: nn.Module) -> dict[str, bool]:
    return {name: parameter.requires_grad for name, parameter in policy.named_parameters()}


def _restore(policy: nn.Module, trainable: dict[str, bool]) -> None:
    """Train what was trained; what is new is not."""
    for name, parameter in policy.named_parameters():
        parameter.requires_grad_(trainable.get(name, False))


def _of_adapter(policy: PeftModel, adapter: str) -> dict[str, Tensor]:
    """Parameters of an adapter by the names they would have in any adapter."""
    part = f".{adapter}."
    named = ((f"{name}.", parameter) for name, parameter in policy.named_parameters())
    return {name.replace(part, "."): parameter for name, parameter in named if part in name}
