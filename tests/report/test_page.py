from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest
import yaml

from kdscope.core.characters import HIDDEN, plain
from kdscope.report import save_tables, write_page
from kdscope.report.page import paragraphs, render_page

from .builders import FAILED, TEACHER, build_facts, build_tables, cell_row, designed_tables, empty_tables, only, stated
from .statistics_builders import measured

ATTACK = "<script>alert(1)</script>"
BREAKOUT = '"></title></svg></style><img src=x onerror=alert(2)>\\1{{ 7*7 }}'
VOID = {"meta", "img", "br", "input", "link", "hr"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; complains about tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open[-1:] == ["script"] else self.text).append(data)

    def attributes(self, name):
        return [found[name] for _, found in self.elements if name in found]


@pytest.fixture(scope="module")
def tables():
    return measured(build_tables())


@pytest.fixture(scope="module")
def html(tables):
    return render_page(tables, build_facts())


def test_one_file_that_loads_nothing(html):
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "image", "use", "foreignobject"}
    assert not page.attributes("src") + page.attributes("xlink:href")
    assert all(link.startswith(("#", "tables/", "data:")) for link in page.attributes("href"))
    style = html.split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert not re.search(r"url\((?!#)", html)
    assert len(html.encode()) < 4_000_000


def test_only_its_own_script_may_run(html):
    page = Page(html)
    [script] = page.scripts
    allowed = re.search(r"script-src 'sha256-([^']+)'", html)
    assert allowed is not None
    assert allowed[1] == base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in html


def test_ids_are_unique_and_links_lead_somewhere(html, tables, tmp_path):
    page = Page(html)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    save_tables(tables, tmp_path / "tables")
    for link in page.attributes("href"):
        if not link.startswith("data:"):
            assert link[1:] in ids if link.startswith("#") else (tmp_path / link).is_file()


def test_answer_comes_before_everything_else(html):
    order = ("answer", "which", "figures", "variance", "appendix", "conclusions", "tables", "ran", "provenance")
    places = [html.index(f'id="{part}"') for part in order if part != "conclusions"]
    assert places == sorted(places)
    assert html.index('class="cautions"') < html.index('id="appendix"') < html.index('id="gains-robust"')


@pytest.mark.parametrize("scope", ["runs", "checkpoints"])
def test_the_first_screen_has_at_most_120_words(tables, scope):
    html = render_page(measured(tables, scope), build_facts())
    [section] = re.findall(r'<section class="answer".*?</section>', html, re.DOTALL)
    words = re.sub("<[^>]+>", " ", section).split()
    assert 20 < len(words) <= 120
    before = re.sub("<[^>]+>", " ", html[html.index("<header>") : html.index('<section class="answer"')]).split()
    assert before == ["Distillation", "report", "smollm2-math"]


def test_one_seed_never_speaks_of_a_gain_of_a_method_before_the_appendix(tables):
    html = render_page(measured(tables, "checkpoints"), build_facts(description=""))
    body = re.sub("<[^>]+>", " ", html[html.index("<body>") : html.index('id="appendix"')])
    assert "these two checkpoints" in body
    for word in ("beat", "Reliable gain", "significantly better", "better than SFT", "worse than SFT"):
        assert word not in body


def test_checkpoint_and_tuning_are_told_near_the_answer(tables):
    tuned = {"keep": "last", "tuning_runs": 3, "rates_tried": "0.001, 0.002", "learning_rate": 0.001}
    html = render_page(replace(tables, cells=tables.cells.assign(**tuned)), build_facts())
    [rules] = re.findall('<p class="rules">(.*?)</p>', html)
    assert rules.startswith("Last checkpoint of every run. Learning rate chosen per method from 0.001, 0.002")
    assert html.index('class="rules"') < html.index('id="figures"')
    assert '<p class="rules">' not in render_page(tables, build_facts())


