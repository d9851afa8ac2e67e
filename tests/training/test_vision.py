"""Models that read images: what is shared is computed once, and every number is that of the model's own processor."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, Features, List
from datasets import Image as ImageFeature
from peft import LoraConfig
from PIL import Image as Pillow
from tests.training.vision import KINDS, Vision, picture, row, rows
from torch import Tensor
from torch.nn import functional
from transformers.image_utils import load_image

from turnpoint.data import load_pairs
from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.errors import ConfigError, DataError, TemplateError
from turnpoint.template import Renderer, ensure_tool_template, open_image
from turnpoint.training import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer, images
from turnpoint.training.images import image_inputs_of
from turnpoint.training.pair_examples import PairExample, pair_example
from turnpoint.tree import build_tree, sequence_logprobs

SHARED = ["llava", "idefics3"]


def assert_same(found: Tensor, expected: Tensor, vision: Vision) -> None:
    """Norms and rotary tables of Llama and Qwen are float32 in any dtype; GPT-2 computes in float64."""
    exact = vision.model.config.get_text_config().model_type == "gpt2"
    torch.testing.assert_close(found, expected, atol=1e-9 if exact else 1e-5, rtol=0.0)


@pytest.fixture(params=KINDS)
def vision(request: pytest.FixtureRequest) -> Vision:
    return KINDS[request.param]()


def pairs() -> list[PreferencePair]:
    return load_pairs(rows())[0]


def examples(vision: Vision) -> list[PairExample]:
    renderer, images = Renderer(vision.processor), image_inputs_of(vision.processor)
    return [pair_example(renderer.tokenize_pair(pair), first_turn=0, images=images) for pair in pairs()]


def plain_logps(vision: Vision, dialogue: Dialogue) -> Tensor:
    """Log-probs of the answer, from what the model's processor makes of the rendered dialogue and its images."""
    renderer = Renderer(vision.processor)
    images = [open_image(image, "here") for message in dialogue.messages for image in message.images]
    inputs = vision.processor(
        text=[renderer.text(dialogue)],
        images=[images] if images else None,
        add_special_tokens=False,
        return_tensors="pt",
    )
    ids = inputs["input_ids"][0]
    tokenized = renderer.tokenize(dialogue)
    assert tokenized.input_ids == ids.tolist()
    scored = torch.tensor(tokenized.scored())
    logits: Tensor = vision.model(**inputs).logits[0]
    return logits.log_softmax(-1)[scored - 1, ids[scored]]


def features() -> Features:
    """Of the rows, their images encoded as the library does."""
    plain = [{name: value for name, value in each.items() if name != "images"} for each in rows()]
    return Features({**Dataset.from_list(plain).features, "images": List(ImageFeature())})


def both_sides(pair: PreferencePair) -> tuple[Dialogue, Dialogue]:
    return pair.side("chosen"), pair.side("rejected")


def trainer(vision: Vision, data: Any, folder: Path, **settings: Any) -> DPOTrainer:
    defaults: dict[str, Any] = {
        "output_dir": str(folder),
        "optim": "sgd",
        "learning_rate": 0.1,
        "max_grad_norm": 0,
        "beta": 0.5,
    }
    defaults |= {"per_device_train_batch_size": 5, "logging_steps": 1, "lr_scheduler_type": "constant"}
    args = DPOConfig(**defaults | {"save_strategy": "no"} | settings)
    return DPOTrainer(vision.model, args=args, train_dataset=data, processing_class=vision.processor)


def test_only_the_answer_is_scored(vision: Vision) -> None:
    renderer = Renderer(vision.processor)
    tokenized = renderer.tokenize_pair(pairs()[3])
    assert len(tokenized.chosen.images) == 2
    for side, answer in ((tokenized.chosen, "the first"), (tokenized.rejected, "the second one")):
        written = vision.processor.tokenizer.decode([side.input_ids[i] for i in side.scored()])
        assert written == answer + "<|im_end|>"
        assert not {i for start, end, _ in side.images for i in range(start, end)} & set(side.scored())


