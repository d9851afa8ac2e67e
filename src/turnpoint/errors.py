"""The errors a user can mend. The command line prints one line for each and exits with code 2."""


class TurnpointError(Exception):
    """A mistake that the user can mend: one line that says where, what value, which rule, how to mend it."""


class ConfigError(TurnpointError):
    """A setting that is unknown, out of range, or cannot be honoured together with another."""


class DataError(TurnpointError):
    """A row of the user's data that breaks a rule of its format."""


class TemplateError(TurnpointError):
    """A dialogue that the chat template cannot render, or whose turns cannot be found in the rendering."""


class CheckpointError(TurnpointError):
    """A model or run that cannot be loaded or saved."""
