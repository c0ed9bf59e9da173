"""What a student is trained to match: one divergence a file, one place that mixes, one place that averages.

Every divergence is a function `(teacher_logits [N, V], student_logits [N, V], ...) -> [N]` in nats per token, with
P = softmax(teacher / T), Q = softmax(student / T), at least float32 inside, and a gradient for the student only.

- `forward_kl`, `reverse_kl`, `jsd`, `skew_kl`, `total_variation`: the divergences; `cross_entropy`: the reference text.
- `probabilities`: the arithmetic in log space that they share.
- `settings`: which of them, how weighted, at which temperature; the loss of every token.
- `reduction`: from the losses of tokens to the number that is differentiated.
"""

from kdscope.objectives.reduction import sequence_mean_share, token_mean_share
from kdscope.objectives.settings import Divergence, Objective, Reduction, TokenLosses, per_token_loss

__all__ = [
    "Divergence",
    "Objective",
    "Reduction",
    "TokenLosses",
    "per_token_loss",
    "sequence_mean_share",
    "token_mean_share",
]
