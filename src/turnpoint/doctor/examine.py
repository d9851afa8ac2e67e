"""The tables of findings, and the examination of a data set by all of them."""

from collections.abc import Callable, Sequence

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.doctor import arguments, dialogues, pairs, tokens
from turnpoint.doctor.finding import Finding

OF_DIALOGUES: tuple[Callable[[Sequence[Dialogue]], Finding | None], ...] = (
    dialogues.no_scored_turn,
    dialogues.unanswered_calls,
    dialogues.trailing_messages,
    dialogues.repeated_roles,
    dialogues.tools_never_called,
    dialogues.ungrounded_values,
    arguments.missing_required,
    arguments.unknown_parameters,
    arguments.wrong_types,
    dialogues.duplicated_dialogues,
    dialogues.decision_balance,
)
# What holds for the chosen side of a pair as for a dialogue. The rejected side may be wrong: that is its purpose.
OF_CHOSEN: tuple[Callable[[Sequence[Dialogue]], Finding | None], ...] = (
    dialogues.no_scored_turn,
    dialogues.unanswered_calls,
    dialogues.trailing_messages,
    dialogues.repeated_roles,
    dialogues.ungrounded_values,
    arguments.missing_required,
    arguments.unknown_parameters,
    arguments.wrong_types,
)
OF_PAIRS: tuple[Callable[[Sequence[PreferencePair]], Finding | None], ...] = (
    pairs.equal_sides,
    pairs.near_equal_sides,
    pairs.contradictions,
    pairs.duplicated_pairs,
    pairs.duplicated_prompts,
    pairs.unknown_tools,
    pairs.character_bias,
    pairs.turn_bias,
    pairs.side_turns,
    pairs.decision_balance,
)
OF_ROWS: tuple[Callable[[Sequence[tokens.Row]], Finding | None], ...] = (
    tokens.nothing_scored,
    tokens.token_bias,
    tokens.scored_share,
    tokens.tree_saving,
)


def examine(
    records: Sequence[Dialogue] | Sequence[PreferencePair],
    tokenized: tokens.Tokenized | None = None,
    max_length: int | None = None,
) -> tuple[Finding, ...]:
    """Everything the doctor finds, the worst first.

    Args:
        records: all dialogues or all pairs.
        tokenized: the same records as tokens (`rows_of`); None leaves out what needs a tokenizer.
        max_length: tokens of the longest row that training would keep; None means any.

    Returns:
        Findings by falling severity; within one severity in the order of the tables.
    """
    as_dialogues = [record for record in records if isinstance(record, Dialogue)]
    as_pairs = [record for record in records if isinstance(record, PreferencePair)]
    found = [find(as_dialogues) for find in OF_DIALOGUES]
    found += [find([_chosen(pair) for pair in as_pairs]) for find in OF_CHOSEN]
    found += [find(as_pairs) for find in OF_PAIRS]
    if tokenized is not None:
        found.append(tokens.refused(tokenized))
        found += [find(tokenized.rows) for find in OF_ROWS]
        if max_length is not None:
            found.append(tokens.over_long(tokenized.rows, max_length))
    return tuple(sorted((finding for finding in found if finding), key=lambda finding: -finding.severity))


def _chosen(pair: PreferencePair) -> Dialogue:
    return pair.side("chosen").model_copy(update={"source": pair.source})