def test_log_probs_are_those_of_the_models_own_processor(vision: Vision) -> None:
    own = [plain_logps(vision, side) for pair in pairs() for side in both_sides(pair)]
    sequences = [side.sequence for item in examples(vision) for side in (item.chosen, item.rejected)]
    found = sequence_logprobs(vision.model, sequences, shared=False)
    assert_same(torch.cat(found), torch.cat(own), vision)


@pytest.mark.parametrize("kind", SHARED)
def test_the_tree_gives_the_same_numbers_and_gradients(kind: str) -> None:
    """Images that differ keep sequences apart: `what is it` about the one is not `what is it` about the other."""
    vision = KINDS[kind]()
    sequences = [side.sequence for item in examples(vision) for side in (item.chosen, item.rejected)]
    found = []
    for shared in (False, True):
        vision.model.zero_grad()
        logps = sequence_logprobs(vision.model, sequences, shared=shared)
        torch.cat(logps).sum().backward()
        gradients = [p.grad.flatten() for p in vision.model.parameters() if p.grad is not None]
        found.append((torch.cat(logps).detach(), torch.cat(gradients)))
    assert_same(found[1][0], found[0][0], vision)
    assert_same(found[1][1], found[0][1], vision)
    by_image = [sequence_logprobs(vision.model, [sequences[i]])[0] for i in (0, 4)]
    assert (by_image[0] - by_image[1]).abs().max() > 1e-3  # they do look at their images
    tokens = len(build_tree([sequence.input_ids for sequence in sequences]).input_ids)
    assert tokens < sum(len(sequence.input_ids) for sequence in sequences) / 2


@pytest.mark.parametrize("kind", SHARED)
def test_pixels_are_encoded_once_for_each_image_of_the_tree(kind: str) -> None:
    """Ten sequences hold ten images: two different ones at the start, and a second one behind the first."""
    vision = KINDS[kind]()
    sequences = [side.sequence for item in examples(vision) for side in (item.chosen, item.rejected)]
    assert sum(len(sequence.images) for sequence in sequences) == 10
    images: list[int] = []
    encoder = vision.model.model.vision_tower if kind == "llava" else vision.model.model.vision_model
    encoder.register_forward_hook(
        lambda module, args, kwargs, output: images.append(len(kwargs.get("pixel_values", args[0] if args else ()))),
        with_kwargs=True,
    )
    sequence_logprobs(vision.model, sequences)
    tiles = 5 if kind == "idefics3" else 1  # four and the whole
    assert images == [3 * tiles]


