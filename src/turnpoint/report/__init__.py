"""Results as tables and plots, data as a page to read."""

from turnpoint.report.inspector import inspector_page as inspector_page
from turnpoint.report.plots import plot_rewards as plot_rewards
from turnpoint.report.tables import comparison as comparison
from turnpoint.report.tables import markdown as markdown
