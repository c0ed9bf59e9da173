"""The published preset against the settings the paper's code has, and the rule that a study's own settings win."""

from pathlib import Path

import pytest

from kdscope.study.grid import expand_cells
from kdscope.study.load import load_study

TEXT = (Path(__file__).parent / "examples" / "published.yaml").read_text(encoding="utf-8")
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "up_proj", "down_proj")


@pytest.fixture
def published(tmp_path):
    def load(text: str = TEXT):
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return load_study(tmp_path / "study.yaml")

    return load


def test_training_and_evaluation_of_the_paper(published):
    study = published(TEXT.replace("training: {epochs: 3}\n", ""))
    training = study.training
    assert (training.epochs, training.batch_size_sequences, training.learning_rate) == (4, 16, 3e-4)
    assert (training.warmup_steps, training.schedule, training.max_length_tokens) == (100, "linear", 256)
    assert training.validate_every_steps == 200
    assert (study.data.validation_items, study.data.seed, study.seeds) == (500, 6, (6,))
    assert (study.template, study.scoring) == ("published", "published")
    evaluation = study.evaluation
    assert (evaluation.sampling_temperature, evaluation.top_p, evaluation.max_new_tokens) == (1.0, 1.0, 256)


def test_adapters_of_the_paper_unless_the_study_says_otherwise(published):
    study = published()
    small, whole, wide = (student.tuning for student in study.students)
    for tuning in (study.teachers[0].tuning, small):
        assert (tuning.kind, tuning.rank, tuning.alpha, tuning.dropout) == ("lora", 8, 16, 0.05)
        assert tuning.target_modules == PROJECTIONS
    assert whole.kind == "full"
    assert (wide.rank, wide.alpha, wide.target_modules) == (64, 16, PROJECTIONS)


def test_objectives_of_the_paper(published):
    text = TEXT.replace(
        "methods: [sft, forward_kl, {name: gkd, beta: 0.9}, jsd]", "methods: [sft, seqkd, forward_kl, reverse_kl, gkd]"
    )
    sft, seqkd, forward, reverse, gkd = published(text).methods
    assert all(method.prompt_in_loss for method in (sft, seqkd, forward, reverse, gkd))
    for method in (forward, reverse):
        assert (method.t2_scale, method.reduction, method.probability_epsilon) == (True, "sequence", 1e-9)
        assert (method.kd_weight, method.kd_temperature) == ((1.0,), (1.0,))
    assert (gkd.beta, gkd.on_policy_probability, gkd.sampling_temperature) == (0.5, 0.5, 1.0)
    assert (gkd.reduction, gkd.t2_scale, gkd.kd_temperature) == ("token", False, (1.0,))


def test_the_study_wins_key_by_key(published):
    study = published()
    assert study.training.epochs == 3
    assert study.training.warmup_steps == 100
    gkd = study.methods[2]
    assert (gkd.beta, gkd.prompt_in_loss) == (0.9, True)


@pytest.mark.parametrize("tuning", ["lora", "{kind: lora}", "{}"])
def test_naming_lora_keeps_the_adapters_of_the_paper(published, tuning):
    text = TEXT.replace(
        "teachers: {name: big, path: teacher}", f"teachers: {{name: big, path: teacher, tuning: {tuning}}}"
    )
    assert published(text).teachers[0].tuning.target_modules == PROJECTIONS


def test_one_method_and_one_student_without_a_list(published):
    study = published(TEXT[: TEXT.index("students:")] + "students: {name: s, path: student}\nmethods: forward_kl\n")
    assert study.students[0].tuning.dropout == 0.05
    assert study.methods[0].t2_scale


def test_an_explicit_null_wins(published):
    text = "name: x\npreset: published\ndata: {path: d}\ntasks: {folder: t, names: gsm8k}\n"
    text += "students: {name: s, path: p, tuning: {learning_rate: null, dropout: 0}}\nmethods: sft\n"
    assert published(text).students[0].tuning.dropout == 0


def test_without_the_preset_nothing_of_it_applies(published):
    study = published(TEXT.replace("preset: published\n", ""))
    assert (study.template, study.seeds, study.students[0].tuning.rank) == ("alpaca", (0,), 8)
    assert study.students[0].tuning.target_modules == "all-linear"
    assert not any(method.prompt_in_loss for method in study.methods)


def test_labels_of_published_cells_stay_short(published):
    labels = {cell.label for cell in expand_cells(published())}
    assert {"small/sft/s6", "small/forward_kl-T1/big/s6", "small/gkd-T1-beta0.9/big/s6"} <= labels
