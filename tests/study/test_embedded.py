"""The studies that come with kdscope: found, named, and good for what a reader is told of them."""

import pytest

from kdscope.api.study_files import check_files
from kdscope.core.errors import StudyError
from kdscope.study.embedded import QUICKSTART, embedded_studies, embedded_study
from kdscope.study.grid import expand_cells
from kdscope.study.load import read_study
from kdscope.tasks import get_task
from tests.builders import make_hollow_family

STUDIES = embedded_studies()


@pytest.fixture(autouse=True)
def family(tmp_path, monkeypatch):
    """The folders of the models, whether or not this copy of kdscope has their weights."""
    folder = make_hollow_family(tmp_path / "package", "tiny-s", "tiny-m", "tiny-l")
    monkeypatch.setattr("kdscope.study.embedded.files", lambda package: folder)


def test_each_has_its_name_and_says_in_its_first_line_what_it_is():
    assert QUICKSTART in {study.name for study in STUDIES}
    assert len({study.name for study in STUDIES}) == len(STUDIES)
    for study in STUDIES:
        first = study.path.read_text(encoding="utf-8").splitlines()[0]
        assert first == f"# {study.summary}"
        assert study.summary.endswith(".")
        assert study.path.stem.partition("_")[2].replace("_", "-") == study.name


def test_one_by_its_name_and_none_by_another():
    assert [embedded_study(study.name) for study in STUDIES] == STUDIES
    known = ", ".join(study.name for study in STUDIES)
    with pytest.raises(StudyError, match=f"no study 'quick' comes with kdscope \\(known: {known}\\)"):
        embedded_study("quick")


@pytest.mark.parametrize("embedded", STUDIES, ids=lambda study: study.name)
def test_each_needs_nothing_but_kdscope(embedded):
    loaded = read_study(embedded.path)
    check_files(loaded, get_task)
    study = loaded.study
    assert study.name == embedded.name
    assert study.tasks.folder is None
    assert all(get_task(name).generated for name in study.tasks.names)
    sources = [study.data, study.data.unlabelled, *(teacher.data for teacher in study.teachers)]
    assert all(source.path is None for source in sources if source is not None)
    assert all(model.path.parent.name == "tiny" for model in (*study.teachers, *study.students))
    assert study.runtime.device == "cpu"


@pytest.mark.parametrize("embedded", STUDIES, ids=lambda study: study.name)
def test_each_has_the_control_with_as_many_steps_as_the_others(embedded):
    study = read_study(embedded.path).study
    assert study.training.max_steps is not None
    controls = {(cell.student.name, cell.seed) for cell in expand_cells(study) if cell.method.name == "sft"}
    assert controls == {(student.name, seed) for student in study.students for seed in study.seeds}


@pytest.mark.parametrize("embedded", STUDIES, ids=lambda study: study.name)
def test_no_problem_is_in_two_sets_of_a_study(embedded):
    """Teachers, labelled rows and unlabelled prompts take disjoint stretches of one seed."""
    study = read_study(embedded.path).study
    sources = [study.data, study.data.unlabelled, *(teacher.data for teacher in study.teachers)]
    minis = [source.mini for source in sources if source is not None]
    assert len({mini.seed for mini in minis}) == 1
    taken = [
        (task, number)
        for mini in minis
        for task in mini.tasks
        for number in range(mini.skip_per_task, mini.skip_per_task + mini.rows_per_task)
    ]
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("embedded", STUDIES, ids=lambda study: study.name)
def test_each_keeps_the_last_step_and_no_warm_start_lasts_to_the_end(embedded):
    study = read_study(embedded.path).study
    assert study.training.keep == "last"
    assert all(method.warm_start_steps < study.training.max_steps for method in study.methods)


def test_a_claim_has_five_seeds_two_students_and_an_equal_budget_for_every_arm():
    study = read_study(embedded_study("claim").path).study
    assert len(set(study.seeds)) == 5
    assert len(study.students) == 2
    assert [method.name for method in study.methods] == ["sft", "seqkd", "forward_kl", "reverse_kl", "gkd"]
    assert {student.tuning.learning_rate for student in study.students} == {(0.001, 0.002, 0.004, 0.008)}
    assert study.data.validation_items >= 200
