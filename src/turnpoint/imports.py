"""What a user names by where Python finds it: `package.module:name`."""

import importlib
from typing import Any

from turnpoint.errors import ConfigError


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
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{field}: cannot be imported ({error}) (got {path!r}); give package.module:name, found from where Python"
            " looks for modules"
        ) from error
