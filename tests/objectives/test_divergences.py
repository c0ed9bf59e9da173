"""Every divergence: the number worked out elsewhere, its own gradient, 0 when equal, blind to a constant."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr, softmax
from scipy.stats import entropy as scipy_entropy
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.adaptive_kl import adaptive_kl
from kdscope.objectives.alpha_beta import alpha_beta
from kdscope.objectives.concrete_score import concrete_score
from kdscope.objectives.entropy_aware_kl import entropy_aware_kl
from kdscope.objectives.forward_kl import forward_kl
from kdscope.objectives.jeffreys import jeffreys
from kdscope.objectives.jsd import jsd
from kdscope.objectives.reverse_kl import reverse_kl
from kdscope.objectives.skew_kl import skew_kl, skew_reverse_kl
from kdscope.objectives.todi import todi
from kdscope.objectives.total_variation import total_variation
from kdscope.results.methods import SCORE_WEIGHTS

Function = Callable[..., Tensor]
Draw = Callable[..., tuple[Tensor, Tensor]]
Array = np.ndarray

ALL = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jsd(0)": partial(jsd, beta=0.0),
    "jsd(.1)": partial(jsd, beta=0.1),
    "jsd(.5)": partial(jsd, beta=0.5),
    "jsd(.9)": partial(jsd, beta=0.9),
    "jsd(1)": partial(jsd, beta=1.0),
    "skew_kl(0)": partial(skew_kl, skew=0.0),
    "skew_kl(.1)": partial(skew_kl, skew=0.1),
    "skew_reverse_kl(0)": partial(skew_reverse_kl, skew=0.0),
    "skew_reverse_kl(.1)": partial(skew_reverse_kl, skew=0.1),
    "total_variation": total_variation,
    "jeffreys(.3)": partial(jeffreys, reverse_share=0.3),
    "alpha_beta(.2, .7)": partial(alpha_beta, alpha=0.2, beta=0.7),
    "alpha_beta(1.5, .5)": partial(alpha_beta, alpha=1.5, beta=0.5),
    "alpha_beta(0, .5)": partial(alpha_beta, alpha=0.0, beta=0.5),
    "alpha_beta(.5, 0)": partial(alpha_beta, alpha=0.5, beta=0.0),
    "entropy_aware_kl(.8)": entropy_aware_kl,
}
every_divergence = pytest.mark.parametrize("divergence", ALL.values(), ids=ALL.keys())
# Their weights are constants of the gradient: what follows from its being that of the value does not hold of them.
CONSTANT_WEIGHTS = {
    "akl(.5)": adaptive_kl,
    "akl(.9)": partial(adaptive_kl, head_mass=0.9),
    "todi": todi,
    **{
        f"concrete_score({first}, {second})": partial(concrete_score, first_weight=first, second_weight=second)
        for first in SCORE_WEIGHTS
        for second in SCORE_WEIGHTS
    },
}
also_adaptive = pytest.mark.parametrize(
    "divergence", [*ALL.values(), *CONSTANT_WEIGHTS.values()], ids=[*ALL, *CONSTANT_WEIGHTS]
)


def scipy_divergence(name: str, p: Array, q: Array) -> Array:
    """The definitions, on probabilities, by scipy."""

    def kl(a: Array, b: Array) -> Array:
        return rel_entr(a, b).sum(-1)

    def mixed(weight: float) -> Array:
        return weight * p + (1 - weight) * q

    def jensen_shannon(beta: float) -> Array:
        return beta * kl(p, mixed(beta)) + (1 - beta) * kl(q, mixed(beta))

    def cichocki(a: float, b: float) -> Array:
        return (a / (a + b) * p ** (a + b) + b / (a + b) * q ** (a + b) - p**a * q**b).sum(-1) / (a * b)

    def at_an_end(a: Array, b: Array, power: float) -> Array:
        return (rel_entr(a**power, b**power) - a**power + b**power).sum(-1) / power**2

    return {
        "jeffreys(.3)": lambda: 0.7 * kl(p, q) + 0.3 * kl(q, p),
        "alpha_beta(.2, .7)": lambda: cichocki(0.2, 0.7),
        "alpha_beta(1.5, .5)": lambda: cichocki(1.5, 0.5),
        "alpha_beta(0, .5)": lambda: at_an_end(q, p, 0.5),
        "alpha_beta(.5, 0)": lambda: at_an_end(p, q, 0.5),
        "entropy_aware_kl(.8)": lambda: kl(q, p) + np.where(scipy_entropy(p, axis=-1) > 0.8, kl(p, q), 0.0),
        "forward_kl": lambda: kl(p, q),
        "reverse_kl": lambda: kl(q, p),
        "jsd(0)": lambda: kl(p, q),
        "jsd(.1)": lambda: jensen_shannon(0.1),
        "jsd(.5)": lambda: jensen_shannon(0.5),
        "jsd(.9)": lambda: jensen_shannon(0.9),
        "jsd(1)": lambda: kl(q, p),
        "skew_kl(0)": lambda: kl(p, q),
        "skew_kl(.1)": lambda: kl(p, mixed(0.1)),
        "skew_reverse_kl(0)": lambda: kl(q, p),
        "skew_reverse_kl(.1)": lambda: kl(q, mixed(0.9)),
        "total_variation": lambda: np.abs(p - q).sum(-1) / 2,
    }[name]()


# Worked out in float64 with numpy from the definitions on probabilities, to ten decimals.
WORKED = {
    "forward_kl": 0.6255031807,
    "reverse_kl": 0.6751253100,
    "jsd(0)": 0.6255031807,
    "jsd(.1)": 0.0549801371,
    "jsd(.5)": 0.1489273263,
    "jsd(.9)": 0.0580085765,
    "jsd(1)": 0.6751253100,
    "skew_kl(.1)": 0.4852348611,
    "skew_reverse_kl(.1)": 0.5020069267,
    "total_variation": 0.4695427722,
    "jeffreys(.3)": 0.6403898195,
    "alpha_beta(.2, .7)": 0.7312361847,
    "entropy_aware_kl(.8)": 1.3006284907,
}


@pytest.mark.parametrize("name", WORKED)
def test_the_worked_example(name: str, worked_example: tuple[Tensor, Tensor]) -> None:
    assert ALL[name](*worked_example).item() == pytest.approx(WORKED[name], abs=1e-9)


def test_the_worked_example_at_temperature_two(worked_example: tuple[Tensor, Tensor]) -> None:
    value = forward_kl(*worked_example, temperature=2.0).item()
    assert value == pytest.approx(0.1657819245, abs=1e-9)
    assert 2.0**2 * value == pytest.approx(0.6631276980, abs=1e-9)


def test_forward_kl_has_the_teachers_entropy_subtracted(worked_example: tuple[Tensor, Tensor]) -> None:
    teacher, student = worked_example
    soft_targets = torch.nn.functional.cross_entropy(student, teacher.softmax(-1))
    assert (soft_targets - forward_kl(teacher, student)).item() == pytest.approx(0.9475369640, abs=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("name", ALL)
def test_agrees_with_scipy(name: str, temperature: float, draw: Draw) -> None:
    teacher, student = draw(tokens=20, vocabulary=50)
    p, q = (softmax(logits.numpy() / temperature, axis=-1) for logits in (teacher, student))
    ours = ALL[name](teacher, student, temperature=temperature)
    np.testing.assert_allclose(ours.numpy(), scipy_divergence(name, p, q), rtol=1e-10, atol=1e-12)


@every_divergence
def test_gradient_is_that_of_the_value(divergence: Function, draw: Draw) -> None:
    teacher, student = draw(tokens=3, vocabulary=5, spread=1.0)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: divergence(teacher, z, temperature=1.7), (student,))


def todi_by_definition(teacher: Tensor, student: Tensor, frozen: Tensor) -> Tensor:
    log_p, log_q = teacher.log_softmax(-1), student.log_softmax(-1)
    share = torch.sigmoid(log_p - frozen.log_softmax(-1))
    forward, reverse = log_p.exp() * (log_p - log_q), log_q.exp() * (log_q - log_p)
    return (share * forward + (1 - share) * reverse).sum(-1)


def concrete_score_by_definition(first: str, second: str, teacher: Tensor, student: Tensor, frozen: Tensor) -> Tensor:
    uniform = torch.full_like(teacher, 1 / teacher.shape[-1])
    weights = {"student": frozen.softmax(-1), "teacher": teacher.softmax(-1), "uniform": uniform}
    gaps = (student - teacher).unsqueeze(-1) - (student - teacher).unsqueeze(-2)
    return torch.einsum("nx,ny,nxy->n", weights[first], weights[second], gaps**2) / 2


DEFINITIONS = {"todi": (todi, todi_by_definition)} | {
    f"concrete_score({first}, {second})": (
        partial(concrete_score, first_weight=first, second_weight=second),
        partial(concrete_score_by_definition, first, second),
    )
    for first in SCORE_WEIGHTS
    for second in SCORE_WEIGHTS
}


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_constant_weights_value_and_gradient_match_autograd_of_the_definition(
    name: str, temperature: float, draw: Draw
) -> None:
    divergence, definition = DEFINITIONS[name]
    teacher, student = draw(tokens=20, vocabulary=50)
    ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
    values = divergence(teacher, ours, temperature=temperature)
    expected = definition(teacher / temperature, theirs / temperature, student / temperature)
    torch.testing.assert_close(values, expected, rtol=1e-10, atol=1e-12)
    values.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_constant_weights_gradient_matches_finite_differences(name: str, draw: Draw) -> None:
    divergence, definition = DEFINITIONS[name]
    teacher, student = draw(tokens=3, vocabulary=5, spread=1.0)
    ours = student.clone().requires_grad_()
    divergence(teacher, ours).sum().backward()
    assert ours.grad is not None
    for token, entry in np.ndindex(*student.shape):
        step = torch.zeros_like(student)
        step[token, entry] = 1e-6
        above, below = (definition(teacher, student + side * step, student).sum().item() for side in (1, -1))
        assert ours.grad[token, entry].item() == pytest.approx((above - below) / 2e-6, abs=1e-6)


def test_concrete_score_with_uniform_weights_counts_tokens_whose_probabilities_underflow() -> None:
    teacher, student = torch.tensor([[200.0, 0.0, 0.0]]), torch.tensor([[200.0, 6.0, 0.0]])
    uniform = partial(concrete_score, first_weight="uniform", second_weight="uniform")
    assert uniform(teacher, student).item() == pytest.approx(8.0, rel=1e-4)  # the variance of 0, 6, 0


def test_todi_has_the_value_of_jeffreys_divergence_and_another_gradient(draw: Draw) -> None:
    teacher, student = draw()
    ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
    values, both = todi(teacher, ours), 2 * jeffreys(teacher, theirs, reverse_share=0.5)
    torch.testing.assert_close(values, both)
    values.sum().backward()
    both.sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert (ours.grad - theirs.grad).abs().max() > 0.01


def test_alpha_beta_is_forward_and_reverse_kl_at_the_ends(draw: Draw) -> None:
    teacher, student = draw()
    torch.testing.assert_close(alpha_beta(teacher, student, alpha=1.0, beta=0.0), forward_kl(teacher, student))
    torch.testing.assert_close(alpha_beta(teacher, student, alpha=0.0, beta=1.0), reverse_kl(teacher, student))
    nearly = alpha_beta(teacher, student, alpha=1e-5, beta=0.5)
    torch.testing.assert_close(nearly, alpha_beta(teacher, student, alpha=0.0, beta=0.5), rtol=1e-3, atol=1e-5)


def test_entropy_aware_kl_is_reverse_kl_above_every_entropy_and_twice_jeffreys_at_threshold_0(draw: Draw) -> None:
    teacher, student = draw()
    torch.testing.assert_close(entropy_aware_kl(teacher, student, entropy_threshold=9.0), reverse_kl(teacher, student))
    both = forward_kl(teacher, student) + reverse_kl(teacher, student)
    torch.testing.assert_close(entropy_aware_kl(teacher, student, entropy_threshold=0.0), both)


@pytest.mark.parametrize("divergence", [forward_kl, reverse_kl])
def test_gradient_with_epsilon(divergence: Function, draw: Draw) -> None:
    teacher, student = draw(tokens=3, vocabulary=5, spread=1.0)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: divergence(teacher, z, probability_epsilon=1e-3), (student,))


@also_adaptive
def test_equal_distributions_give_zero_and_no_gradient(divergence: Function, draw: Draw) -> None:
    teacher, _ = draw(spread=10.0)
    student = teacher.clone().requires_grad_()
    values = divergence(teacher, student)
    values.sum().backward()
    assert values.abs().max() < 1e-14
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-14


@also_adaptive
def test_gradient_reaches_only_the_student(divergence: Function, draw: Draw) -> None:
    teacher, student = (logits.requires_grad_() for logits in draw())
    divergence(teacher, student).sum().backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.abs().max() > 0


@every_divergence
@given(
    logits=arrays(np.float64, (2, 3, 6), elements=st.floats(-30, 30)),
    shift=st.floats(-100, 100),
    temperature=st.floats(0.3, 8),
)
@settings(max_examples=40, deadline=None)
def test_never_negative_and_blind_to_a_constant(
    divergence: Function, logits: Array, shift: float, temperature: float
) -> None:
    teacher, student = torch.from_numpy(logits)
    values = divergence(teacher, student, temperature=temperature)
    assert values.min() >= -1e-12
    moved = divergence(teacher + shift, student - shift, temperature=temperature)
    torch.testing.assert_close(moved, values, rtol=1e-9, atol=1e-10)


@given(logits=arrays(np.float64, (2, 3, 6), elements=st.floats(-800, 800)), weight=st.floats(0.01, 0.99))
@example(logits=np.full((2, 3, 6), -742.0) + 742.0 * np.eye(6)[0], weight=0.03)  # smaller still when mixed
@settings(max_examples=100, deadline=None)
def test_bounds_hold_even_when_the_distributions_hardly_touch(logits: Array, weight: float) -> None:
    teacher, student = torch.from_numpy(logits)
    binary_entropy = -weight * math.log(weight) - (1 - weight) * math.log(1 - weight)
    assert jsd(teacher, student, beta=weight).max() <= binary_entropy + 1e-12
    assert total_variation(teacher, student).max() <= 1 + 1e-12
    for skewed in (skew_kl, skew_reverse_kl):
        assert skewed(teacher, student, skew=weight).max() <= -math.log(weight) + 1e-12


@given(
    logits=arrays(np.float64, (2, 2, 5), elements=st.floats(-20, 20)),
    beta=st.sampled_from([0.0, 1.0]) | st.floats(1e-3, 1 - 1e-3),
)
@settings(max_examples=50, deadline=None)
def test_jsd_swaps_with_its_arguments(logits: Array, beta: float) -> None:
    teacher, student = torch.from_numpy(logits)
    swapped = jsd(student, teacher, beta=1 - beta)
    torch.testing.assert_close(jsd(teacher, student, beta=beta), swapped, rtol=1e-9, atol=1e-11)


def test_jsd_over_beta_tends_to_the_kl_at_the_ends(draw: Draw) -> None:
    teacher, student = draw(spread=1.0)
    nearly = jsd(teacher, student, beta=1e-6) / 1e-6
    torch.testing.assert_close(nearly, jsd(teacher, student, beta=0.0), rtol=1e-4, atol=1e-6)


@also_adaptive
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_low_precision_is_computed_in_float32(divergence: Function, dtype: torch.dtype, draw: Draw) -> None:
    teacher, student = (logits.to(dtype) for logits in draw(tokens=5, vocabulary=3000))
    values = divergence(teacher, student)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), divergence(teacher.double(), student.double()), rtol=2e-6, atol=2e-6)


WITH_ZEROS = [
    "forward_kl",
    "jsd(0)",
    "jsd(.1)",
    "jsd(.5)",
    "jsd(.9)",
    "skew_kl(.1)",
    "skew_reverse_kl(.1)",
    "total_variation",
    "alpha_beta(.2, .7)",
    "alpha_beta(1.5, .5)",
    "alpha_beta(.5, 0)",
]


@pytest.mark.parametrize("student_too", [False, True])
@pytest.mark.parametrize("name", WITH_ZEROS)
def test_tokens_the_teacher_cannot_say(name: str, student_too: bool, draw: Draw) -> None:
    teacher, student = draw()
    teacher[:, 2] = -math.inf
    if student_too:
        student[:, 2] = -math.inf
    student.requires_grad_()
    values = ALL[name](teacher, student)
    expected = scipy_divergence(name, softmax(teacher.numpy(), -1), softmax(student.detach().numpy(), -1))
    np.testing.assert_allclose(values.detach().numpy(), expected, rtol=1e-10)
    values.sum().backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_reverse_kl_where_the_teacher_cannot_say_a_token(draw: Draw) -> None:
    teacher, student = draw()
    teacher[:, 2] = -math.inf
    assert reverse_kl(teacher, student).isposinf().all()
    student[:, 2] = -math.inf
    student.requires_grad_()
    values = reverse_kl(teacher, student)
    values.sum().backward()
    without = [index for index in range(teacher.shape[1]) if index != 2]
    torch.testing.assert_close(values, reverse_kl(teacher[:, without], student[:, without]))
    assert student.grad is not None
    assert student.grad.isfinite().all()


@also_adaptive
@pytest.mark.parametrize("side", ["teacher", "student"])
def test_a_logit_that_is_no_number_is_not_hidden(divergence: Function, side: str, draw: Draw) -> None:
    teacher, student = draw()
    {"teacher": teacher, "student": student}[side][3, 1] = math.nan
    values = divergence(teacher, student)
    assert values.isnan().tolist() == [row == 3 for row in range(len(values))]


def test_probabilities_that_underflow_in_float32_still_count() -> None:
    teacher, student = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -200.0]])
    assert forward_kl(teacher, student).item() == pytest.approx(100 - math.log(2), rel=1e-6)
    assert reverse_kl(teacher, student).item() == pytest.approx(math.log(2), rel=1e-6)
    assert jsd(teacher, student).isfinite().all()


def test_epsilon_is_the_published_arithmetic(draw: Draw) -> None:
    teacher, student = draw()
    p, q = (softmax(logits.numpy() / 2.0, axis=-1) for logits in (teacher, student))
    epsilon = 1e-3
    forward = forward_kl(teacher, student, temperature=2.0, probability_epsilon=epsilon)
    reverse = reverse_kl(teacher, student, temperature=2.0, probability_epsilon=epsilon)
    # Neither is normalised again; of torch's own kl_div(log q, p + epsilon) it is the value, too.
    np.testing.assert_allclose(forward, ((p + epsilon) * (np.log(p + epsilon) - np.log(q))).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(reverse, ((q + epsilon) * (np.log(q) - np.log(p))).sum(-1), rtol=1e-12)
    torchs = torch.nn.functional.kl_div(torch.from_numpy(q).log(), torch.from_numpy(p + epsilon), reduction="none")
    torch.testing.assert_close(forward, torchs.sum(-1))
    assert (forward - forward_kl(teacher, student, temperature=2.0)).abs().min() > 1e-5


@also_adaptive
def test_refuses_what_it_is_not_defined_for(divergence: Function) -> None:
    with pytest.raises(ObjectiveError, match=r"teacher \[2, 3\], student \[2, 4\]"):
        divergence(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ObjectiveError, match="one shape"):
        divergence(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3))
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ObjectiveError, match="temperature"):
            divergence(torch.zeros(2, 3), torch.zeros(2, 3), temperature=temperature)


@pytest.mark.parametrize(
    ("divergence", "name"),
    [
        (partial(jsd, beta=1.5), "beta"),
        (partial(jsd, beta=math.nan), "beta"),
        (partial(skew_kl, skew=1.0), "skew"),
        (partial(adaptive_kl, head_mass=1.0), "head_mass"),
        (partial(skew_reverse_kl, skew=-0.1), "skew"),
        (partial(jeffreys, reverse_share=-0.1), "reverse_share"),
        (partial(alpha_beta, alpha=-0.1), "alpha"),
        (partial(alpha_beta, beta=math.inf), "beta"),
        (partial(alpha_beta, alpha=0.0, beta=0.0), "both"),
        (partial(concrete_score, first_weight="gold"), "first_weight"),
        (partial(entropy_aware_kl, entropy_threshold=math.nan), "entropy_threshold"),
        (partial(forward_kl, probability_epsilon=-1e-9), "probability_epsilon"),
        (partial(reverse_kl, probability_epsilon=1.0), "probability_epsilon"),
    ],
)
def test_refuses_settings_out_of_range(divergence: Function, name: str) -> None:
    with pytest.raises(ObjectiveError, match=name):
        divergence(torch.zeros(2, 3), torch.zeros(2, 3))


@every_divergence
def test_no_tokens_no_values(divergence: Function) -> None:
    assert divergence(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0,)
