"""Arguments of TRL's DPO trainer (0.19 to 1.16) and of its reward trainer (1.16).

A script written for them runs with its import changed.

Most have their own place in the settings, under the same name. Those here have nothing left to do, and a line says why;
or they cannot be honoured, and the error names what to use instead.
"""

import logging
from dataclasses import dataclass
from typing import Any

from turnpoint.errors import ConfigError

logger = logging.getLogger(__name__)

NOTHING_LEFT = {
    "padding_free": "rows of the token tree hold no padding",
    "use_logits_to_keep": "logits are made for scored tokens only",
    "use_liger_loss": "logits are made some rows at a time",
    "base_model_attribute_name": "the head is found by itself",
    "pad_token": "nothing is padded",
    "pad_to_multiple_of": "nothing is padded",
    "label_pad_token_id": "nothing is padded",
    "padding_value": "nothing is padded",
    "precompute_ref_batch_size": "the reference's pass packs rows under max_tokens_per_row",
    "max_prompt_length": "a prompt is not cut by itself; max_length and overflow say what happens to a long pair",
    "max_completion_length": "a side is not cut by itself; max_length and overflow say what happens to a long pair",
    "force_use_ref_model": "a ref_model that is given is used",
}
REFUSED = {
    "reference_free": "use a loss that needs no reference: loss_type simpo, cpo, orpo or slic",
    "tools": "put the tools into each row, in a column `tools`",
    "is_encoder_decoder": "give a decoder-only model",
    "activation_offloading": "use activation_checkpointing: true with activation_checkpointing_kwargs: {offload: true}",
    "ref_model_init_kwargs": "load the reference with these options and hand it over as ref_model",
    "dataset_kwargs": "give data in one of the formats of docs/data.md; it needs no preparation of its own",
    "eval_packing": "items of an evaluation share rows always",
    "max_target_length": "give a decoder-only model, whose sides max_length bounds",
    "eos_token": "set it on the tokenizer and hand that over as processing_class",
    "chat_template_path": "set chat_template on the tokenizer, or give --chat_template FILE",
}


@dataclass
class ArgumentsOfTRL:
    """Fields that only a script written for TRL sets. Unset again once they are explained."""

    padding_free: Any = None
    use_logits_to_keep: Any = None
    use_liger_loss: Any = None
    base_model_attribute_name: Any = None
    pad_token: Any = None
    pad_to_multiple_of: Any = None
    label_pad_token_id: Any = None
    padding_value: Any = None
    precompute_ref_batch_size: Any = None
    max_prompt_length: Any = None
    max_completion_length: Any = None
    force_use_ref_model: Any = None
    reference_free: Any = None
    tools: Any = None
    is_encoder_decoder: Any = None
    activation_offloading: Any = None
    ref_model_init_kwargs: Any = None
    dataset_kwargs: Any = None
    eval_packing: Any = None
    max_target_length: Any = None
    eos_token: Any = None
    chat_template_path: Any = None

    def explain(self, name: str) -> None:
        """Say what became of the arguments that are set.

        Args:
            name: of the settings, for the lines.

        Raises:
            ConfigError: one of them cannot be honoured.
        """
        for argument, instead in REFUSED.items():
            if getattr(self, argument) not in (None, False):
                raise ConfigError(f"{name}: {argument}: is not supported (got {getattr(self, argument)!r}); {instead}")
            setattr(self, argument, None)
        for argument, why in NOTHING_LEFT.items():
            if getattr(self, argument) not in (None, False):
                logger.warning("%s: %s has nothing left to do: %s", name, argument, why)
            setattr(self, argument, None)
