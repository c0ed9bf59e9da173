"""Training objectives: divergences from the teacher, one a file; their mixture with cross-entropy; the reduction.

- `divergence`: what a divergence is, and the way from its formula to value and gradient.
- `forward_kl`, `reverse_kl`, `jsd`, `skew_kl`, `total_variation`, `adaptive_kl`, `jeffreys`, `todi`, `alpha_beta`,
  `concrete_score`, `entropy_aware_kl`: the divergences, in nats per token.
- `objective`: their list; which of them, how weighted, at which temperature; the loss of every token on full logits.
- `head`, `signals`, `blocks`, `fused`: the same loss from hidden states, without ever holding the logits of all tokens.
- `reduction`: the weight of every token in the number that is differentiated.
"""

from kdscope.objectives.divergence import Divergence
from kdscope.objectives.fused import FusedLoss, fused_loss
from kdscope.objectives.head import Head
from kdscope.objectives.objective import DIVERGENCES, Objective, Reduction, TokenLosses, per_token_loss
from kdscope.objectives.reduction import sequence_weights, token_weights
from kdscope.objectives.signals import Expectation, TeacherRows

__all__ = [
    "DIVERGENCES",
    "Divergence",
    "Expectation",
    "FusedLoss",
    "Head",
    "Objective",
    "Reduction",
    "TeacherRows",
    "TokenLosses",
    "fused_loss",
    "per_token_loss",
    "sequence_weights",
    "token_weights",
]
