"""Tiny random models that read images, each with a processor built here, and pairs about images."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image as Pillow
from tests.template.tiny_tokenizers import byte_level
from transformers import (
    CLIPImageProcessor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
    ProcessorMixin,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
    "initializer_range": 0.3,  # logits that differ by more than their rounding
    "bos_token_id": None,
    "eos_token_id": None,
}


class Vision(NamedTuple):
    """A model and its processor."""

    model: PreTrainedModel
    processor: ProcessorMixin


def picture(seed: int, size: tuple[int, int] = (32, 32)) -> Pillow.Image:
    """An image of noise, so that no two look alike to a random model."""
    values = np.random.default_rng(seed).integers(1, 255, (*size, 3), dtype=np.uint8)
    return Pillow.fromarray(values)


def row(question: str, chosen: str, rejected: str, images: Sequence[Any], **fields: Any) -> dict[str, Any]:
    """A row as TRL's vision data sets have it: messages of text, images in a column."""
    return {
        "images": list(images),
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        **fields,
    }


def rows() -> list[dict[str, Any]]:
    """Two pairs that share their image and question, one with another image, one with two images, one with none."""
    first, second = picture(1), picture(2)
    return [
        row("what is it", "a cat", "a red dog", [first]),
        row("what is it", "a grey cat", "no idea", [first]),
        row("what is it", "a cat", "a red dog", [second]),
        row("which is larger", "the first", "the second one", [first, second]),
        row("who are you", "a model", "a person", []),
    ]


def llava(dtype: torch.dtype = torch.float64) -> Vision:
    """LLaVA over GPT-2, which computes in float64 throughout; 16 tokens an image."""
    tokenizer = byte_level(("<|im_start|>", "<|im_end|>", "<image>"), bos=None, eos="<|im_end|>")
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=vision | {"model_type": "siglip_vision_model", "image_size": 32, "patch_size": 8},
        text_config={
            "model_type": "gpt2",
            "tie_word_embeddings": False,
            "vocab_size": len(tokenizer),
            "n_embd": 16,
            "n_layer": 2,
            "n_head": 2,
            "n_positions": 512,
            "initializer_range": 0.3,
            "bos_token_id": None,
            "eos_token_id": None,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
    return Vision(_made(LlavaForConditionalGeneration, config, dtype), processor)


def idefics3(dtype: torch.dtype = torch.float64) -> Vision:
    """Idefics3 and SmolVLM: an image is cut into tiles, with other tokens between those of each."""
    special = ("<|im_start|>", "<|im_end|>", "<image>", "<fake_token_around_image>", "<global-img>")
    tiles = tuple(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))
    tokenizer = byte_level((*special, "<end_of_utterance>", *tiles), bos=None, eos="<|im_end|>")
    processor = Idefics3Processor(
        Idefics3ImageProcessor(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        tokenizer,
        image_seq_len=4,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Idefics3Config(
        vision_config=vision | {"image_size": 32, "patch_size": 8},
        text_config=TEXT | {"model_type": "llama", "vocab_size": len(tokenizer), "pad_token_id": 0},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return Vision(_made(Idefics3ForConditionalGeneration, config, dtype), processor)


class _WithoutVideos(Qwen2VLProcessor):
    """Reading videos would need torchvision."""

    def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
        return None if name == "video_processor" else super().check_argument_for_proper_class(name, argument)


def qwen2_vl(dtype: torch.dtype = torch.float64) -> Vision:
    """Qwen2-VL: positions of images have three dimensions, so that the tree does not hold."""
    pads = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = byte_level(("<|im_start|>", "<|im_end|>", *pads), bos=None, eos="<|im_end|>")
    processor = _WithoutVideos(
        Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, size={"shortest_edge": 1024, "longest_edge": 4096}),
        tokenizer,
        None,
        chat_template=TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    ids = dict(
        zip(("vision_start", "vision_end", "image", "video"), tokenizer.convert_tokens_to_ids(pads), strict=True)
    )
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    config = Qwen2VLConfig(
        vision_config={"embed_dim": 16, "depth": 2, "num_heads": 2, "hidden_size": 16, "mlp_ratio": 2, "patch_size": 8},
        text_config=TEXT | {"vocab_size": len(tokenizer), "rope_parameters": rope},
        **{f"{name}_token_id": each for name, each in ids.items()},
    )
    return Vision(_made(Qwen2VLForConditionalGeneration, config, dtype), processor)


KINDS: dict[str, Callable[..., Vision]] = {"llava": llava, "idefics3": idefics3, "qwen2_vl": qwen2_vl}


def _made(kind: Any, config: Any, dtype: torch.dtype) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = kind(config).to(dtype)
    return model.eval()
