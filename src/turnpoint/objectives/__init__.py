"""What is optimised: reductions of turns to scores, losses of pairs, and the tables that name them.

Legend: B pairs, T turns of the longest sequence. Log-probs are in nats.
"""

from turnpoint.objectives.divergences import DIVERGENCES as DIVERGENCES
from turnpoint.objectives.objective import Objective as Objective
from turnpoint.objectives.objective import PairLosses as PairLosses
from turnpoint.objectives.objective import Sides as Sides
from turnpoint.objectives.objective import Term as Term
from turnpoint.objectives.reductions import REDUCTIONS as REDUCTIONS
from turnpoint.objectives.reductions import ReductionFact as ReductionFact
from turnpoint.objectives.reductions import Turns as Turns
from turnpoint.objectives.rewards import bradley_terry as bradley_terry
from turnpoint.objectives.scores import LossSettings as LossSettings
from turnpoint.objectives.scores import PairScores as PairScores
from turnpoint.objectives.table import ALIASES as ALIASES
from turnpoint.objectives.table import COEFFICIENTS as COEFFICIENTS
from turnpoint.objectives.table import LOSSES as LOSSES
from turnpoint.objectives.table import LossFact as LossFact
