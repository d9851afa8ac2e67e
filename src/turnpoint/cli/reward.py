"""`turnpoint reward DATA`: train a reward model on preference pairs."""

from turnpoint.cli.given import Given
from turnpoint.cli.stage import Stage, run_stage, verb
from turnpoint.training import RewardConfig, RewardTrainer

VERB = verb(
    "reward",
    "Train a reward model on preference pairs: one score of a whole dialogue, higher for the chosen side.",
    RewardConfig,
)


def run(given: Given) -> None:
    """Load, train, save, and say what to do with the result."""
    run_stage(given, Stage(RewardConfig, RewardTrainer, "Evaluate it:   turnpoint evaluate reward {output} DATA"))
