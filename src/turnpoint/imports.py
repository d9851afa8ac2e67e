"""What a user names by where Python finds it: `package.module:name`."""

import importlib
import inspect
import sys
from typing import Any

from turnpoint.errors import ConfigError

_sources: dict[str, str] = {}  # of each module that was imported here, as it was then


def is_import_path(name: str) -> bool:
    """Whether a name says where to import from; names of our own have no colon."""
    return ":" in name


def imported(path: str, field: str) -> Any:
    """What an import path leads to.

    Args:
        path: `package.module:name`.
        field: that it was given for, for the error.

    Raises:
        ConfigError: nothing of that name can be imported.
    """
    name, _, attribute = path.partition(":")
    try:
        known = name in sys.modules
        module = importlib.import_module(name)
        if not known:
            _sources.pop(name, None)
            _sources[name] = inspect.getsource(module)
        return getattr(module, attribute)
    except Exception as error:  # whatever the user's code runs into
        reason = " ".join(str(error).split())
        kind = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise ConfigError(
            f"{field}: cannot be imported ({kind}{reason}) (got {path!r}); give package.module:name, found from where"
            " Python looks for modules (PYTHONPATH=. for the current folder)"
        ) from error


def source_of(path: str) -> str | None:
    """The code of the module of an import path as it was when `imported` imported it; None where others did."""
    return _sources.get(path.partition(":")[0])
