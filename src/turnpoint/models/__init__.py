"""Loading models and tokenizers: a hub name, a folder, a `.gguf` file, or `demo`, the embedded model."""

from turnpoint.models.load import Loader as Loader
from turnpoint.models.load import four_bits as four_bits
from turnpoint.models.load import load_model as load_model
from turnpoint.models.load import load_model_and_tokenizer as load_model_and_tokenizer
from turnpoint.models.load import load_processing_class as load_processing_class
from turnpoint.models.load import load_tokenizer as load_tokenizer
from turnpoint.models.load import loadable_name as loadable_name
from turnpoint.models.load import loader as loader
