"""A study names its extensions; their methods are validated as the built-in ones are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdscope.core.errors import StudyError
from kdscope.core.extensions import load_extensions
from kdscope.study import expand_cells
from kdscope.study.dump import study_schema, study_yaml
from kdscope.study.load import load_study

MINIMAL = (Path(__file__).parent / "examples" / "minimal.yaml").read_text(encoding="utf-8")
EXTENSION = """
from kdscope.extend import register_divergence, register_method

def check(power):
    if power < 1:
        raise ValueError(f"power must be at least 1, not {power}")

register_divergence("mine", lambda p, q, *, temperature, power: (p - q).sum(-1), settings={"power": 2.0}, check=check)
register_method("mine", divergence="mine")
register_method("warm", divergence="reverse_kl", defaults={"warm_start_steps": 7, "kd_temperature": 2.0})
register_method("sampled", divergence="mine", text="student")
"""
TEACHER = "teachers: {name: big, path: teacher}\n"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """A function (methods, extensions) -> a study file beside an extension `mine.py`."""

    def study(methods: str, extensions: str = "mine.py") -> Path:
        (tmp_path / "mine.py").write_text(EXTENSION, encoding="utf-8")
        before, _ = MINIMAL.split("methods:")
        (tmp_path / "study.yaml").write_text(
            f"{before}{TEACHER}extensions: {extensions}\nmethods: {methods}\n", encoding="utf-8"
        )
        return tmp_path / "study.yaml"

    yield study
    load_extensions([])


def test_labels_tell_own_settings_that_are_not_the_default(write: Write) -> None:
    study = load_study(write("[mine, {name: mine, settings: {power: 3.5}}, {name: sampled, settings: {power: 4}}]"))
    assert [cell.label.split("/")[1] for cell in expand_cells(study)] == [
        "mine-T1-power2",
        "mine-T1-power3.5",
        "sampled-T1-power_4",
    ]


def test_defaults_of_a_method_give_way_to_a_study(write: Write) -> None:
    usual, own = load_study(write("[warm, {name: warm, warm_start_steps: 3}]")).methods
    assert (usual.kd_temperature, usual.warm_start_steps, own.warm_start_steps) == ((2.0,), 7, 3)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("[{name: mine, settings: {pow: 2}}]", "method 'mine' has no setting 'pow' of its own (known: power)"),
        ("[{name: mine, settings: {power: 0.5}}]", "power must be at least 1, not 0.5"),
        ("[{name: mine, beta: 0.1}]", "'beta' does not apply to method 'mine'"),
        ("[{name: jsd, settings: {power: 2}}]", "'settings' does not apply to method 'jsd'"),
        ("[{name: sampled, kd_weight: 0.5}]", "'kd_weight' does not apply to method 'sampled'"),
        ("[min]", "did you mean 'mine'?"),
    ],
)
def test_settings_of_a_method_are_checked(write: Write, methods: str, message: str) -> None:
    with pytest.raises(StudyError) as error:
        load_study(write(methods))
    assert message in str(error.value)


def test_a_missing_extension_is_a_problem_of_its_line(write: Write) -> None:
    path = write("[sft]", "[mine.py, gone.py]")
    line = 1 + path.read_text().splitlines().index("extensions: [mine.py, gone.py]")
    with pytest.raises(StudyError, match=rf"study\.yaml:{line}: extensions\[1\]: no file .*gone\.py"):
        load_study(path)


def test_a_study_with_extensions_is_written_and_read_again(write: Write, tmp_path: Path) -> None:
    study = load_study(write("[mine, {name: mine, settings: {power: 3.0}}]"))
    assert study.extensions == (tmp_path / "mine.py",)
    again = tmp_path / "again.yaml"
    again.write_text(study_yaml(study), encoding="utf-8")
    assert load_study(again) == study
    assert {"mine", "warm"} <= set(study_schema()["$defs"]["Method"]["properties"]["name"]["enum"])


def test_without_extensions_their_methods_are_unknown(write: Write, tmp_path: Path) -> None:
    load_study(write("[mine]"))
    with pytest.raises(StudyError, match="expected one of sft, seqkd"):
        load_study(write("[mine]", "[]"))
