"""Where each turn stands in a rendered dialogue: ranges of characters, found and verified.

The dialogue is rendered twice: as it is, and with a mark in place of each assistant message. What the template
writes around the marks are the segments; they are found again, in order, in the rendering as it is. What lies between
two segments, with the end-of-turn marker that opens the second, is what the assistant wrote. Nothing is searched for
that can be read: a text turn must be its content, the marker and the next segment, one after the other.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from turnpoint.dialogue import Message, ToolCall
from turnpoint.dialogue.types import short
from turnpoint.errors import TemplateError
from turnpoint.template.spans import TextSpan, excerpt

_THINK, _END_THINK = "<think>", "</think>"


class Markers(NamedTuple):
    """What a template writes around a turn."""

    header: str  # before every assistant message, "" where the template has no header of its own
    generation: str  # after the last message, for the model to go on; starts with `header`
    ends: tuple[str, ...]  # end-of-turn markers, longest first, without white space around them


def text_spans(
    text: str, segments: Sequence[str], messages: Sequence[Message], markers: Markers, source: str
) -> list[TextSpan]:
    """Find the turns of a dialogue in its rendering.

    Args:
        text: the rendering.
        segments: what the template writes before, between and after the assistant messages; one more than these.
        messages: the messages that were rendered.
        markers: of the template.
        source: where the dialogue comes from, for errors.

    Returns:
        One range of characters per assistant message, ordered and disjoint.

    Raises:
        TemplateError: the template rewrites or leaves out what a turn says, or a place has two readings.
    """
    turns = [i for i, message in enumerate(messages) if message.role == "assistant"]
    spans = []
    at, segment = 0, segments[0]
    for i, following in zip(turns, segments[1:], strict=True):
        reader = _Reader(text, markers, f"{source}: messages[{i}]")
        start = reader.start(at, segment)
        end, at = reader.end(start, messages[i], following, last=i == turns[-1])
        segment = reader.without_marker(following)
        spans.append(TextSpan(start, end))
    return spans


def common_length(a: str, b: str) -> int:
    """Length of what two texts start with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


