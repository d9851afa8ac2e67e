"""What a model decides at the turns of dialogues it has not seen."""

from turnpoint.evaluation.choices import calibrated as calibrated
from turnpoint.evaluation.choices import evaluate_choices as evaluate_choices
from turnpoint.evaluation.decisions import evaluate_decisions as evaluate_decisions
from turnpoint.evaluation.decisions import graded_replies as graded_replies
from turnpoint.evaluation.graders import grade as grade
from turnpoint.evaluation.graders import strict as strict
from turnpoint.evaluation.items import DecisionItem as DecisionItem
from turnpoint.evaluation.items import decision_items as decision_items
from turnpoint.evaluation.perplexity import PerplexityReport as PerplexityReport
from turnpoint.evaluation.perplexity import evaluate_perplexity as evaluate_perplexity
from turnpoint.evaluation.preferences import PreferenceReport as PreferenceReport
from turnpoint.evaluation.rates import DecisionReport as DecisionReport
from turnpoint.evaluation.rates import Verdict as Verdict
from turnpoint.evaluation.rewards import evaluate_rewards as evaluate_rewards
from turnpoint.evaluation.rewards import reward_scores as reward_scores
