"""The catalogue of methods: everything that is known of a way to train a student by its name alone.

A method trains on a text (the reference, what the teacher wrote, or partly what the student samples), and either on
that text alone or on a divergence from the teacher's distribution over every next token of it.

The hues of marks are those of Okabe and Ito (2008, "Color Universal Design"), told apart with any kind of colour
vision; yellow is left out because it vanishes on white. `INK`, `MUTED` and `GRID` are names as much as colours: the
page's style sheet replaces them in dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from kdscope.core.catalogue import Catalogue
from kdscope.core.errors import ObjectiveError

INK, MUTED, GRID = "#1b1b1f", "#6b6b76", "#dcdce2"
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
SYMBOLS: Mapping[str, str] = MappingProxyType(
    {
        "circle": "M6 1.5a4.5 4.5 0 1 0 .01 0Z",
        "square": "M2 2H10V10H2Z",
        "diamond": "M6 .8L10.2 6L6 11.2L1.8 6Z",
        "cross": "M4.3 1H7.7V4.3H11V7.7H7.7V11H4.3V7.7H1V4.3H4.3Z",
        "triangle-up": "M6 1.5L11 10.5H1Z",
        "triangle-down": "M6 10.5L11 1.5H1Z",
        "triangle-left": "M1.5 6L10.5 1V11Z",
        "triangle-right": "M10.5 6L1.5 1V11Z",
    }
)
"""The shapes as paths in a box of 12 by 12, for legends."""


Text = Literal["reference", "teacher", "student"]
Value = float | int | bool | str

SFT, SEQKD, GKD, FORWARD_KL, REVERSE_KL = "sft", "seqkd", "gkd", "forward_kl", "reverse_kl"
"""Methods that code must single out."""
BASE, ADAPT = "base", "adapt"
"""What tables have in place of a method: of a model as it came, and of a teacher that was fine-tuned."""

_ANY_TEACHER = frozenset({"prompt_in_loss", "teacher_condition", "text"})
_ANY_DIVERGENCE = _ANY_TEACHER | frozenset(
    {
        *(
            "kd_temperature",
            "kd_weight",
            "teacher_noise_std",
            "t2_scale",
            "reduction",
            "warm_start_steps",
            "warm_start",
        ),
        *("on_policy_probability", "on_policy_divergence", "sampling_temperature"),
    }
)
USUAL_SHARE = 0.5
"""Of the steps on the student's samples, in methods that are made for them."""


@dataclass(frozen=True)
class MethodEntry:
    """One method.

    Attributes:
        name: As a study and tables have it.
        sentence: Its name in a sentence.
        colour: Of its marks in figures; a spare one where empty.
        shape: Of its marks in figures, one of `SYMBOLS`.
        divergence: From the teacher's distribution, a name of `kdscope.objectives`; None where there is none.
        text: What it trains on: reference answers, what the teacher wrote in their place, or partly the student's
            samples.
        settings: Keys of a study's method that change what it does.
        own_settings: Settings that only this method has, and their defaults; given under `settings` in a study.
        check: Is given a function from a setting's name to its value; raises ValueError where they do not fit.
        defaults: Settings of a study's method that are other than usual.
        published: What Ramesh et al. 2025 (arXiv 2505.15442) call it; their SeqKD is token-level forward KL.
        trained: Whether a study can name it; the others tell how a model of a table came to be.
        open_marks: Whether its marks are always open.
    """

    name: str
    sentence: str
    colour: str
    shape: str
    divergence: str | None = None
    text: Text = "reference"
    settings: frozenset[str] = _ANY_DIVERGENCE
    own_settings: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    check: Callable[[Callable[[str], Any]], object] = lambda setting: None
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    published: str | None = None
    trained: bool = True
    open_marks: bool = False


def settings_of_method(text: Text) -> frozenset[str]:
    """The settings of every method that compares distributions on this text."""
    # On its own samples, cross-entropy would only teach a student to repeat itself.
    return _ANY_DIVERGENCE - {"kd_weight"} if text == "student" else _ANY_DIVERGENCE


def divergence_method(
    name: str,
    sentence: str,
    colour: str,
    shape: str,
    *settings: str,
    check: Callable[..., object] = lambda **settings: None,
    **own_settings: Value,
) -> MethodEntry:
    """A method of the divergence of the same name, which takes these settings beside those of every divergence."""
    return MethodEntry(
        name,
        sentence,
        colour,
        shape,
        name,
        settings=_ANY_DIVERGENCE | set(settings),
        own_settings=MappingProxyType(own_settings),
        check=lambda setting: check(**{key: setting(key) for key in own_settings}),
    )


def check_reverse_share(reverse_share: float) -> None:
    """Raises ObjectiveError unless 0 <= reverse_share <= 1."""
    if not 0.0 <= reverse_share <= 1.0:
        raise ObjectiveError(f"reverse_share must lie in [0, 1], not {reverse_share}")


def check_alpha_beta(alpha: float, beta: float) -> None:
    """Raises ObjectiveError unless both lie in [0, 10], and one is above 0."""
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0.0 <= value <= 10.0:
            raise ObjectiveError(f"{name} must lie in [0, 10], not {value}")
    if alpha + beta == 0.0:
        raise ObjectiveError("alpha and beta must not both be 0")


