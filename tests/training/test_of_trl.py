"""Arguments of TRL: those with nothing left to do get a line, those that cannot be honoured an error; its collator."""

import dataclasses
import warnings
from typing import Any

import pytest
import torch

from turnpoint.errors import ConfigError
from turnpoint.training import DataCollatorForPreference, DPOConfig, RewardConfig
from turnpoint.training.of_trl import NOTHING_LEFT, REFUSED, ArgumentsOfTRL


def test_every_argument_is_explained_or_refused() -> None:
    fields = {item.name for item in dataclasses.fields(ArgumentsOfTRL)}
    assert fields == {*NOTHING_LEFT, *REFUSED}


@pytest.mark.parametrize("config", [DPOConfig, RewardConfig])
def test_all_settings_of_trl_are_taken_or_named(config: type) -> None:
    """Every field of the settings of that name in TRL 1.16.0 is one of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trl = pytest.importorskip("trl", reason="TRL is for development only")
        theirs = {item.name for item in dataclasses.fields(getattr(trl, config.__name__))}
    assert theirs <= {item.name for item in dataclasses.fields(config)}


@pytest.mark.parametrize("name", NOTHING_LEFT)
def test_an_argument_with_nothing_left_to_do_gets_one_line(name: str, caplog: pytest.LogCaptureFixture) -> None:
    given: dict[str, Any] = {name: 7}
    config = DPOConfig(**given)
    config.with_one_batch_a_step()
    assert caplog.messages == [f"DPOConfig: {name} has nothing left to do: {NOTHING_LEFT[name]}"]
    assert name not in config.resolved()


@pytest.mark.parametrize("name", REFUSED)
def test_an_argument_that_cannot_be_honoured_is_refused(name: str) -> None:
    given: dict[str, Any] = {name: True}
    with pytest.raises(ConfigError) as error:
        DPOConfig(**given)
    assert str(error.value) == f"DPOConfig: {name}: is not supported (got True); {REFUSED[name]}"


def test_options_for_loading_need_a_model_by_name(stages: Any, tiny_model: Any, pairs: Any) -> None:
    with pytest.raises(
        ConfigError, match="model_init_kwargs: the model is loaded already, so that nothing reads dtype"
    ):
        stages.dpo(tiny_model(), pairs, model_init_kwargs={"torch_dtype": "bfloat16"})


def test_the_collator_pads_sides_on_the_right() -> None:
    examples = [
        {"prompt_ids": [1, 2], "chosen_ids": [3], "rejected_ids": [4, 5]},
        {"prompt_ids": [6], "chosen_ids": [7, 8], "rejected_ids": [9]},
    ]
    batch = DataCollatorForPreference(pad_token_id=0, pad_to_multiple_of=3)(examples)
    assert batch["input_ids"].tolist() == [
        [1, 2, 3, 0, 0, 0],
        [6, 7, 8, 0, 0, 0],
        [1, 2, 4, 5, 0, 0],
        [6, 9, 0, 0, 0, 0],
    ]
    assert batch["completion_mask"].sum().item() == 6
    assert torch.equal(batch["attention_mask"], (batch["input_ids"] != 0).long())
    cut = DataCollatorForPreference(pad_token_id=0, max_length=2)(examples)
    assert cut["input_ids"].tolist() == [[1, 2], [6, 7], [1, 2], [6, 9]]


def test_the_collator_does_not_cut_the_start() -> None:
    with pytest.raises(ConfigError, match="truncation_mode: must be keep_start"):
        DataCollatorForPreference(pad_token_id=0, truncation_mode="keep_end")


def test_a_collator_has_nothing_to_do_or_is_refused(
    stages: Any, tiny_model: Any, pairs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stages.dpo(tiny_model(), pairs, given={"data_collator": DataCollatorForPreference(pad_token_id=0)})
    assert "DPOTrainer: data_collator has nothing left to do: nothing is padded" in caplog.messages
    with pytest.raises(ConfigError, match="data_collator: would not be called, since nothing is padded"):
        stages.dpo(tiny_model(), pairs, given={"data_collator": list})