def test_a_step_is_dpo_written_out_plainly(vision: Vision, tmp_path: Path) -> None:
    """Loss and one step of gradient descent, through the image encoder as well; the reference is the model before."""
    losses = []
    for pair in pairs():
        ratios = [(logps := plain_logps(vision, side)).sum() - logps.sum().detach() for side in both_sides(pair)]
        losses.append(-functional.logsigmoid(0.5 * (ratios[0] - ratios[1])))
    loss = torch.stack(losses).mean()
    parameters = list(vision.model.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    expected = [p.detach() - (0 if g is None else 0.1 * g) for p, g in zip(parameters, gradients, strict=True)]

    training = trainer(vision, rows(), tmp_path)
    training.train()
    [log] = [entry for entry in training.state.log_history if "loss" in entry]
    assert log["loss"] == pytest.approx(loss.item(), abs=1e-6)
    assert training.executor.shared == (type(vision.model).__name__ != "Qwen2VLForConditionalGeneration")
    moved = [p.detach().flatten() for p in vision.model.parameters()]
    assert_same(torch.cat(moved), torch.cat([each.flatten() for each in expected]), vision)


@pytest.mark.parametrize("settings", [{"max_tokens_per_row": 60}, {"precompute_ref_log_probs": False}])
def test_the_update_does_not_depend_on_rows_or_the_reference(settings: dict[str, Any], tmp_path: Path) -> None:
    found = []
    for run, each in enumerate(({}, settings)):
        vision = KINDS["llava"]()
        trainer(vision, rows(), tmp_path / str(run), num_train_epochs=2, **each).train()
        found.append(torch.cat([p.detach().flatten() for p in vision.model.parameters()]))
    assert_same(found[1], found[0], vision)


def test_sft_reads_images_too(tmp_path: Path) -> None:
    vision = KINDS["llava"]()
    dialogues = [pair.side("chosen") for pair in pairs()]
    expected = -torch.cat([plain_logps(vision, dialogue) for dialogue in dialogues]).mean()
    args = SFTConfig(output_dir=str(tmp_path), per_device_train_batch_size=5, logging_steps=1, save_strategy="no")
    training = SFTTrainer(vision.model, args, train_dataset=dialogues, processing_class=vision.processor)
    training.train()
    assert training.state.log_history[0]["loss"] == pytest.approx(expected.item(), abs=1e-6)


def test_rated_completions_are_mismatched_by_prompt_and_image(tmp_path: Path) -> None:
    """KTO's other completion stands under the image of the prompt it was not written for."""
    vision = KINDS["llava"]()
    asked = {"prompt": [{"role": "user", "content": "what is it"}]}
    rated = [
        asked | {"images": [picture(i)], "completion": [{"role": "assistant", "content": answer}], "label": i > 1}
        for i, answer in enumerate(["a cat", "a dog", "a fox", "a cow"])
    ]
    training = trainer(vision, rated, tmp_path, loss_type="kto")
    beside = training.train_dataset[0]
    assert [image.content for image in beside.rejected.sequence.images] == [
        image.content for image in beside.chosen.sequence.images
    ]
    ids = [int(i) for i in beside.rejected.sequence.input_ids[beside.rejected.sequence.scored]]
    assert vision.processor.tokenizer.decode(ids) == "a dog<|im_end|>"
    training.train()
    assert training.state.log_history[0]["loss"] == pytest.approx(0.5, abs=1e-6)  # policy and reference are one


def test_a_data_set_of_images_on_disk_is_tokenised_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An image that changed since is noticed, though the file of rows did not."""
    monkeypatch.setenv("TURNPOINT_CACHE", str(tmp_path / "cache"))
    file, image = tmp_path / "pairs.jsonl", tmp_path / "image.png"
    picture(1).save(image)
    file.write_text(json.dumps(row("what is it", "a cat", "a dog", [str(image)])) + "\n")
    vision = KINDS["llava"]()

    def content() -> bytes:
        records = DPOTrainer.tokenize(str(file), vision.processor, DPOConfig(output_dir=str(tmp_path)))
        return bytes(records[0].chosen.images[0].image.data)

    first = content()
    assert first == image.read_bytes()
    caplog.clear()
    with caplog.at_level("INFO"):
        assert content() == first
    assert "tokenised before" in caplog.text
    picture(2, (40, 40)).save(image)
    with caplog.at_level("INFO"):
        assert content() == image.read_bytes() != first
    assert f"{image}: changed since the data was tokenised; it is made anew" in caplog.text


def test_a_data_set_of_the_library_with_an_image_column(tmp_path: Path) -> None:
    data = Dataset.from_list(rows(), features=features())
    vision = KINDS["llava"]()
    records = DPOTrainer.tokenize(data, vision.processor, DPOConfig(output_dir=str(tmp_path)))
    assert [len(records[i].chosen.images) for i in range(5)] == [1, 1, 1, 2, 0]
    opened = open_image(records[0].chosen.images[0].image, "here")
    assert opened.tobytes() == picture(1).tobytes()


def test_a_folder_is_loaded_with_its_processor(tmp_path: Path) -> None:
    vision = KINDS["llava"](torch.float32)
    vision.model.save_pretrained(tmp_path / "model")
    vision.processor.save_pretrained(tmp_path / "model")
    args = DPOConfig(output_dir=str(tmp_path / "run"), max_steps=1, logging_steps=1)
    training = DPOTrainer(str(tmp_path / "model"), args=args, train_dataset=rows())
    training.train()
    training.save_model()
    again = DPOTrainer(str(tmp_path / "run"), args=DPOConfig(output_dir=str(tmp_path / "next")), train_dataset=rows())
    assert type(again.model).__name__ == "LlavaForConditionalGeneration"
    assert type(again.processing_class).__name__ == "LlavaProcessor"
    assert "AutoModelForImageTextToText" in (tmp_path / "run" / "README.md").read_text()


def test_what_is_cut_ends_before_an_image_that_does_not_fit(tmp_path: Path) -> None:
    vision = KINDS["llava"]()
    later = [
        {"role": "assistant", "content": "a cat"},
        {"role": "user", "content": [{"type": "text", "text": "and this"}, {"type": "image", "image": picture(2)}]},
        {"role": "assistant", "content": "a dog"},
    ]
    pair = row("what is it", "a cat", "a red dog", [picture(1)]) | {"chosen": later}
    config = DPOConfig(output_dir=str(tmp_path), max_length=46, overflow="keep_start")
    [record] = [DPOTrainer.tokenize([pair], vision.processor, config)[0]]
    assert [len(side.images) for side in (record.chosen, record.rejected)] == [1, 1]
    assert vision.processor.tokenizer.decode(record.chosen.input_ids).endswith("and this")


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    vision = KINDS["llava"]()
    with pytest.raises(TemplateError, match=r"row 0 \(chosen\): images: a tokenizer reads none; name a model"):
        trainer(Vision(vision.model, vision.processor.tokenizer), rows(), tmp_path).train()
    broken = [row("what is it", "a cat", "a dog", [b"no image"])]
    with pytest.raises(DataError, match=r"row 0 \(chosen\): an image of 8 bytes cannot be opened"):
        trainer(vision, broken, tmp_path)
    tagged = [row("what is it", "an <image>", "a dog", [])]
    with pytest.raises(TemplateError, match=r"row 0 \(chosen\): .* writes 1 image tokens \('<image>'\) for 0 images"):
        trainer(vision, tagged, tmp_path)
    with pytest.raises(ConfigError, match="generate_during_eval: replies to images are not generated here"):
        args = DPOConfig(output_dir=str(tmp_path), generate_during_eval=True, eval_strategy="steps", eval_steps=1)
        DPOTrainer(
            vision.model, args=args, train_dataset=rows(), eval_dataset=rows(), processing_class=vision.processor
        )


def test_images_of_other_modes_are_read_as_rgb() -> None:
    [pair], _ = load_pairs([row("what", "a", "b", [Pillow.new("L", (8, 8), 7)])])
    assert open_image(pair.prompt[0].images[0], "here").getpixel((0, 0)) == (7, 7, 7)


def test_photographs_stand_upright_as_transformers_loads_them(tmp_path: Path) -> None:
    photograph = picture(1, (4, 8))
    exif = photograph.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    photograph.save(tmp_path / "one.jpg", exif=exif)
    [pair], _ = load_pairs([row("what", "a", "b", [str(tmp_path / "one.jpg")])])
    found = open_image(pair.prompt[0].images[0], "here")
    expected = load_image(str(tmp_path / "one.jpg"))
    assert (found.size, found.tobytes()) == (expected.size, expected.tobytes()) != (photograph.size, b"")


def test_an_adapter_evaluated_in_bfloat16(tmp_path: Path) -> None:
    """LoRA over a model that reads images: its reference is the adapter off; rewards are those of float32 nearly."""
    found = []
    for bf16 in (False, True):
        vision = KINDS["llava"](torch.float32)
        args = DPOConfig(
            output_dir=str(tmp_path / str(bf16)),
            bf16=bf16,
            max_steps=2,
            learning_rate=1e-2,
            per_device_train_batch_size=5,
            eval_strategy="steps",
            eval_steps=2,
            save_strategy="no",
        )
        adapter = LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True)
        training = DPOTrainer(
            vision.model,
            args=args,
            train_dataset=rows(),
            eval_dataset=rows(),
            processing_class=vision.processor,
            peft_config=adapter,
        )
        training.train()
        found.append(training.evaluate()["eval_rewards/margins"])
    assert found[0] > 0.05
    assert found[1] == pytest.approx(found[0], rel=0.2)


def test_a_stream_of_images_trains_as_the_list_does(tmp_path: Path) -> None:
    found = []
    for number, data in enumerate((rows(), Dataset.from_list(rows(), features=features()).to_iterable_dataset())):
        vision = KINDS["llava"]()
        settings = {"max_steps": 2, "train_sampling_strategy": "sequential", "precompute_ref_log_probs": False}
        trainer(vision, data, tmp_path / str(number), **settings).train()
        found.append(torch.cat([p.detach().flatten() for p in vision.model.parameters()]))
    assert_same(found[1], found[0], vision)


def test_a_stream_whose_images_come_late_is_not_trusted_to_the_tree(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vision = KINDS["llava"]()
    late = [rows()[4]] * 16 + rows()
    stream = Dataset.from_list(late, features=features()).to_iterable_dataset()
    training = trainer(vision, stream, tmp_path, max_steps=1)
    training.train()
    assert not training.executor.shared
    assert "none of the first 16 rows of the stream holds an image to try it on" in caplog.text


def test_images_are_tried_wherever_they_stand(tmp_path: Path) -> None:
    """A model whose images see both ways without saying so is found out behind any number of texts."""
    vision = KINDS["idefics3"]()
    inner = vision.model.model.text_model.forward

    def both_ways(*args: Any, attention_mask: Any = None, **options: Any) -> Any:
        if attention_mask is not None and attention_mask.dim() == 4:
            attention_mask = attention_mask | attention_mask.transpose(-1, -2)
        return inner(*args, attention_mask=attention_mask, **options)

    vision.model.model.text_model.forward = both_ways
    training = trainer(vision, [rows()[4]] * 40 + rows()[:3], tmp_path, max_steps=1)
    training.train()
    assert not training.executor.shared


def test_a_changed_image_processor_makes_the_reference_anew(tmp_path: Path) -> None:
    """Tokens are the same, pixels are not."""
    rewards = []
    for mean in (0.5, 0.1):
        vision = KINDS["llava"]()
        vision.processor.image_processor.image_mean = [mean] * 3
        training = trainer(vision, rows(), tmp_path, max_steps=1)
        training.train()
        rewards.append(training.state.log_history[0]["rewards/chosen"])
    assert rewards == pytest.approx([0, 0], abs=1e-9)


def test_images_whose_tokens_see_each_other_both_ways_are_refused(tmp_path: Path) -> None:
    """Texts alone train with such a model."""
    vision = KINDS["llava"]()
    vision.model.config.text_config.use_bidirectional_attention = "vision"
    trainer(vision, rows()[4:], tmp_path)
    with pytest.raises(ConfigError, match="lets the tokens of an image see those after them, which is not trained"):
        trainer(vision, rows(), tmp_path)


def test_sharded_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vision = KINDS["llava"]()
    monkeypatch.setattr(images, "is_deepspeed_zero3_enabled", lambda: True)
    with pytest.raises(ConfigError, match=r"holds images, on which weights sharded over processes \(FSDP, ZeRO-3\)"):
        trainer(vision, rows(), tmp_path)


def test_a_tokenizer_whose_template_writes_parts_gets_parts() -> None:
    """What a user says reaches the model where only texts are read, and the template is kept."""
    vision = KINDS["idefics3"]()
    tokenizer = vision.processor.tokenizer
    tokenizer.chat_template = vision.processor.chat_template
    assert ensure_tool_template(tokenizer) is None
    ids = Renderer(tokenizer).prompt_ids([Message(role="user", content="who are you")], ())
    assert tokenizer.decode(ids) == "<|im_start|>user\nwho are you<|im_end|>\n<|im_start|>assistant\n"
