"""What a model decides at the turns of dialogues it has not seen."""

from turnpoint.evaluation.choices import calibrated as calibrated
from turnpoint.evaluation.choices import evaluate_choices as evaluate_choices
from turnpoint.evaluation.decisions import evaluate_decisions as evaluate_decisions
from turnpoint.evaluation.items import DecisionItem as DecisionItem
from turnpoint.evaluation.items import decision_items as decision_items
from turnpoint.evaluation.rates import DecisionReport as DecisionReport
from turnpoint.evaluation.rates import Verdict as Verdict
