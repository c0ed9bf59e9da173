"""Rows from a file or made up, prompts without answers, and how long training takes: what a study may say of them."""

from pathlib import Path

import pytest

from kdscope.core.errors import StudyError
from kdscope.study.arms import DataSource
from kdscope.study.load import load_study
from tests.builders import make_hollow_family

PARTS = {
    "data": "data: {path: d.json}",
    "tasks": "tasks: {names: mini-choose}",
    "teachers": "teachers: {name: big, path: t}",
    "students": "students: {name: s, path: p}",
    "methods": "methods: sft",
    "training": "training: {}",
}


@pytest.fixture
def load(tmp_path):
    """Loads a study of which some sections are written otherwise."""

    def write(**changed):
        text = "".join(f"{part}\n" for part in ("name: x", *{**PARTS, **changed}.values()))
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return load_study(tmp_path / "study.yaml")

    return write


@pytest.fixture
def problem(load, tmp_path):
    """The key and the text of the single problem of such a study, whose line is that of its section."""

    def find(line=None, **changed):
        with pytest.raises(StudyError) as caught:
            load(**changed)
        error = caught.value
        expected = [*PARTS, *(changed.keys() - PARTS.keys())].index(next(iter(changed))) + 2
        assert error.line == (expected if line is None else line)
        place = f"{tmp_path / 'study.yaml'}:{error.line}: {error.key}: "
        assert str(error).startswith(place)
        assert "\n" not in str(error)
        return error.key, str(error).removeprefix(place)

    return find


# Where rows come from

SECTIONS = {
    "data": ("data: {%s}", "data"),
    "unlabelled": ("data: {path: d.json, unlabelled: {%s}}", "data.unlabelled"),
    "teachers": ("teachers: {name: big, path: t, data: {%s}}", "teachers.data"),
}


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize(
    ("rows", "key", "words"),
    [
        ("limit: 3", "", "give either 'path' (a file) or 'mini' (generated problems)"),
        ("path: null", ".path", "give either 'path' (a file) or 'mini' (generated problems)"),
        ("path: d.json, mini: {tasks: mini-choose, rows_per_task: 1}", ".path", "give either 'path'"),
        ("mini: mini-choose", ".mini", "expected a mapping (key: value), given the text 'mini-choose'"),
        ("mini: {tasks: mini-choose}", ".mini.rows_per_task", "this key is required"),
        ("mini: {rows_per_task: 5}", ".mini.tasks", "this key is required"),
        ("mini: {tasks: [], rows_per_task: 1}", ".mini.tasks", "expected at least one value, given an empty list"),
        ("mini: {tasks: a, rows_per_task: 0}", ".mini.rows_per_task", "expected at least 1, given the number 0"),
        ("mini: {tasks: a, rows_per_task: 1, skip_per_task: -1}", ".mini.skip_per_task", "expected at least 0"),
        ("mini: {tasks: a, rows_per_task: 1, seed: 0.5}", ".mini.seed", "expected a whole number"),
        (
            "mini: {tasks: a, rows_per_task: 1, skip_per_tasks: 1}",
            ".mini.skip_per_tasks",
            "did you mean 'skip_per_task'?",
        ),
        ("path: d.json, limit: 0", ".limit", "expected at least 1"),
        ("path: '${NOT_SET_ANYWHERE}/d.json'", ".path", "variable 'NOT_SET_ANYWHERE' is not set"),
    ],
)
def test_rows_from_nowhere(problem, section, rows, key, words):
    text, place = SECTIONS[section]
    part = "teachers" if section == "teachers" else "data"
    found, message = problem(**{part: text % rows}, training="training: {max_steps: 3}")
    assert found == f"{place}{key}"
    assert words in message


def test_unlabelled_prompts_hold_nothing_out(problem):
    key, message = problem(data="data: {path: d, unlabelled: {path: u, validation_items: 3}}")
    assert (key, message) == ("data.unlabelled.validation_items", "unknown key; it belongs in 'data'")


def test_a_teachers_data_have_no_unlabelled_prompts(problem):
    key, message = problem(teachers="teachers: {name: big, path: t, data: {path: d, unlabelled: {path: u}}}")
    assert (key, message) == ("teachers.data.unlabelled", "unknown key; it belongs in 'data'")


def test_paths_of_every_source_are_relative_to_the_study(load, tmp_path, monkeypatch):
    monkeypatch.setenv("ROWS", "rows")
    study = load(
        data="data: {path: ../a.json, unlabelled: {path: '${ROWS}/b.json'}}",
        teachers="teachers: [{name: one, path: t, data: {path: c.json}}, {name: two, path: t}]",
        training="training: {max_steps: 3}",
    )
    assert study.data.path == tmp_path.parent / "a.json"
    assert study.data.unlabelled.path == tmp_path / "rows" / "b.json"
    assert study.teachers[0].data.path == tmp_path / "c.json"
    assert study.teachers[1].data is None


def test_generated_rows_arrive_with_their_defaults(load):
    mini = load(data="data: {mini: {tasks: mini-choose, rows_per_task: 5}}").data.mini
    assert (mini.tasks, mini.rows_per_task, mini.skip_per_task, mini.seed) == (("mini-choose",), 5, 0, 0)


def test_tasks_need_no_folder_to_load(load):
    tasks = load().tasks
    assert (tasks.folder, tasks.mini_items, tasks.mini_seed) == (None, 200, 0)


