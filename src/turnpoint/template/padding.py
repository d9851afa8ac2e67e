"""The token that fills batches, where a model takes a sequence to end before it."""

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from turnpoint.template.render import Renderer, tokenizer_of


def ensure_pad_token(processing_class: PreTrainedTokenizerBase | ProcessorMixin) -> str | None:
    """Give a tokenizer whose padding may end a turn another one, if it has one; it is saved with the tokenizer.

    A sequence classifier of transformers reads a sequence at its last token that is not padding. Where the end of a
    turn is padding too, as it often is, that is a token before it, and one that says less.

    Returns:
        The line to tell the user, or None when the tokenizer keeps its padding.
    """
    tokenizer = tokenizer_of(processing_class)
    own = tokenizer.pad_token
    ends = {tokenizer.eos_token, *Renderer(processing_class).turn_ends}
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    named = [token for token in special if "pad" in token.lower()]
    # The start of a sequence last: whoever sees it there takes it for one.
    rest = [*(token for token in special if token != tokenizer.bos_token), tokenizer.bos_token]
    candidates = (own, *named, tokenizer.unk_token, *rest)
    found = next((token for token in candidates if token is not None and token not in ends), own)
    if found == own:
        return None
    tokenizer.pad_token = found
    why = "the tokenizer has none" if own is None else f"{own!r} ends turns"
    return f"padding is {found!r} now, since {why}: the model reads a sequence at its last token that is none"
