"""`turnpoint dpo DATA`: train a model on preference pairs."""

from turnpoint.cli.given import Given
from turnpoint.cli.stage import Stage, run_stage, verb
from turnpoint.training import DPOConfig, DPOTrainer

VERB = verb(
    "dpo",
    "Train a model on preference pairs, single messages or whole trajectories, with any reduction and loss.",
    DPOConfig,
)


def run(given: Given) -> None:
    """Load, train, save, and say what to do with the result."""
    run_stage(given, Stage(DPOConfig, DPOTrainer))
