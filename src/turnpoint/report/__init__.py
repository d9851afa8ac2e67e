"""Results as tables and plots, data as a page to read."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turnpoint.report.annotator import annotator_page as annotator_page
    from turnpoint.report.annotator import shown_prompt as shown_prompt
    from turnpoint.report.annotator import shown_state as shown_state
    from turnpoint.report.inspector import inspector_page as inspector_page
    from turnpoint.report.plots import plot_confusion as plot_confusion
    from turnpoint.report.plots import plot_rewards as plot_rewards
    from turnpoint.report.side_by_side import SideBySide as SideBySide
    from turnpoint.report.side_by_side import test_model_with_questions as test_model_with_questions
    from turnpoint.report.tables import comparison as comparison
    from turnpoint.report.tables import markdown as markdown

# A name is loaded when it is first asked for: the page to annotate on needs no torch, and no plots.
_MODULES = {
    "annotator_page": "annotator",
    "shown_prompt": "annotator",
    "shown_state": "annotator",
    "inspector_page": "inspector",
    "plot_confusion": "plots",
    "plot_rewards": "plots",
    "SideBySide": "side_by_side",
    "test_model_with_questions": "side_by_side",
    "comparison": "tables",
    "markdown": "tables",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'turnpoint.report' has no attribute {name!r}")
    return getattr(importlib.import_module(f"turnpoint.report.{_MODULES[name]}"), name)