class _Reader(NamedTuple):
    """Reads one turn of a rendering."""

    text: str
    markers: Markers
    where: str

    def start(self, at: int, segment: str) -> int:
        """Where the turn begins, after the segment that stands at `at`."""
        header = self.markers.header
        through = self._through_header(segment)
        if through is None:
            raise self._error("the template does not write this message as a turn of the assistant", at)
        if self.text.startswith(segment, at):
            return at + len(segment)
        common = common_length(self.text[at : at + len(segment)], segment)
        if common < through:
            raise self._error(
                f"the template writes {segment[common : common + 40]!r} before this turn when it is plain text,"
                " but not here",
                at + common,
            )
        if not header:
            return at + common
        generation = through - len(header) + len(self.markers.generation)
        after_prompt = segment[:generation].endswith(self.markers.generation) and common >= generation
        return at + (generation if after_prompt else through)

    def end(self, start: int, message: Message, following: str, last: bool) -> tuple[int, int]:
        """Where the turn ends, and where the segment that follows begins (without its end-of-turn marker)."""
        said = self._after_content(start, message)
        rest = self.without_marker(following)
        if message.tool_calls:
            return self._end_of_calls(said, message.tool_calls, rest, last)
        marker = self.marker(following)
        at = _skip_space(self.text, said) if marker or rest else len(self.text)
        if not self.text.startswith(marker, at):
            raise self._error(f"the end-of-turn marker {marker!r} does not follow the content", at)
        end = at + len(marker) if marker else said
        at = self._next_segment(at + len(marker), rest, last)
        return end, at

    def marker(self, segment: str) -> str:
        """The end-of-turn marker that opens a segment, "" when none does."""
        return next((end for end in self.markers.ends if segment.lstrip().startswith(end)), "")

    def without_marker(self, segment: str) -> str:
        return segment.lstrip()[len(self.marker(segment)) :].lstrip()

    def _end_of_calls(self, said: int, calls: Sequence[ToolCall], rest: str, last: bool) -> tuple[int, int]:
        anchor = "" if last else rest[: self._through_header(rest)]
        written, certain = self._after_calls(said, calls, anchor)
        if last:
            at = len(self.text.rstrip()) - len(rest.rstrip())
            if at < written or not self.text.rstrip().endswith(rest.rstrip()):
                raise self._error("the calls are not where this turn ends", at)
        else:
            at = self.text.find(anchor, written) if anchor else -1
            if at < 0:
                raise self._error("what the template writes after this turn does not follow its calls", written)
            if not certain and any(anchor in leaf for call in calls for leaf in _strings(call.arguments)):
                raise self._error("the arguments contain what the template writes after this turn", at)
        return len(self.text[:at].rstrip()), at

    def _next_segment(self, at: int, rest: str, last: bool) -> int:
        at = _skip_space(self.text, at)
        expected = rest.rstrip() if last else rest[: self._through_header(rest)]
        if not self.text.startswith(expected, at):
            raise self._error("what the template writes after this turn does not follow it", at)
        if last and self.text[at + len(expected) :].strip():
            raise self._error("the rendering goes on after its last message", at + len(expected))
        return at

    def _through_header(self, segment: str) -> int | None:
        """Length of a segment up to the end of the header in it; None when the header is missing."""
        if not self.markers.header:
            return len(segment.rstrip())
        found = segment.rfind(self.markers.header)
        return None if found < 0 else found + len(self.markers.header)

    def _after_content(self, start: int, message: Message) -> int:
        """End of the content. Reasoning, inside it or apart, may be written anew, or be left out of earlier turns."""
        content = (message.content or "").strip()
        layouts: list[tuple[str, ...]] = [(content,)]
        reasoning, answer = (message.reasoning or "").strip(), content
        if _END_THINK in content and not reasoning:
            reasoning = content.split(_END_THINK)[0].split(_THINK)[-1].strip()
            answer = content.split(_END_THINK)[-1].strip()
        if reasoning:
            layouts += [(_THINK, reasoning, _END_THINK, answer), (reasoning, _END_THINK, answer), (answer,)]
        for layout in layouts:
            at: int | None = start
            for part in layout:
                at = _read(self.text, at, part)
            if at is not None:
                return at
        raise self._error(f"content: the template rewrites it or leaves it out (got {short(content)})", start)

    def _after_calls(self, at: int, calls: Sequence[ToolCall], anchor: str) -> tuple[int, bool]:
        """A place that is not after the end of the calls, and whether all of their arguments lie before it.

        Names and arguments begin before the anchor, which is what the template writes after the turn; arguments may
        contain it.
        """
        certain = True
        for call in calls:
            limit = self.text.find(anchor, at) if anchor else -1
            limit = len(self.text) if limit < 0 else limit
            found = self.text.find(call.name, at, limit)
            if found < 0:
                raise self._error(f"the template leaves out the call to {call.name!r}", at)
            at = found + len(call.name)
            begins = {form: self.text.find(form, at, limit + len(form)) for form in _json_forms(call.arguments)}
            ends = [begin + len(form) for form, begin in begins.items() if begin >= 0]
            at = min(ends, default=at)
            certain = certain and bool(ends)
        return at, certain

    def _error(self, rule: str, at: int) -> TemplateError:
        return TemplateError(
            f"{self.where}: {rule} (rendered: {excerpt(self.text, at)});"
            " change the message, or pass a template that keeps it: --chat_template FILE"
        )


def _read(text: str, at: int | None, part: str) -> int | None:
    if at is None:
        return None
    if not part:
        return at
    at = _skip_space(text, at)
    return at + len(part) if text.startswith(part, at) else None


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _json_forms(arguments: dict[str, Any]) -> list[str]:
    return [
        json.dumps(arguments, ensure_ascii=False),
        json.dumps(arguments, ensure_ascii=False, separators=(",", ":")),
        json.dumps(arguments),
    ]


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (str(key), *_strings(item))]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [str(value)]
