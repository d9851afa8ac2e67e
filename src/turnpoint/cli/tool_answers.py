"""What answers the calls of a chat in the place of the user: functions of a Python file, results of a JSON file."""

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from turnpoint.cli.options import nearest
from turnpoint.dialogue import Tool, ToolCall
from turnpoint.errors import ConfigError, DataError


class Result(NamedTuple):
    """What a tool returns."""

    text: str
    failed: bool = False


Answer = Callable[[ToolCall], Result | None]
"""The result of a call; None where the user is to type it."""


def tool_answers(functions: str | None, results: str | None, tools: Sequence[Tool]) -> Answer:
    """Answers calls by a function of the tool's name, else by its canned result.

    Args:
        functions: Python file; each function that has the name of a tool answers its calls.
        results: JSON file, name of a tool -> what it returns.
        tools: those that are offered.

    Raises:
        ConfigError: a file cannot be read, or names no tool that is offered.
        DataError: the file of results is no JSON object.
    """
    callables = _functions(functions, tools) if functions is not None else {}
    canned = _results(results, tools) if results is not None else {}

    def answer(call: ToolCall) -> Result | None:
        if call.name in callables:
            return _called(callables[call.name], call)
        return Result(_as_text(canned[call.name])) if call.name in canned else None

    return answer


def _called(function: Callable[..., Any], call: ToolCall) -> Result:
    try:
        return Result(_as_text(function(**call.arguments)))
    except Exception as error:  # whatever the user's code runs into
        return Result(f"{type(error).__name__}: {error}", failed=True)


def _as_text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _functions(path: str, tools: Sequence[Tool]) -> dict[str, Callable[..., Any]]:
    spec = importlib.util.spec_from_file_location("turnpoint_tool_functions", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"tool_functions: must be a Python file, NAME.py (got {path!r})")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"tool_functions: {path} cannot be run ({reason}); mend it") from error
    found = {tool.name: getattr(module, tool.name, None) for tool in tools}
    functions = {name: function for name, function in found.items() if callable(function)}
    if not functions:
        names = ", ".join(tool.name for tool in tools) or "none, see --tools"
        raise ConfigError(
            f"tool_functions: {path} has no function that is named as a tool; define one (tools offered: {names})"
        )
    return functions


def _results(path: str, tools: Sequence[Tool]) -> Mapping[str, Any]:
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"tool_results: {path} cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); write an object: name of a tool -> what it returns") from None
    if not isinstance(results, dict):
        raise DataError(f"{path}: must be an object, name of a tool -> what it returns (got {type(results).__name__})")
    offered = [tool.name for tool in tools]
    if unknown := next((name for name in results if name not in offered), None):
        raise DataError(f"{path}: {unknown!r} is no tool that is offered; {nearest(unknown, offered)}")
    return results
