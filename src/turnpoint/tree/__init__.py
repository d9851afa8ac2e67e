"""The token tree: whatever the sequences of a row share is computed once, exactly."""

from turnpoint.tree.attention import attend_along_tree as attend_along_tree
from turnpoint.tree.build import TokenTree as TokenTree
from turnpoint.tree.build import build_tree as build_tree
from turnpoint.tree.evaluating import evaluating as evaluating
from turnpoint.tree.flex import attend_by_blocks as attend_by_blocks
from turnpoint.tree.images import SequenceImage as SequenceImage
from turnpoint.tree.images import image_key as image_key
from turnpoint.tree.images import with_keys as with_keys
from turnpoint.tree.logprobs import ScoredSequence as ScoredSequence
from turnpoint.tree.logprobs import ScoreRow as ScoreRow
from turnpoint.tree.logprobs import TokenScores as TokenScores
from turnpoint.tree.logprobs import sequence_logprobs as sequence_logprobs
from turnpoint.tree.logprobs import sequence_scores as sequence_scores
from turnpoint.tree.mask import tree_mask as tree_mask
from turnpoint.tree.pack import pack_rows as pack_rows
from turnpoint.tree.rewards import read_at_end as read_at_end
from turnpoint.tree.rewards import sequence_rewards as sequence_rewards
from turnpoint.tree.support import Sharing as Sharing
from turnpoint.tree.support import check_sharing as check_sharing