def test_who_was_left_in_the_warm_start_is_in_no_gain_and_no_fidelity(tables):
    left = tables.cells.assign(distilled=tables.cells["method"] != "seqkd", kept_step=35)
    html = render_page(replace(tables, cells=left), build_facts())
    assert "seqkd of tiny and small: not distilled (kept step 35 lies in its warm start)." in html
    for key in ("gains-table-robust", "fidelity-table", "fidelity-parts"):
        [section] = re.findall(f'<section id="{key}">.*?</section>', html, re.DOTALL)
        assert "seqkd" not in section
        assert "jsd" in section
    [which] = re.findall('<section id="which">.*?</section>', html, re.DOTALL)
    assert "seqkd" not in which


def test_sentences_that_are_not_true_are_gone(tables):
    html = render_page(tables, build_facts())
    for words in ("could not have seen less", "largest single gain", "smallest gain it could see", "run again"):
        assert words not in html.split("<script>")[0]


def test_tables_without_the_newer_columns_render_and_claim_nothing(tables):
    newer = ["scope", "student", "teacher", "method", "ablation", "reference", "temperature", "runs", "control_runs"]
    newer += ["low_simultaneous", "high_simultaneous", "run_sd"]
    html = render_page(replace(tables, statistics=tables.statistics.drop(columns=newer)), build_facts())
    Page(html)
    assert "No claim about a method: these statistics do not say" in html


def test_both_scorings_are_shown_the_primary_first(tables):
    for primary, other in (("robust", "published"), ("published", "robust")):
        html = render_page(tables, build_facts(scoring=primary))
        for kind in ("gains", "accuracy", "gains-table", "accuracy-table"):
            assert html.index(f'id="{kind}-{primary}"') < html.index(f'id="{kind}-{other}"')


def test_facts_warnings_and_failures_are_told(html):
    for part in (
        "AddSub shares items",
        "2.13.0",
        "2 CPU cores",
        "seeds: [0]",
        "7,373",
        "the loss became NaN at step 17",
    ):
        assert part in html
    assert html.count(f"<dt>{FAILED}</dt>") == 1


def test_stages_are_told_where_they_are_known(html):
    assert "Stages this page rests on" not in html
    told = render_page(empty_tables(), build_facts(stages={"distil_student tiny": "c0ffee"}))
    assert "<dt>distil_student tiny</dt><dd><code>c0ffee</code></dd>" in told


def test_sentences_of_the_statistics_are_told_with_their_role():
    rows = [
        stated(),
        stated(role="exploratory", sentence="A lead."),
        stated(group="tiny", note="", sentence="And tiny."),
    ]
    html = render_page(replace(empty_tables(), statistics=pd.DataFrame(rows)), build_facts())
    answer, rest = html.split('<h2 id="conclusions">')
    assert "A lead." not in answer
    primary, others = rest.split('<details id="conclusions-exploratory">')
    assert "<li>Distillation gained 3.0. One run.</li>" in primary
    assert "<li>And tiny.</li>" in primary
    assert "<li>A lead.</li>" in others


@pytest.mark.slow
def test_many_panels_are_folded():
    tables = build_tables()
    copies = range(7)
    frames = {}
    for name in ("cells", "accuracy", "gains"):
        frame = getattr(tables, name)
        parts = [
            frame.replace(
                {old: f"{old[: len(s)]}{n}{old[len(s) :]}" for s in ("tiny", "small") for old in _names(frame, s)}
            )
            for n in copies
        ]
        frames[name] = pd.concat(parts).drop_duplicates(["cell"] if name == "cells" else None)
    many = empty_tables(**frames)
    html = render_page(many, build_facts(failures=[]))
    [figure] = re.findall(r'<figure id="gains-robust">.*?</figure>', html, re.DOTALL)
    assert len([panel for panel in re.findall('<div class="panel"[^>]*>', figure) if "data-task" not in panel]) == 14
    assert "<summary>2 more panels</summary>" in figure
    assert 'class="tall"' in html
    assert len(html.encode()) < 6_000_000


