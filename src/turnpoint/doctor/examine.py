"""The tables of findings, and the examination of a data set by all of them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.doctor import (
    arguments,
    decided,
    dialogues,
    grounding,
    pairs,
    ratings,
    repetition,
    results,
    savings,
    templates,
    tokens,
    written,
)
from turnpoint.doctor.finding import Finding, Place, Severity, over_rows, ranked
from turnpoint.doctor.sides import Judgements, judge
from turnpoint.progress import with_progress
from turnpoint.template import Renderer

# What holds for a dialogue as for the chosen side of a pair. The rejected side may be wrong: that is its purpose.
OF_CHOSEN: tuple[Callable[[Sequence[Dialogue]], Finding | None], ...] = (
    dialogues.no_scored_turn,
    dialogues.trailing_messages,
    dialogues.repeated_roles,
    dialogues.system_in_some,
    written.calls_as_text,
    results.unanswered_calls,
    results.unpaired_results,
    results.empty_results,
    arguments.missing_required,
    arguments.unknown_parameters,
    arguments.broken_values,
    arguments.broken_schemas,
    grounding.ungrounded_required,
    grounding.ungrounded_optional,
)
OF_DIALOGUES: tuple[Callable[[Sequence[Dialogue]], Finding | None], ...] = (
    *OF_CHOSEN,
    dialogues.tools_never_called,
    dialogues.duplicated_dialogues,
    ratings.lopsided,
)
OF_PAIRS: tuple[Callable[[Sequence[PreferencePair]], Finding | None], ...] = (
    pairs.equal_sides,
    pairs.near_equal_sides,
    pairs.contradictions,
    pairs.duplicated_pairs,
    pairs.duplicated_prompts,
    pairs.unknown_tools,
    pairs.turn_bias,
)
# Lengths are counted in tokens where there are any.
OF_PAIRS_UNTOKENISED: tuple[Callable[[Sequence[PreferencePair]], Finding | None], ...] = (
    pairs.character_bias,
    pairs.characters_far_apart,
)
OF_ROWS: tuple[Callable[[Sequence[tokens.Row]], Finding | None], ...] = (
    tokens.nothing_scored,
    tokens.token_bias,
    tokens.tokens_far_apart,
    tokens.few_scored,
)

_Step = Callable[[], Finding | None]


def examine(
    records: Sequence[Dialogue] | Sequence[PreferencePair],
    tokenized: tokens.Tokenized | None = None,
    max_length: int | None = None,
    renderer: Renderer | None = None,
    others: Sequence[repetition.Held] = (),
    judgements: Judgements | None = None,
    broken: Sequence[str] = (),
) -> tuple[Finding, ...]:
    """Everything the doctor finds, the worst first.

    Args:
        records: all dialogues or all pairs.
        tokenized: the same records as tokens (`rows_of`); None leaves out what needs a tokenizer.
        max_length: tokens of the longest row that training would keep; None means any.
        renderer: that made the tokens; None leaves out what is known of its chat template.
        others: other data sets, in which no row should stand.
        judgements: what the records decide (`judge`), where that is known already.
        broken: of each row that could not be read, where it stands and why.

    Returns:
        Findings by falling severity, then by the share of rows they concern.
    """
    steps = list(_of_records(records, tokenized is not None))
    if tokenized is not None:
        steps += _of_tokens(tokenized, max_length)
        if renderer is not None:
            steps += _of_template(records, tokenized, renderer)
    found = [broken_rows(broken), *(step() for step in with_progress(steps, "Examining"))]
    judged = judge(records) if judgements is None else judgements
    found += [decided.rare(judged.get("dialogue", ()), any(record.tools for record in records))]
    found += [decided.only_rejected(judged.get("chosen", ()), judged.get("rejected", ()))]
    if tokenized is not None:
        found.append(savings.grouping_pays(savings.saving(tokenized.rows)))
    found.append(repetition.near_duplicates(with_progress(records, "Comparing rows")))
    for other in others:
        found += repetition.leaks(with_progress(records, f"Comparing with {other.name}"), other)
    return ranked((finding for finding in found if finding), len(records))


def broken_rows(lines: Sequence[str]) -> Finding | None:
    """Rows that break a rule of their format."""
    places = (line.partition(": ") for line in lines)
    return over_rows(
        Severity.ERROR,
        "rows that cannot be read",
        [Place(source, f": {reason}") for source, _, reason in places],
        "mend what the line says; training stops at the first, or leaves them out with on_bad_rows: drop",
    )


def _of_records(records: Sequence[Dialogue] | Sequence[PreferencePair], tokenized: bool) -> Iterator[_Step]:
    as_dialogues = [record for record in records if isinstance(record, Dialogue)]
    as_pairs = [record for record in records if isinstance(record, PreferencePair)]
    chosen = [_chosen(pair) for pair in as_pairs]
    yield from (partial(find, as_dialogues) for find in OF_DIALOGUES)
    yield from (partial(find, chosen) for find in OF_CHOSEN)
    yield from (partial(find, as_pairs) for find in OF_PAIRS)
    yield from (partial(find, as_pairs) for find in OF_PAIRS_UNTOKENISED if not tokenized)


def _of_tokens(tokenized: tokens.Tokenized, max_length: int | None) -> Iterator[_Step]:
    yield partial(tokens.refused, tokenized)
    yield from (partial(find, tokenized.rows) for find in OF_ROWS)
    if max_length is not None:
        yield partial(tokens.over_long, tokenized.rows, max_length)


def _of_template(
    records: Sequence[Dialogue] | Sequence[PreferencePair], tokenized: tokens.Tokenized, renderer: Renderer
) -> Iterator[_Step]:
    tokenizer, template = renderer.tokenizer, templates.features(renderer)
    chosen = [record if isinstance(record, Dialogue) else _chosen(record) for record in records]
    yield partial(templates.system_left_out, chosen, template)
    yield partial(templates.other_prefix, chosen, template)
    yield partial(templates.special_tokens_in_text, chosen, tokenizer)
    yield partial(templates.reasoning_left_out, tokenized, tokenizer)
    yield partial(templates.double_start, tokenized.rows, tokenizer)
    yield partial(templates.without_end, tokenized.rows, tokenizer, renderer.turn_ends)


def _chosen(pair: PreferencePair) -> Dialogue:
    return pair.side("chosen").model_copy(update={"source": pair.source})
