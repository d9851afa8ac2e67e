"""`turnpoint sft DATA`: fine-tune a model on dialogues."""

from turnpoint.cli.given import Given
from turnpoint.cli.stage import Stage, run_stage, verb
from turnpoint.training import SFTConfig, SFTTrainer

VERB = verb(
    "sft",
    "Fine-tune a model on dialogues: what the assistant wrote is scored, token by token, and nothing else.",
    SFTConfig,
)


def run(given: Given) -> None:
    """Load, train, save, and say what to do with the result."""
    run_stage(given, Stage(SFTConfig, SFTTrainer))
