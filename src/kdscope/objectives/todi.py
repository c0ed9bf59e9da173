"""ToDi: forward or reverse KL, token of the vocabulary by token, as the student says less or more than the teacher.

Σ_v a_v p_v log(p_v/q_v) + (1 - a_v) q_v log(q_v/p_v) with a_v = p_v / (p_v + q_v), the sigmoid of log(p_v/q_v): per
token, in nats. Jung, Yoon, Kim and Lee 2025, arXiv 2505.16297. The weights are constants for the gradient, as the
authors' are. Since a p - (1 - a) q = p - q, the value is KL(P‖Q) + KL(Q‖P), Jeffreys' J, whatever the weights do; the
gradient is another: of the two pulls on log q, the whole of the forward KL's is left and 1 - a of the reverse KL's.

>>> import torch
>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> round(todi(teacher, student).item(), 6)
1.300628
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence, zero_where_impossible_


def todi_rows(teacher: Distribution, student: Distribution) -> tuple[Tensor, Tensor]:
    """The kernel with r = log q - log p: Σ (q - p) r, and dD/d log q = (1 - a) q r - p [+ q]."""
    p, q = teacher.probability, student.probability
    log_ratio = zero_where_impossible_(student.log.sub_(teacher.log))
    share_of_reverse = torch.sigmoid(log_ratio, out=teacher.log)
    value = zero_where_impossible_((q - p).mul_(log_ratio)).sum(dim=-1)
    return value, zero_where_impossible_(log_ratio.mul_(share_of_reverse.mul_(q))).sub_(p)


todi = Divergence(name="todi", kernel=todi_rows)
