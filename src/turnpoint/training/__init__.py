"""Training: the stages sft and dpo on the transformers Trainer, one executor for both."""

from turnpoint.training.collator import DataCollatorForPreference as DataCollatorForPreference
from turnpoint.training.configs import DPOConfig as DPOConfig
from turnpoint.training.configs import SFTConfig as SFTConfig
from turnpoint.training.dpo import DPOTrainer as DPOTrainer
from turnpoint.training.sft import SFTTrainer as SFTTrainer
