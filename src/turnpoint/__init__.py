"""turnpoint: preference optimisation at the turning points of a dialogue."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turnpoint.data import Source as Source
    from turnpoint.data import load_dialogues as load_dialogues
    from turnpoint.data import load_pairs as load_pairs
    from turnpoint.dialogue import Dialogue as Dialogue
    from turnpoint.dialogue import Message as Message
    from turnpoint.dialogue import PreferencePair as PreferencePair
    from turnpoint.dialogue import Tool as Tool
    from turnpoint.dialogue import ToolCall as ToolCall
    from turnpoint.errors import TurnpointError as TurnpointError
    from turnpoint.evaluation import evaluate_choices as evaluate_choices
    from turnpoint.evaluation import evaluate_decisions as evaluate_decisions
    from turnpoint.evaluation import evaluate_perplexity as evaluate_perplexity
    from turnpoint.evaluation import evaluate_rewards as evaluate_rewards
    from turnpoint.evaluation import reward_scores as reward_scores
    from turnpoint.models import load_model_and_tokenizer as load_model_and_tokenizer
    from turnpoint.models import load_reward_model as load_reward_model
    from turnpoint.objectives import Objective as Objective
    from turnpoint.pairs import PhraseWriter as PhraseWriter
    from turnpoint.pairs import trajectory_pairs as trajectory_pairs
    from turnpoint.report import test_model_with_questions as test_model_with_questions
    from turnpoint.sampling import generate_responses as generate_responses
    from turnpoint.template import ensure_tool_template as ensure_tool_template
    from turnpoint.training import DataCollatorForPreference as DataCollatorForPreference
    from turnpoint.training import DPOConfig as DPOConfig
    from turnpoint.training import DPOTrainer as DPOTrainer
    from turnpoint.training import RewardConfig as RewardConfig
    from turnpoint.training import RewardTrainer as RewardTrainer
    from turnpoint.training import SFTConfig as SFTConfig
    from turnpoint.training import SFTTrainer as SFTTrainer
    from turnpoint.training import evaluate_preferences as evaluate_preferences
    from turnpoint.training import implicit_rewards as implicit_rewards

# A name is loaded from its room when it is first asked for, so that importing the package costs nothing.
_ROOMS = {
    "Source": "data",
    "load_dialogues": "data",
    "load_pairs": "data",
    "Dialogue": "dialogue",
    "Message": "dialogue",
    "PreferencePair": "dialogue",
    "Tool": "dialogue",
    "ToolCall": "dialogue",
    "TurnpointError": "errors",
    "evaluate_choices": "evaluation",
    "evaluate_decisions": "evaluation",
    "evaluate_perplexity": "evaluation",
    "evaluate_rewards": "evaluation",
    "reward_scores": "evaluation",
    "load_model_and_tokenizer": "models",
    "load_reward_model": "models",
    "Objective": "objectives",
    "PhraseWriter": "pairs",
    "trajectory_pairs": "pairs",
    "test_model_with_questions": "report",
    "generate_responses": "sampling",
    "ensure_tool_template": "template",
    "DataCollatorForPreference": "training",
    "DPOConfig": "training",
    "DPOTrainer": "training",
    "RewardConfig": "training",
    "RewardTrainer": "training",
    "SFTConfig": "training",
    "SFTTrainer": "training",
    "evaluate_preferences": "training",
    "implicit_rewards": "training",
}
__all__ = list(_ROOMS)

# Trainers of TRL that scripts import, and what takes their place.
_INSTEAD = {
    "CPOTrainer": "DPOTrainer with DPOConfig(loss_type='cpo'), or 'simpo'",
    "CPOConfig": "DPOConfig(loss_type='cpo'), or 'simpo'",
    "ORPOTrainer": "DPOTrainer with DPOConfig(loss_type='orpo')",
    "ORPOConfig": "DPOConfig(loss_type='orpo')",
    "PPOTrainer": "DPOTrainer on samples of the model, round by round (iterative DPO)",
    "PPOConfig": "DPOConfig, on samples of the model, round by round (iterative DPO)",
}


def __getattr__(name: str) -> Any:
    if name in _INSTEAD:
        raise ImportError(f"turnpoint has no {name}: use {_INSTEAD[name]}; see docs/migrating.md")
    if name not in _ROOMS:
        raise AttributeError(f"module 'turnpoint' has no attribute {name!r}")
    return getattr(importlib.import_module(f"turnpoint.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
