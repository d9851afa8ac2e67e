"""A language model as judge, where the rules cannot know: any OpenAI-compatible server, a rubric for each decision.

A rubric is a Markdown file named after the decision (`slot.md`), with `$tools`, `$context`, `$due` and `$reply` where
these belong. The judge answers with one JSON object of a reason and a verdict; its verdict takes the place of the
rules', which is kept beside it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from turnpoint.dialogue import Decision
from turnpoint.errors import ConfigError
from turnpoint.evaluation.items import KINDS, DecisionItem
from turnpoint.evaluation.rates import Verdict
from turnpoint.progress import with_progress

RUBRICS = Path(__file__).parent / "rubrics"
_ANSWER = (
    "Answer with one JSON object and nothing else, the reason first, in one sentence:"
    ' {"reason": "...", "passed": true} or {"reason": "...", "passed": false}'
)
_NEEDED = ("context", "reply")
_TAKEN = ("tools", "context", "due", "reply")
_OBJECT = re.compile(r"\{.*?\}", re.DOTALL)
Ask = Callable[[str], str]


def read_rubrics(folder: str | None) -> dict[Decision, Template]:
    """The rubrics of a folder; those that it lacks, and all where there is none, are the package's own.

    Raises:
        ConfigError: the folder holds none of them, or one lacks or misspells what is put into it.
    """
    own = RUBRICS if folder is None else Path(folder).expanduser()
    if folder is not None and not any((own / f"{kind}.md").is_file() for kind in KINDS):
        names = ", ".join(f"{kind}.md" for kind in KINDS)
        raise ConfigError(f"rubrics: {folder} holds none of {names}; give a folder with at least one of them")
    files = {kind: own / f"{kind}.md" for kind in KINDS}
    return {kind: _rubric(file if file.is_file() else RUBRICS / file.name) for kind, file in files.items()}


def _rubric(file: Path) -> Template:
    try:
        template = Template(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"rubrics: {file} cannot be read ({error}); save it as UTF-8 text") from None
    names = set(template.get_identifiers()) if template.is_valid() else {"$"}
    wrong = sorted(names - set(_TAKEN)) or [name for name in _NEEDED if name not in names]
    if wrong:
        taken = ", ".join(f"${name}" for name in _TAKEN)
        raise ConfigError(
            f"rubrics: {file}: {wrong[0]}: a rubric holds {taken}, at least $context and $reply; write a dollar as $$"
        )
    return template


class Judged(NamedTuple):
    """Verdicts after a judge."""

    verdicts: list[Verdict]
    unread: int  # answers that hold no verdict; there the rules' stands


class Judge(NamedTuple):
    """A language model that judges.

    Attributes:
        name: of the model.
        ask: sends a prompt and returns the answer.
        rubrics: for each decision.
    """

    name: str
    ask: Ask
    rubrics: Mapping[Decision, Template]

    @property
    def fingerprint(self) -> str:
        """What tells these rubrics apart from others."""
        texts = [self.rubrics[kind].template for kind in KINDS]
        return hashlib.blake2b("\0".join(texts).encode(), digest_size=8).hexdigest()

    def judged(self, verdicts: Sequence[Verdict], progress: str | None = None) -> Judged:
        """The verdicts, those that the rules are not sure of decided by the judge.

        Args:
            verdicts: by the rules.
            progress: title of a progress bar; None shows none.
        """
        found: list[Verdict] = []
        unread = 0
        for verdict in with_progress(verdicts, progress):
            opinion = None
            if not verdict.sure:
                opinion = _opinion(self.ask(prompt(verdict, self.rubrics[verdict.item.decision])))
                unread += opinion is None
            found.append(verdict if opinion is None else _after(verdict, opinion))
        return Judged(found, unread)


def prompt(verdict: Verdict, rubric: Template) -> str:
    """What the judge reads."""
    item = verdict.item
    context = "\n".join(json.dumps(message.openai(), ensure_ascii=False) for message in item.context)
    tools = json.dumps([tool.openai()["function"] for tool in item.tools], ensure_ascii=False)
    filled = rubric.substitute(tools=tools, context=context, due=_due(item), reply=verdict.text or "(nothing)")
    return f"{filled.rstrip()}\n\n{_ANSWER}"


class _Opinion(NamedTuple):
    passed: bool
    reason: str


def _after(verdict: Verdict, opinion: _Opinion) -> Verdict:
    decided = verdict.item.decision if opinion.passed else verdict.decided
    return verdict._replace(
        passed=opinion.passed,
        decided=decided,
        by_rules=verdict.passed,
        reason=f"judge: {opinion.reason}",
    )


def _opinion(answer: str) -> _Opinion | None:
    """The last JSON object of an answer that holds a verdict; None where none does."""
    for text in reversed(_OBJECT.findall(answer)):
        try:
            found: Any = json.loads(text, strict=False)
        except ValueError:
            continue
        if isinstance(found.get("passed"), bool):
            return _Opinion(found["passed"], str(found.get("reason") or "no reason given"))
    return None


def _due(item: DecisionItem) -> str:
    """What is right, as far as the data says."""
    if item.decision is Decision.CALL or (item.decision is Decision.SLOT and item.calls):
        calls = [{"name": call.name, "arguments": call.arguments} for call in item.calls]
        due = json.dumps(calls, ensure_ascii=False)
        return due if item.decision is Decision.CALL else f"{item.said or 'a question'} (so that later: {due})"
    return item.said or "(the data does not say)"
