"""What a student is trained to match: one divergence a file, one place that mixes, one place that averages.

Every divergence is a function `(teacher_logits [N, V], student_logits [N, V], ...) -> [N]` in nats per token, with
P = softmax(teacher / T), Q = softmax(student / T), at least float32 inside, and a gradient for the student only. Its
formula is written once, as a kernel on rows that gives value and slope together.

- `forward_kl`, `reverse_kl`, `jsd`, `skew_kl`, `total_variation`, `adaptive_kl`: the divergences; `cross_entropy`: the
  reference text.
- `probabilities`: a distribution in both of its forms; `closed_form`: from a kernel to a gradient.
- `settings`: which of them, how weighted, at which temperature; the loss of every token on full logits.
- `head`, `blocks`, `fused`: the same loss from hidden states, without ever holding the logits of all tokens.
- `reduction`: the weight of every token in the number that is differentiated.
"""

from kdscope.objectives.fused import Expectation, FusedLoss, TeacherRows, fused_loss
from kdscope.objectives.head import Head
from kdscope.objectives.reduction import sequence_weights, token_weights
from kdscope.objectives.settings import Divergence, Objective, Reduction, TokenLosses, per_token_loss

__all__ = [
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
