"""What is optimised: reductions of turns to scores, losses of pairs, and the tables that name them.

Legend: B pairs, T turns of the longest sequence. Log-probs are in nats.
"""

from turnpoint.objectives.losses import LOSSES as LOSSES
from turnpoint.objectives.losses import LossFact as LossFact
from turnpoint.objectives.losses import PairScores as PairScores
from turnpoint.objectives.objective import Objective as Objective
from turnpoint.objectives.objective import PairLosses as PairLosses
from turnpoint.objectives.reductions import REDUCTIONS as REDUCTIONS
from turnpoint.objectives.reductions import ReductionFact as ReductionFact
from turnpoint.objectives.reductions import Turns as Turns
