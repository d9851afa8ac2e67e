"""Results as tables and plots."""

from turnpoint.report.plots import plot_rewards as plot_rewards
from turnpoint.report.tables import comparison as comparison
from turnpoint.report.tables import markdown as markdown