def _names(frame, student):
    """Everything in the table's texts that begins with a student's name."""
    texts = [frame[name] for name in ("cell", "control", "student") if name in frame.columns]
    return {text for column in texts for text in column.dropna() if str(text).split("/")[0] == student}


def test_same_input_same_bytes(tables, tmp_path, html):
    write_page(tables, build_facts(), tmp_path / "deep" / "report.html")
    assert (tmp_path / "deep" / "report.html").read_bytes() == html.encode()


def renamed(tables, mapping):
    frames = {}
    for name in ("cells", "accuracy", "gains", "fidelity", "training", "statistics"):
        frames[name] = getattr(tables, name).replace(mapping)
    return replace(tables, **frames)


@pytest.mark.parametrize("attack", [ATTACK, BREAKOUT])
def test_hostile_text_stays_text(tables, attack):
    small = only(tables, [TEACHER, "small/sft/s0", "small/seqkd/teacher/s0", FAILED])
    mapping = {
        TEACHER: f"T{attack}",
        "small/seqkd/teacher/s0": f"C{attack}",
        "small": f"S{attack}",
        "gsm8k": f"G{attack}",
    }
    hostile = renamed(small, mapping | {"seqkd": f"M{attack}", "the loss became NaN at step 17": f"F{attack}"})
    hostile = replace(
        hostile,
        gains=hostile.gains.assign(method_of_test=attack),
        tests=tables.tests.assign(group=attack, hypothesis=attack),
    )
    words = {"name": attack, "description": attack, "study_yaml": attack, "hardware": attack, "warnings": [attack]}
    pairs = {"versions": {attack: attack}, "data_facts": {attack: attack}, "failures": [(attack, attack)]}
    html = render_page(hostile, build_facts(**words, **pairs))
    page = Page(html)
    assert len(page.scripts) == 1
    assert not {"img"} & {tag for tag, _ in page.elements}
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]
    assert attack not in html
    text = "".join(page.text)
    for mark in "SCMGF":
        assert f"{mark}{attack}" in text


def test_characters_that_hide_or_turn_text_are_shown_and_marks_still_follow_their_method(tables):
    odd = "\x1b[31m\x00\x07\u202e\uffff\ufeff\x9b"
    small = only(tables, ["small/sft/s0", "small/seqkd/teacher/s0", FAILED])
    mapping = {"small": f"S{odd}", "gsm8k": f"G{odd}", "the loss became NaN at step 17": f"F{odd}"}
    hostile = renamed(small, mapping | {"seqkd": f"M{odd}"})
    html = render_page(hostile, build_facts(name=f"N{odd}", description=odd, warnings=[odd]))
    assert not HIDDEN.search(html)
    page, shown = Page(html), plain(odd)
    assert {f"S{shown}"} < set(page.attributes("data-student"))
    assert f"M{shown}" in page.attributes("data-method")
    assert f"M{shown}" in page.attributes("value")


@pytest.mark.parametrize("attack", [ATTACK, BREAKOUT])
def test_hostile_designs_stay_text(attack):
    designed = designed_tables()
    mapping = {"big": f"T{attack}", "tiny": f"S{attack}", "seqkd": f"M{attack}", "forward_kl": f"D{attack}"}
    hostile = replace(designed, cells=designed.cells.replace(mapping).assign(variant=attack), gains=pd.DataFrame())
    hostile = replace(hostile, gains=designed.gains.replace(mapping))
    html = render_page(hostile, build_facts(description=f"First.\n\n{attack}", failures=[]))
    page = Page(html)
    assert len(page.scripts) == 1
    assert not {"img"} & {tag for tag, _ in page.elements}
    assert attack not in html
    text = "".join(page.text)
    for part in (f"teacher T{attack}, adapted", f"students: M{attack}", f"For S{attack}: M{attack} {attack} −1.2"):
        assert part in text


