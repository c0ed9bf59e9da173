"""A study names its extensions; their methods are validated as the built-in ones are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdscope.core.errors import StudyError
from kdscope.core.extensions import load_extensions
from kdscope.stages.distil_student import MethodParams
from kdscope.study import expand_cells
from kdscope.study.dump import study_schema, study_yaml
from kdscope.study.load import load_study, read_study

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

def reciprocal(power, steps, flag, word):
    1 / power
    if steps == 13:
        raise TypeError("unlucky\\nas they say")

def many(teacher_logits, student_logits, *, temperature, power, steps, flag, word):
    return (student_logits - teacher_logits).sum(-1)

usual = {"power": 2.0, "steps": 3, "flag": False, "word": "a"}
register_divergence("many", many, settings=usual, check=reciprocal)
register_method("many", divergence="many", defaults={"settings": {"steps": 5, "word": "b"}})
register_divergence("ab", lambda p, q, *, temperature, beta, head_mass: (q * beta).sum(-1),
                    settings={"beta": 0.9, "head_mass": 0.2})
register_method("ab", divergence="ab")
register_method("ab_low", divergence="ab", defaults={"beta": 0.1})
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


def test_the_default_of_a_divergence_is_that_of_its_method(write: Write) -> None:
    study = load_study(write("[ab, ab_low, {name: ab, beta: 0.3}]"))
    params = [MethodParams.of_cell(cell) for cell in expand_cells(study)]
    assert [one.settings_of(one.divergence, ["beta"])["beta"] for one in params] == [0.9, 0.1, 0.3]
    assert [one.settings_of(one.divergence, ["head_mass"])["head_mass"] for one in params] == [0.2, 0.2, 0.2]


def test_a_whole_number_for_a_number_is_the_same_cell_and_identity(write: Write) -> None:
    study = load_study(write("[{name: mine, settings: {power: 3}}, {name: mine, settings: {power: 3.0}}]"))
    (cell,) = expand_cells(study)
    first, second = study.methods
    assert first == second
    assert type(first.setting("power")) is type(second.setting("power")) is float
    assert MethodParams.of_cell(cell).settings == {"power": 3.0}


def test_settings_are_merged_key_by_key_with_those_of_the_method(write: Write) -> None:
    usual, own = load_study(write("[many, {name: many, settings: {steps: 9}}]")).methods
    assert (usual.setting("steps"), usual.setting("word"), usual.setting("power")) == (5, "b", 2.0)
    assert (own.setting("steps"), own.setting("word")) == (9, "b")


def test_labels_tell_own_settings_that_are_not_the_default(write: Write) -> None:
    study = load_study(write("[mine, {name: mine, settings: {power: 3.5}}, {name: sampled, settings: {power: 4}}]"))
    assert [cell.label.split("/")[1] for cell in expand_cells(study)] == [
        "mine-T1-power2",
        "mine-T1-power3.5",
        "sampled-T1-power4",
    ]


def test_defaults_of_a_method_give_way_to_a_study(write: Write) -> None:
    usual, own = load_study(write("[warm, {name: warm, warm_start_steps: 3}]")).methods
    assert (usual.kd_temperature, usual.warm_start_steps, own.warm_start_steps) == ((2.0,), 7, 3)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("[{name: mine, settings: {pow: 2}}]", "method 'mine' has no setting 'pow' of its own (known: power)"),
        ("[{name: mine, settings: {power: 0.5}}]", "power must be at least 1, not 0.5"),
        ("[{name: mine, settings: {power: abc}}]", "settings.power: 'power' is a number of at most 1e+15, not 'abc'"),
        ("[{name: mine, settings: {power: true}}]", "'power' is a number of at most 1e+15, not True"),
        ("[{name: mine, settings: {power: .inf}}]", "given the number inf"),
        ("[{name: mine, settings: {power: .nan}}]", "given the number nan"),
        (f"[{{name: mine, settings: {{power: 1{'0' * 400}}}}}]", "'power' is a number of at most 1e+15, not 1000"),
        ("[{name: many, settings: {steps: 2.0}}]", "'steps' is a whole number of at most 1e+15, not 2.0"),
        ("[{name: many, settings: {flag: 1}}]", "'flag' is true or false, not 1"),
        ("[{name: many, settings: {word: 1}}]", "'word' is text, not 1"),
        ("[{name: many, settings: {power: 0}}]", "the check of many fails for power=0.0, steps=5"),
        ("[{name: many, settings: {steps: 13}}]", "with TypeError: unlucky"),
        ("[{name: mine, power: 3.0}]", "power: unknown key; it belongs in 'settings'"),
        ("[{name: jsd, power: 3.0}]", "power: unknown key; known here"),
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


def test_a_missing_extension_of_the_command_line_is_no_problem_of_the_study(write: Write, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as error:
        read_study(write("[mine]"), [tmp_path / "gone.py"])
    assert str(error.value) == f"--extensions: no file {tmp_path / 'gone.py'}"


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