@pytest.mark.parametrize(("key", "value"), [("mini_items", 0), ("mini_seed", -1)])
def test_numbers_of_mini_items(problem, key, value):
    assert problem(tasks=f"tasks: {{names: mini-choose, {key}: {value}}}")[0] == f"tasks.{key}"


def test_a_source_is_one_thing_in_python_too():
    with pytest.raises(ValueError, match="give either 'path'"):
        DataSource()


# How long training takes


@pytest.mark.parametrize(
    ("value", "words"),
    [("0", "expected at least 1, given the number 0"), ("2.5", "expected a whole number"), ("-4", "at least 1")],
)
def test_steps_are_counted_from_one(problem, value, words):
    key, message = problem(training=f"training: {{max_steps: {value}}}")
    assert key == "training.max_steps"
    assert words in message


@pytest.mark.parametrize("section", ["training", "teacher_training"])
def test_steps_and_epochs_together_are_two_lengths(problem, section):
    line = {"training": 7, "teacher_training": 8}[section]
    key, message = problem(line=line, **{section: f"{section}: {{epochs: 2, max_steps: 5}}"})
    assert key == f"{section}.epochs"
    assert "'epochs' does not apply" in message


def test_a_wrong_length_is_reported_once_where_it_is_written(problem):
    key, _ = problem(
        training="training: {epochs: 2, max_steps: 5}", teacher_training="teacher_training: {learning_rate: 1e-3}"
    )
    assert key == "training.epochs"


@pytest.mark.parametrize(
    ("training", "teacher", "expected"),
    [
        ("max_steps: 5", "learning_rate: 1e-3", (3, 5)),
        ("epochs: 2", "learning_rate: 1e-3", (2, None)),
        ("max_steps: 5", "epochs: 2", (2, None)),
        ("epochs: 2", "max_steps: 7", (3, 7)),
        ("max_steps: 5", "max_steps: 7", (3, 7)),
        ("epochs: 2", "epochs: 4", (4, None)),
        ("max_steps: 5", "max_steps: null", (3, None)),
        ("epochs: 2", "max_steps: null", (2, None)),
    ],
)
def test_teacher_training_takes_the_length_over_or_has_its_own(load, training, teacher, expected):
    study = load(
        training=f"training: {{{training}, weight_decay: 0.5}}", teacher_training=f"teacher_training: {{{teacher}}}"
    )
    own = study.teacher_training
    assert (own.epochs, own.max_steps) == expected
    assert own.weight_decay == 0.5


def test_steps_displace_the_epochs_of_a_preset(load):
    training = load(preset="preset: published", training="training: {max_steps: 90}").training
    assert (training.max_steps, training.warmup_steps) == (90, 100)
    assert "epochs" in training.idle_settings()
    assert load(preset="preset: published", training="training: {max_steps: null}").training.epochs == 4


def test_unlabelled_prompts_need_steps(problem, load):
    data = "data: {path: d.json, unlabelled: {path: u.json}}"
    key, message = problem(data=data, training="training: {epochs: 4}")
    assert key == "data.unlabelled"
    assert message.endswith("set training.max_steps")
    # Only students see the prompts: a teacher may well count epochs.
    study = load(data=data, training="training: {max_steps: 4}", teacher_training="teacher_training: {epochs: 1}")
    assert study.data.unlabelled is not None


# Teachers in the conditions a method asks for


@pytest.mark.parametrize(
    ("written", "read"), [("base", ("base",)), ("[adapted, base]", ("adapted", "base")), ("null", None)]
)
def test_conditions_of_a_method(load, written, read):
    assert (
        load(methods=f"methods: {{name: forward_kl, teacher_condition: {written}}}").methods[0].teacher_condition
        == read
    )


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("name: forward_kl, teacher_condition: adpated", "did you mean 'adapted'?"),
        ("name: forward_kl, teacher_condition: []", "expected at least one value, given an empty list"),
        ("name: sft, teacher_condition: base", "'teacher_condition' does not apply to method 'sft'"),
    ],
)
def test_conditions_that_do_not_exist(problem, method, words):
    key, message = problem(methods=f"methods: {{{method}}}")
    assert key == "methods.teacher_condition"
    assert words in message


# Models that come with kdscope


@pytest.fixture
def family(tmp_path, monkeypatch):
    folder = make_hollow_family(tmp_path / "package", "tiny-l", "tiny-s")
    monkeypatch.setattr(
        "kdscope.study.embedded.files", lambda package: folder if package == "kdscope" else Path("none")
    )
    return folder / "models" / "tiny"


def test_models_that_come_with_kdscope(load, family):
    study = load(
        teachers='teachers: {name: big, path: "kdscope:tiny-l"}',
        students="students: [{name: s, path: kdscope:tiny-s}, {name: mine, path: ./kdscope:tiny-s}]",
    )
    assert study.teachers[0].path == family / "tiny-l"
    assert study.students[0].path == family / "tiny-s"
    assert study.students[1].path != family / "tiny-s", "a folder of one's own that is called so"


@pytest.mark.parametrize("name", ["tiny-x", "", "../tiny-l", "tiny-l/config.json", "."])
def test_models_that_do_not_come_with_kdscope(problem, family, name):
    key, message = problem(students=f'students: {{name: s, path: "kdscope:{name}"}}')
    assert (key, message) == ("students.path", f"no model '{name}' comes with kdscope (known: tiny-l, tiny-s)")