def test_the_design_is_told_before_the_results_and_beside_the_models():
    html = render_page(designed_tables(), build_facts(failures=[]))
    parts = ("Who saw what: the teacher learned from 2,400 labelled examples", "tiny: ", 'id="models"', 'id="learning"')
    places = [html.index(part) for part in (*parts, "<summary>Every cell</summary>")]
    assert places == sorted(places)
    [learning] = re.findall(r'<section id="learning">.*?</section>', html, re.DOTALL)
    assert learning.count("<tr>") == 1 + 6
    assert "students: forward_kl, reverse_kl" in learning


def test_failed_designs_give_a_page():
    designed = designed_tables()
    counts = dict.fromkeys(("steps", "labelled_examples", "unlabelled_prompts"))
    html = render_page(
        replace(designed, cells=designed.cells.assign(state="failed", **counts), gains=pd.DataFrame()), build_facts()
    )
    Page(html)
    assert "Who saw what" not in html


def leads(description):
    html = render_page(empty_tables(), build_facts(description=description))
    return re.findall(r'<p class="lead">(.*?)</p>', html, re.DOTALL)


def test_a_description_may_have_paragraphs():
    assert leads("") == leads(" \n ") == []
    assert leads("One\nsentence. And\nanother.\n\n \nA <b>second</b>\nparagraph.\n") == [
        "One sentence. And another.",
        "A &lt;b&gt;second&lt;/b&gt; paragraph.",
    ]


@pytest.mark.parametrize("style", ["|", ">", ">-", ""])
def test_a_blank_line_ends_a_paragraph_in_every_yaml_style(style):
    text = f"description: {style}\n  A first sentence,\n  which goes on.\n\n  A second\n  paragraph.\n"
    assert paragraphs(yaml.safe_load(text)["description"]) == [
        "A first sentence, which goes on.",
        "A second paragraph.",
    ]


def test_hostile_labels_in_hover_titles_stay_text(tables):
    small = only(tables, ["small/sft/s0", "small/seqkd/teacher/s0"])
    html = render_page(renamed(small, {"seqkd": ATTACK}), build_facts())
    assert re.search(r"<title>&lt;script&gt;alert\(1\)&lt;/script&gt;: ", html)


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [cell_row("s/sft", "student", "sft", student="s")],
        [cell_row("s/sft", "student", "sft", student="s", state="failed", cause="out of memory")],
        [cell_row("t", "teacher", "adapt", teacher="t")],
        [cell_row("s/base", "base", "base", student="s")],
    ],
)
def test_empty_tables_give_a_page_that_says_why(cells):
    html = render_page(empty_tables(cells=pd.DataFrame(cells)), build_facts(failures=[], warnings=[], data_facts={}))
    Page(html)
    assert "No student has been compared with a teacher." in html
    assert "There is no finished distilled student with a finished SFT control" in html
    assert "No validation loss has been recorded." in html


@pytest.mark.parametrize(
    "kept",
    [
        ["small/sft/s0"],
        ["small/seqkd/teacher/s0"],
        ["small/sft/s0", "small/seqkd/teacher/s0"],
        [TEACHER, "small/sft/s0"],
        [TEACHER, "small/seqkd/teacher/s0", FAILED],
    ],
)
def test_parts_of_a_study_give_a_page(tables, kept):
    Page(render_page(only(tables, kept), build_facts()))


def test_one_task(tables):
    tables = build_tables()
    frames = {name: getattr(tables, name).query("task == 'gsm8k'") for name in ("accuracy", "gains", "fidelity")}
    frames["gains"] = frames["gains"].assign(p_holm=frames["gains"]["p_value"])
    html = render_page(replace(tables, **frames), build_facts())
    Page(html)
    assert "from 1 task;" in html


def test_values_that_were_not_measured(tables):
    blank = {"low": None, "high": None, "p_value": None, "p_holm": None, "only_cell": None, "only_control": None}
    accuracy = tables.accuracy.assign(below_chance=None, chance=None, unparsed_rate=None, truncated_rate=None)
    html = render_page(replace(tables, gains=tables.gains.assign(**blank), accuracy=accuracy), build_facts())
    Page(html)
    assert "No distilled student has a control" not in html
