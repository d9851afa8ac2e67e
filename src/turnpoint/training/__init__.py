"""Training: the stages sft, reward and dpo on the transformers Trainer, one executor for all."""

from turnpoint.training.collator import DataCollatorForPreference as DataCollatorForPreference
from turnpoint.training.configs import DPOConfig as DPOConfig
from turnpoint.training.configs import RewardConfig as RewardConfig
from turnpoint.training.configs import SFTConfig as SFTConfig
from turnpoint.training.dpo import DPOTrainer as DPOTrainer
from turnpoint.training.preferences import evaluate_preferences as evaluate_preferences
from turnpoint.training.preferences import implicit_rewards as implicit_rewards
from turnpoint.training.reward import RewardTrainer as RewardTrainer
from turnpoint.training.sft import SFTTrainer as SFTTrainer
