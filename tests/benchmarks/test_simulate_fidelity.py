"""The simulation of fidelity: its bootstrap of cells is that of items, its truths are true, its tables are written."""

from __future__ import annotations

import numpy as np
import pytest

from kdscope.fidelity.agreement import pair_answers
from kdscope.fidelity.bootstrap import combine, estimate, limits, resample, select_columns
from kdscope.fidelity.measures import columns

MEASURE = "agreement_beyond_accuracy"


def item_by_item(study, draws):
    """The same study by the product's own resampling of items: student minus control."""
    teacher, *others = np.repeat(study.cells, study.counts.astype(int), axis=1)
    pairings = [pair_answers(teacher, own, teacher == 0, own == 0) for own in others]
    measures = pairings[0].measures
    place = [m.name for m in measures].index(MEASURE)
    cut, width = columns(measures)[place], sum(m.width for m in measures)
    names = [str(i) for i in range(teacher.size)]
    together = resample(np.hstack([pairing.paired() for pairing in pairings]), names, draws, 0)
    parts = [select_columns(together, slice(i * width + cut.start, i * width + cut.stop)) for i in range(2)]
    return combine(np.subtract, *(estimate([measures[place]], [part]) for part in parts))


def test_cells_drawn_by_their_counts_are_items_drawn_one_by_one(load):
    simulated = load("simulated_fidelity")
    models = {"student": simulated.Model(0.7, copied=0.2), "control": simulated.Model(0.6, unparsed=0.1)}
    population = simulated.Population(simulated.Model(0.8), models, difficulty_sd=1.0, mistakes=0.3, items=300)
    (study,) = simulated.simulate_studies(population, 1, np.random.default_rng(1))
    found = simulated.estimates(study, 6000, 0, (MEASURE,), np.random.default_rng(2))
    over = combine(np.subtract, found["student"][MEASURE], found["control"][MEASURE])
    expected = item_by_item(study, 6000)
    assert over.value == pytest.approx(expected.value)
    assert np.sort(over.left_out) == pytest.approx(np.sort(expected.left_out))
    assert over.draws.std() == pytest.approx(expected.draws.std(), rel=0.05)
    assert limits(over) == pytest.approx(limits(expected), abs=0.1 * expected.draws.std())


def test_the_truth_of_the_runs_is_what_many_items_give(load):
    simulated = load("simulated_fidelity")
    models = {"student": simulated.Model(0.7, run_sd=0.05), "control": simulated.Model(0.6, unparsed=0.1)}
    population = simulated.Population(
        simulated.Model(0.8), models, difficulty_sd=2.0, items=200_000, kinds=4, shape="skewed"
    )
    (study,) = simulated.simulate_studies(population, 1, np.random.default_rng(1))
    found = simulated.estimates(study, 2, 0, (MEASURE,), np.random.default_rng(2))
    for name in models:
        truth = simulated.excess_of_runs(population, study, name)
        assert found[name][MEASURE].value == pytest.approx(truth, abs=0.005), "four standard errors"


def test_accuracies_are_those_that_were_asked_for(load):
    simulated = load("simulated_fidelity")
    models = {"student": simulated.Model(0.7), "control": simulated.Model(0.3, unparsed=0.2)}
    population = simulated.Population(simulated.Model(0.96), models, difficulty_sd=2.0, items=100_000, options=4)
    generator = np.random.default_rng(0)
    (study,) = simulated.simulate_studies(population, 1, generator)
    right = (study.cells == 0) @ study.counts / study.counts.sum()
    assert right == pytest.approx([0.96, 0.7, 0.3], abs=0.006)


def test_an_independent_student_is_not_found_though_its_level_is(load):
    program = load("simulate_fidelity")
    population = program.setting(0.81, 2.0, 0, 0.15)
    _, each = program.measured(population, program.Plan(120, 0), (program.BEYOND,), (0,))
    assert program.over_control(each, program.BEYOND).above(0.05).holds
    assert not program.intervals([one["student"][program.BEYOND] for one in each]).above(0.05).holds


def test_a_copier_is_found(load):
    program = load("simulate_fidelity")
    population = program.setting(0.81, 1.0, 0, copied=0.2)
    _, each = program.measured(population, program.Plan(60, 0), (program.BEYOND,), (0,))
    assert program.over_control(each, program.BEYOND).above(least=0.95).holds


def test_a_rate_fails_where_its_interval_lies_beyond_the_bar(load):
    rate = load("simulate_fidelity").Rate
    assert rate(8, 100, most=0.05).holds
    assert not rate(160, 2000, most=0.05).holds
    assert not rate(80, 100, least=0.95).holds
    assert "**no**" in str(rate(80, 100, least=0.95))


def test_a_control_far_below_the_student_is_found_out(load):
    program = load("simulate_fidelity")
    population = program.realistic()["control at .15"]
    _, each = program.measured(population, program.Plan(60, 0), (program.BEYOND, program.MATCHED), (0,))
    assert not program.over_control(each, program.BEYOND).above(0.05).holds
    assert program.matched_control(each).above(0.05).holds


def test_the_program_prints_and_writes_a_page(load, tmp_path, capsys):
    program = load("simulate_fidelity")
    program.main(["--studies", "4", "--out", str(tmp_path / "page.md")])
    written = (tmp_path / "page.md").read_text()
    assert "| free | 0.81 | 2 | +15 |" in written
    assert "--studies 4" in written
    assert "| control at .30 |" in capsys.readouterr().out