def check_score_weights(first_weight: str, second_weight: str) -> None:
    """Raises ObjectiveError unless both are one of SCORE_WEIGHTS."""
    for name, value in (("first_weight", first_weight), ("second_weight", second_weight)):
        if value not in SCORE_WEIGHTS:
            raise ObjectiveError(f"{name} is student, teacher or uniform, not {value!r}")


def check_entropy_threshold(entropy_threshold: float) -> None:
    """Raises ObjectiveError unless the threshold, in nats, is at least 0 and finite."""
    if not 0.0 <= entropy_threshold < math.inf:
        raise ObjectiveError(f"entropy_threshold must be at least 0 and finite, not {entropy_threshold}")


SCORE_WEIGHTS = ("student", "teacher", "uniform")
"""Of pairs of tokens, in concrete score distillation."""


METHODS: Catalogue[MethodEntry] = Catalogue(
    "method",
    (
        MethodEntry(SFT, SFT, INK, "diamond", settings=frozenset({"prompt_in_loss"}), open_marks=True),
        MethodEntry(SEQKD, "sequence-level KD", GREEN, "circle", text="teacher", settings=_ANY_TEACHER),
        MethodEntry(
            FORWARD_KL,
            "forward KL",
            BLUE,
            "square",
            FORWARD_KL,
            # Before forward KL, forward KL would be no other way to start.
            settings=_ANY_DIVERGENCE - {"warm_start"} | {"probability_epsilon"},
            published="SeqKD",
        ),
        MethodEntry(
            REVERSE_KL,
            "reverse KL",
            VERMILION,
            "triangle-up",
            REVERSE_KL,
            settings=_ANY_DIVERGENCE | {"probability_epsilon"},
            published="RevKD",
        ),
        divergence_method("jsd", "JSD", ORANGE, "cross", "beta"),
        MethodEntry(
            GKD,
            "GKD",
            PURPLE,
            "triangle-down",
            "jsd",
            text="student",
            settings=settings_of_method("student") | {"beta"},
            defaults=MappingProxyType({"on_policy_probability": USUAL_SHARE}),
            published="GKD",
        ),
        divergence_method("skew_kl", "skew KL", SKY, "triangle-right", "skew"),
        divergence_method("skew_reverse_kl", "skew reverse KL", VERMILION, "triangle-left", "skew"),
        divergence_method("total_variation", "total variation", MUTED, "square"),
        divergence_method("adaptive_kl", "adaptive KL", GREEN, "triangle-down", "head_mass"),
        divergence_method(
            "jeffreys", "Jeffreys divergence", ORANGE, "circle", check=check_reverse_share, reverse_share=0.5
        ),
        divergence_method("todi", "ToDi", SKY, "diamond"),
        divergence_method(
            "alpha_beta", "alpha-beta divergence", PURPLE, "square", check=check_alpha_beta, alpha=0.2, beta=0.7
        ),
        divergence_method(
            "concrete_score",
            "concrete score",
            BLUE,
            "triangle-up",
            check=check_score_weights,
            first_weight="student",
            second_weight="student",
        ),
        divergence_method(
            "entropy_aware_kl",
            "entropy-aware KL",
            VERMILION,
            "circle",
            check=check_entropy_threshold,
            entropy_threshold=0.8,
        ),
        MethodEntry(BASE, BASE, MUTED, "diamond", settings=frozenset(), trained=False, open_marks=True),
        MethodEntry(ADAPT, ADAPT, INK, "triangle-up", settings=frozenset(), trained=False),
    ),
)


def method_names() -> tuple[str, ...]:
    """The methods that a study can name."""
    return tuple(name for name, method in METHODS.items() if method.trained)


def has_divergence(name: str) -> bool:
    """Whether a method compares the student's distribution with the teacher's; False for an unknown name."""
    return name in METHODS and METHODS[name].divergence is not None


def training_texts(name: str) -> tuple[str, ...]:
    """The texts that a method can train on, as a study's `text` names them, its usual one first.

    Gold: the reference answers. teacher: what the teacher wrote to the same prompts. both: each prompt with either.
    """
    if name not in METHODS or "text" not in METHODS[name].settings:
        return ("gold",)
    return ("teacher", "both") if METHODS[name].text == "teacher" else ("gold", "teacher", "both")


def has_open_marks(name: str) -> bool:
    """Whether a method's marks are always open, as those of the control and of untrained models."""
    return name in METHODS and METHODS[name].open_marks


def usual_share(name: str) -> float:
    """The share of steps that a method trains on texts that the student samples, where a study does not say."""
    return float(METHODS[name].defaults.get("on_policy_probability", 0.0)) if name in METHODS else 0.0


def method_sentence(name: str) -> str:
    """The name of a method in a sentence; of one that is not in the catalogue, what it is called."""
    return METHODS[name].sentence if name in METHODS else name


def published_names() -> dict[str, str]:
    """The published study's names, by method."""
    return {name: method.published for name, method in METHODS.items() if method.published is not None}
