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
    from turnpoint.models import load_model_and_tokenizer as load_model_and_tokenizer
    from turnpoint.objectives import Objective as Objective
    from turnpoint.pairs import PhraseWriter as PhraseWriter
    from turnpoint.pairs import trajectory_pairs as trajectory_pairs
    from turnpoint.template import ensure_tool_template as ensure_tool_template
    from turnpoint.training import DataCollatorForPreference as DataCollatorForPreference
    from turnpoint.training import DPOConfig as DPOConfig
    from turnpoint.training import DPOTrainer as DPOTrainer
    from turnpoint.training import SFTConfig as SFTConfig
    from turnpoint.training import SFTTrainer as SFTTrainer

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
    "load_model_and_tokenizer": "models",
    "Objective": "objectives",
    "PhraseWriter": "pairs",
    "trajectory_pairs": "pairs",
    "ensure_tool_template": "template",
    "DataCollatorForPreference": "training",
    "DPOConfig": "training",
    "DPOTrainer": "training",
    "SFTConfig": "training",
    "SFTTrainer": "training",
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
