"""The loop of a chat: what the user says goes to one model or to two, each with a history of its own."""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from turnpoint.cli.tool_answers import Answer
from turnpoint.dialogue import Dialogue, Message, Tool, ToolCall, parse
from turnpoint.errors import DataError

if TYPE_CHECKING:
    from turnpoint.sampling import Said, Show

COMMANDS = {
    "/help": "lists these commands",
    "/undo": "takes back your last message and the answer to it",
    "/reset": "starts again; the system message stays",
    "/system TEXT": "sets the system message; without a text there is none",
    "/save FILE": "writes the dialogue as OpenAI messages, one JSON line for each model",
    "/quit": "leaves, like Ctrl-D; Ctrl-C stops an answer",
}
_MOST_ROUNDS = 16  # of calls and their results after one message of the user
_TAKEN_BACK = "your last message is taken back"

History = tuple[Message, ...]


class Speaker(NamedTuple):
    """A model that takes part.

    Attributes:
        name: stands before what it says.
        reply: from the messages so far to what it says; shows the content on the way.
    """

    name: str
    reply: "Callable[[Sequence[Message], Show], Said]"


class _Leave(Exception):
    """The user has said /quit, or stdin has ended."""


class _Command(Exception):
    """The user has typed a command."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text


class Talk:
    """A chat that reads from stdin and writes to stdout.

    Args:
        speakers: who answers, in this order.
        tools: offered to them; calls of others are marked as unknown.
        answer: answers calls; those that it leaves open are answered by the user.
        system: text of the system message.
    """

    def __init__(
        self, speakers: Sequence[Speaker], tools: Sequence[Tool], answer: Answer, system: str | None = None
    ) -> None:
        self._speakers, self._tools, self._answer, self._system = speakers, tuple(tools), answer, system
        self._histories: tuple[History, ...] = ((),) * len(speakers)
        self._past: list[tuple[History, ...]] = []

    def talk(self) -> None:
        """Read messages and commands and show answers, until /quit or the end of stdin."""
        if sys.stdin.isatty():
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  # gives `input` a history and keys that edit
            print(f"{len(self._tools)} tools; /help lists the commands")
        while True:
            try:
                self._ask(_read("you> "))
            except _Leave:
                return
            except _Command as command:
                self._obey(command)
            except KeyboardInterrupt:
                print("\n(/quit or Ctrl-D leaves)")

    def _ask(self, text: str) -> None:
        """Hand a message to each speaker. What stops half-way leaves all histories as they were."""
        try:
            asked = zip(self._speakers, self._histories, strict=True)
            histories = tuple(self._exchange(speaker, before, text) for speaker, before in asked)
        except KeyboardInterrupt:
            print(f"\n({_TAKEN_BACK})")
        except _Command as command:
            print(f"({_TAKEN_BACK})")
            if command.name != "/undo":
                raise
        else:
            if histories != self._histories:
                self._past.append(self._histories)
            self._histories = histories

    def _exchange(self, speaker: Speaker, before: History, text: str) -> History:
        """Let a speaker answer until it does not call any more; the history after that."""
        messages = [*before, Message(role="user", content=text)]
        for _ in range(_MOST_ROUNDS):
            said = self._speak(speaker, messages)
            if not said.content and not said.calls:
                print(f"(the model said nothing; {_TAKEN_BACK})")
                return before
            messages.append(Message(role="assistant", content=said.content, tool_calls=said.calls))
            messages += [self._result(call) for call in said.calls]
            if not said.calls:
                return tuple(messages)
        print(f"(no more than {_MOST_ROUNDS} rounds of calls for one message)")
        return tuple(messages)

    def _speak(self, speaker: Speaker, messages: Sequence[Message]) -> "Said":
        """One turn of a speaker, shown while it is written; Ctrl-C ends it where it is."""
        from turnpoint.sampling import Said
        from turnpoint.template import attempts_call

        line = _Line(f"{speaker.name}> ")
        try:
            said = speaker.reply([*self._system_message(), *messages], line.show)
        except KeyboardInterrupt:
            line.end("  (stopped)")
            return Said(line.text or None, (), cut=False, tokens=0)
        line.end("  (a call that cannot be read)" if attempts_call(said.content) else "")
        offered = [tool.name for tool in self._tools]
        for call in said.calls:
            print(f"call> {_shown(call)}{'' if call.name in offered else '  (unknown tool)'}")
        if said.cut:
            print("(cut here: the reply reached --max_new_tokens)")
        return said

    def _result(self, call: ToolCall) -> Message:
        """What a call returns: from what answers calls, else typed by the user."""
        result = self._answer(call)
        if result is None:
            text = _read(f"result of {call.name}> ")
        else:
            text = result.text
            print(f"result of {call.name}> {text}{'  (the function failed)' if result.failed else ''}")
        return Message(role="tool", content=text, name=call.name, tool_call_id=call.id)

    def _system_message(self) -> list[Message]:
        return [Message(role="system", content=self._system)] if self._system else []

    def _obey(self, command: _Command) -> None:
        actions: dict[str, Callable[[str], None]] = {
            "/help": lambda _: print("\n".join(f"{name:<13} {about}" for name, about in COMMANDS.items())),
            "/undo": self._undo,
            "/reset": self._reset,
            "/system": self._set_system,
            "/save": self._save,
        }
        actions[command.name](command.text)

    def _undo(self, _: str) -> None:
        print(f"({_TAKEN_BACK})" if self._past else "(there is nothing to take back)")
        if self._past:
            self._histories = self._past.pop()

    def _reset(self, _: str) -> None:
        self._histories, self._past = ((),) * len(self._speakers), []
        print("(started again)")

    def _set_system(self, text: str) -> None:
        self._system = text or None
        print("(the system message is set)" if text else "(there is no system message now)")

    def _save(self, name: str) -> None:
        from turnpoint.data.write import write_dialogues

        if not name:
            print("(name a file: /save FILE)")
            return
        file = Path(name)
        try:
            dialogues = self._dialogues()
            with file.open("x"):  # a file that is there stays as it is
                write_dialogues(dialogues, file)
        except OSError as error:
            print(f"(not saved: {file}: {error.strerror})")
        except DataError as error:
            print(f"(not saved: {error})")
        else:
            print(f"(saved: {file})")

    def _dialogues(self) -> list[Dialogue]:
        """The dialogue of each speaker, with its name as id where there are two.

        Raises:
            DataError: nobody has said anything, or a dialogue breaks a rule: it calls a tool that is not offered.
        """
        if not any(self._histories):
            raise DataError("nothing has been said yet")
        names = [speaker.name if len(self._speakers) > 1 else "" for speaker in self._speakers]
        return [
            parse(
                Dialogue,
                {"messages": (*self._system_message(), *history), "tools": self._tools, "id": name},
                "the dialogue",
            )
            for name, history in zip(names, self._histories, strict=True)
            if history
        ]


class _Line:
    """What a speaker says, on a line of its own that starts with its name."""

    def __init__(self, name: str) -> None:
        self._name, self.text = name, ""

    def show(self, piece: str) -> None:
        if piece:
            print(piece if self.text else f"{self._name}{piece}", end="", flush=True)
            self.text += piece

    def end(self, note: str) -> None:
        if self.text or note:
            print(note)


def _shown(call: ToolCall) -> str:
    return f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})"


def _read(prompt: str) -> str:
    """The next line that is not empty. The prompt is shown to people only.

    Raises:
        _Leave: /quit, or the end of stdin.
        _Command: another command.
    """
    known = {name.split()[0] for name in COMMANDS}
    while True:
        try:
            line = input(prompt if sys.stdin.isatty() else "").strip()
        except EOFError:
            print(end="\n" if sys.stdin.isatty() else "")
            raise _Leave from None
        name, _, text = line.partition(" ")
        if name == "/quit":
            raise _Leave
        if name in known:
            raise _Command(name, text.strip())
        if name.startswith("/") and name[1:].isalpha():
            print(f"({name} is no command; /help lists them)")
        elif line:
            return line
