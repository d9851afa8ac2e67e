"""Loading models and tokenizers: a hub name, a folder, a `.gguf` file, or `demo`, the embedded model."""

from turnpoint.models.load import Loader as Loader
from turnpoint.models.load import four_bits as four_bits
from turnpoint.models.load import holds_reward_model as holds_reward_model
from turnpoint.models.load import load_model as load_model
from turnpoint.models.load import load_model_and_tokenizer as load_model_and_tokenizer
from turnpoint.models.load import load_processing_class as load_processing_class
from turnpoint.models.load import load_reward_model as load_reward_model
from turnpoint.models.load import load_tokenizer as load_tokenizer
from turnpoint.models.load import loadable_name as loadable_name
from turnpoint.models.load import loader as loader
from turnpoint.models.load import reward_loader as reward_loader
from turnpoint.models.load import stored_dtype as stored_dtype
from turnpoint.models.reward_head import check_one_score as check_one_score
from turnpoint.models.reward_head import with_reward_head as with_reward_head
