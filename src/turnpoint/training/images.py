"""Images on their way into a model: sequences with the keys of their images, and the inputs made of a row's images."""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from torch import Tensor, nn
from transformers import TrainingArguments
from transformers.integrations import is_deepspeed_zero3_enabled, is_fsdp_enabled

from turnpoint.dialogue import Image
from turnpoint.errors import ConfigError
from turnpoint.template import TokenizedDialogue, open_image
from turnpoint.tree import ScoredSequence, SequenceImage, image_key, with_keys
from turnpoint.tree.build import Indexes
from turnpoint.tree.forward import bare_model

ImageInputsOf: TypeAlias = Callable[[tuple[Image, ...]], Mapping[str, Tensor]]
"""Images of a row, in order -> what a model's forward takes of them."""

_OF_TOKENS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")  # not of images


def image_inputs_of(processor: Any) -> ImageInputsOf:
    """What a processor of transformers makes of the images of one sequence that holds nothing else.

    The inputs of the last row are remembered: policy and reference run the same rows one after the other.
    """

    @lru_cache(1)
    def inputs(images: tuple[Image, ...]) -> Mapping[str, Tensor]:
        opened = [open_image(image, "a row") for image in images]
        text = processor.image_token * len(images)
        found = processor(text=[text], images=[opened], add_special_tokens=False, return_tensors="pt")
        return {name: value for name, value in found.items() if name not in _OF_TOKENS}

    return inputs


def check_can_read_images(model: nn.Module, config: TrainingArguments, stage: str) -> None:
    """Refuse images where they would not be trained on exactly.

    Args:
        model: that is trained.
        config: settings of its stage.
        stage: name of the trainer, for errors.

    Raises:
        ConfigError: as `check_reads_images_forward`; or weights are sharded over processes, which have to run the same
            modules, while a row without images runs no image encoder.
    """
    check_reads_images_forward(model, stage)
    if config.fsdp or is_fsdp_enabled() or is_deepspeed_zero3_enabled():
        raise ConfigError(
            f"{stage}: train_dataset: holds images, on which weights sharded over processes (FSDP, ZeRO-3) are not"
            " trained here; use DDP"
        )


def check_reads_images_forward(model: nn.Module, stage: str) -> None:
    """Refuse a model of which no tree of what came before can hold the images.

    Args:
        model: that is trained or measured.
        stage: who does so, for errors.

    Raises:
        ConfigError: the tokens of an image see each other both ways.
    """
    bare = bare_model(model)
    both_ways = getattr(bare.config.get_text_config(), "use_bidirectional_attention", None)
    if both_ways or "token_type_ids" in inspect.signature(bare.forward).parameters:
        raise ConfigError(
            f"{stage}: model: {type(bare).__name__} lets the tokens of an image see those after them, which is not"
            " trained here; take a model that reads from left to right, such as LLaVA, Idefics3, SmolVLM or Qwen2-VL"
        )


def scored_sequence(dialogue: TokenizedDialogue, scored: Indexes, inputs: ImageInputsOf | None) -> ScoredSequence:
    """A tokenised dialogue as the tree takes it.

    Args:
        dialogue: with its images in place.
        scored: indexes of the tokens to be scored.
        inputs: what becomes of images; may be None where there are none.
    """
    if not dialogue.images:
        return ScoredSequence(dialogue.input_ids, scored)
    assert inputs is not None, "a processor made the records, so it can make inputs of their images"
    places = [(start, end) for start, end, _ in dialogue.images]
    keys = [image_key(image.digest) for *_, image in dialogue.images]
    images = (
        SequenceImage(key, dialogue.input_ids[start:end], image, inputs)
        for key, (start, end, image) in zip(keys, dialogue.images, strict=True)
    )
    return ScoredSequence(with_keys(dialogue.input_ids, places, keys), scored, tuple(images))
