"""Datasets laid out as on the hub, read from folders and from a hub made of folders."""

import inspect
import json

import pyarrow
import pyarrow.parquet
import pytest

from kdscope.core.errors import DataError
from kdscope.data.hub import CONVERTED, choose_files, fetch_hub
from kdscope.data.rows import read_rows
from tests.data.hub_double import COMMIT, CONVERTED_COMMIT, OLD_COMMIT, FolderHub


def _convert(columns):
    if "question" not in columns:
        raise DataError("no such column", key="question")
    return {"instruction": columns["question"], "input": "", "output": columns["answer"]}


def _rows(start, count):
    return [{"question": f"q{number}", "answer": [f"a{number}", "ünï"]} for number in range(start, start + count)]


def _write(folder, name, rows):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows) if isinstance(rows, list) else rows)


def _questions(file):
    return [row.values["instruction"] for row in read_rows(file)]


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "dataset"
    _write(folder, "main/train-00000-of-00002.parquet", _rows(0, 3))
    _write(folder, "main/train-00001-of-00002.parquet", _rows(3, 2))
    _write(folder, "main/test-00000-of-00001.parquet", _rows(10, 2))
    _write(folder, "socratic/train-00000-of-00001.parquet", _rows(50, 2))
    _write(folder, "README.md", "# A card without a header")
    _write(folder, "dataset.py", "raise RuntimeError('a loading script was run')")
    return folder


def test_a_split_of_several_files_becomes_one_list(dataset, tmp_path):
    told = []
    fetched = fetch_hub(dataset, "main", "train", None, _convert, tmp_path / "out" / "train.json", progress=_into(told))
    assert (fetched.rows, fetched.revision, told) == (5, None, [(1, 2), (2, 2)])
    assert fetched.files == ("main/train-00000-of-00002.parquet", "main/train-00001-of-00002.parquet")
    text = (tmp_path / "out" / "train.json").read_text(encoding="utf-8")
    assert text.startswith('[\n    {\n        "instruction": "q0"')
    assert "ünï" in text
    assert _questions(tmp_path / "out" / "train.json") == [f"q{number}" for number in range(5)]
    assert read_rows(tmp_path / "out" / "train.json")[4].texts("output") == ("a4", "ünï")


def _into(told):
    return lambda done, total: told.append((done, total))


def test_splits_are_joined_in_their_order_and_lines_stay_lines(dataset, tmp_path):
    fetch_hub(dataset, "main", "test+train", None, _convert, tmp_path / "all.jsonl")
    assert _questions(tmp_path / "all.jsonl") == ["q10", "q11", "q0", "q1", "q2", "q3", "q4"]
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 7


def test_fetching_again_gives_the_same_file_and_other_rows_do_not_replace_it(dataset, tmp_path):
    target = tmp_path / "train.json"
    first = fetch_hub(dataset, "main", "train", None, _convert, target)
    assert fetch_hub(dataset, "main", "train", None, _convert, target, sha256=first.sha256) == first
    with pytest.raises(DataError, match="exists with other content"):
        fetch_hub(dataset, "socratic", "train", None, _convert, target)
    with pytest.raises(DataError, match=rf"SHA-256 is .* instead of {first.sha256}"):
        fetch_hub(dataset, "socratic", "train", None, _convert, tmp_path / "x.json", sha256=first.sha256)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("name", ["valid.jsonl", "data/validation.json", "dev.jsonl", "lines/qa_val.jsonl"])
def test_json_files_and_other_names_of_a_split(tmp_path, name):
    _write(tmp_path / "d", name, _rows(0, 2))
    fetch_hub(tmp_path / "d", None, "validation", None, _convert, tmp_path / "out.json")
    assert _questions(tmp_path / "out.json") == ["q0", "q1"]


def test_a_file_by_its_name(tmp_path):
    _write(tmp_path / "d", "11_/valid.jsonl", _rows(0, 2))
    _write(tmp_path / "d", "valid.jsonl", _rows(5, 1))
    fetch_hub(tmp_path / "d", None, "validation", None, _convert, tmp_path / "out.json", file="11_/valid.jsonl")
    assert _questions(tmp_path / "out.json") == ["q0", "q1"]
    with pytest.raises(DataError, match=r"the dataset has no file 12_/valid.jsonl; it has 11_/valid.jsonl, valid.json"):
        fetch_hub(tmp_path / "d", None, "validation", None, _convert, tmp_path / "o", file="12_/valid.jsonl")


@pytest.mark.parametrize(
    ("config", "split", "words"),
    [
        ("main", "validation", "has no Parquet or JSON files of configuration main for the split validation; it has R"),
        ("other", "train", "has no Parquet or JSON files of configuration other for the split train"),
        (None, "train", "several configurations have this split: main, socratic"),
        ("main", "train+dev", "for the split train+dev"),
    ],
)
def test_a_split_that_is_not_there(dataset, tmp_path, config, split, words):
    with pytest.raises(DataError) as caught:
        fetch_hub(dataset, config, split, None, _convert, tmp_path / "out.json")
    assert str(caught.value).startswith(f"{dataset}: ")
    assert words in str(caught.value)


def test_a_row_that_cannot_be_converted_is_named(tmp_path):
    _write(tmp_path / "d", "train.jsonl", [*_rows(0, 1), {"text": "x"}])
    with pytest.raises(DataError, match=r"d/train.jsonl, row 2: question: no such column"):
        fetch_hub(tmp_path / "d", None, "train", None, _convert, tmp_path / "out.json")
    _write(tmp_path / "p", "train.parquet", [{"text": "x"}])
    with pytest.raises(DataError, match=r"p/train.parquet, row 1: question"):
        fetch_hub(tmp_path / "p", None, "train", None, _convert, tmp_path / "out.json")


def test_a_damaged_file(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"train.parquet: this is not a Parquet file that can be read"):
        fetch_hub(tmp_path / "d", None, "train", None, _convert, tmp_path / "out.json")
    with pytest.raises(DataError, match="no such folder"):
        fetch_hub(tmp_path / "nowhere", None, "train", None, _convert, tmp_path / "out.json")


CARD = """---
licence: mit
configs:
- config_name: first
  default: true
  data_files:
  - split: train
    path: parts/*.jsonl
  - split: test
    path: ["more/**/x.parquet", "y?.json"]
- config_name: second
  data_files: "second/*.json"
- config_name: third
  data_files: {train: "third.json"}
- config_name: fourth
  data_dir: fourth
---
# Text
"""
NAMES = ["README.md", "parts/a.jsonl", "parts/b/c.jsonl", "parts/z.csv", "more/x.parquet", "more/1/2/x.parquet"]
NAMES += ["y1.json", "y12.json", "second/b.json", "third.json", "train.json", "fourth/test.json", "test.py"]


@pytest.mark.parametrize(
    ("config", "split", "chosen"),
    [
        ("first", "train", ["parts/a.jsonl"]),
        (None, "train", ["parts/a.jsonl"]),
        ("first", "test", ["more/1/2/x.parquet", "more/x.parquet", "y1.json"]),
        ("first", "validation", []),
        ("second", "train", ["second/b.json"]),
        ("second", "test", []),
        ("third", "train", ["third.json"]),
        ("fourth", "test", ["fourth/test.json"]),
    ],
)
def test_a_card_says_where_splits_lie(config, split, chosen):
    assert choose_files(NAMES, CARD, config, split) == chosen


@pytest.mark.parametrize("card", ["", "---\n: [\n---\n", "---\n- a\n---\n", "--- configs", "---\nconfigs: 3\n---\n"])
def test_a_card_that_says_nothing(card):
    assert choose_files(["train.parquet", "train.jsonl"], card, None, "train") == ["train.parquet"]


@pytest.mark.parametrize(
    ("chosen", "others", "config"),
    [
        (["data/train-00000-of-00001-9ab.parquet"], ["data/test-00000-of-00001.parquet"], None),
        (["plain/train/0000.parquet", "plain/train/0001.parquet"], ["plain/test/0000.parquet"], "plain"),
        (["plain/train/0000.parquet"], ["other/train/0000.parquet"], "plain"),
        ([], ["plain/partial-train/0000.parquet"], "plain"),
        (["train.jsonl"], ["train_socratic.jsonl", "other_train.jsonl"], None),
        (["gsm_train.jsonl"], ["gsm_test.jsonl", "constrain.jsonl"], None),
        (["train.parquet"], ["train.json", "train.jsonl"], "default"),
        ([], ["train.csv", "train.jsonl.gz", "train.py", "train"], None),
        (["training.jsonl"], ["constrain.jsonl"], None),
    ],
)
def test_files_are_told_by_their_names(chosen, others, config):
    assert choose_files([*others, *reversed(chosen)], "", config, "train") == chosen


@pytest.fixture
def hub(tmp_path):
    folder = tmp_path / "hub"
    _write(folder / COMMIT, "train.jsonl", _rows(0, 3))
    _write(folder / OLD_COMMIT, "train.jsonl", _rows(7, 1))
    return FolderHub(folder, {None: COMMIT, "main": COMMIT, "v1": OLD_COMMIT})


@pytest.mark.parametrize(("revision", "commit"), [(None, COMMIT), ("v1", OLD_COMMIT), (OLD_COMMIT, OLD_COMMIT)])
def test_a_revision_is_resolved_once_and_everything_read_there(hub, tmp_path, revision, commit):
    fetched = fetch_hub("owner/name", None, "train", revision, _convert, tmp_path / "out.json", api=hub)
    assert fetched.revision == commit
    assert hub.asked == [revision]
    assert hub.downloaded == [(commit, "train.jsonl")]
    assert _questions(tmp_path / "out.json") == (["q0", "q1", "q2"] if commit == COMMIT else ["q7"])


def test_the_hubs_conversion_stands_in_for_a_loading_script(tmp_path):
    folder = tmp_path / "hub"
    _write(folder / COMMIT, "name.py", "raise RuntimeError")
    _write(folder / COMMIT, "README.md", "---\nconfigs:\n---\n")
    _write(folder / CONVERTED_COMMIT, "default/train/0000.parquet", _rows(0, 2))
    hub = FolderHub(folder, {None: COMMIT, CONVERTED: CONVERTED_COMMIT})
    for config in (None, "default"):
        fetched = fetch_hub("owner/name", config, "train", None, _convert, tmp_path / f"{config}.json", api=hub)
        assert fetched.revision == CONVERTED_COMMIT
    again = fetch_hub("owner/name", None, "train", CONVERTED_COMMIT, _convert, tmp_path / "again.json", api=hub)
    assert (again.sha256, again.revision) == (fetched.sha256, CONVERTED_COMMIT)


def test_only_a_script_and_no_conversion(tmp_path):
    _write(tmp_path / "hub" / COMMIT, "name.py", "x")
    hub = FolderHub(tmp_path / "hub", {None: COMMIT})
    with pytest.raises(DataError, match=r"owner/name: the dataset has no Parquet or JSON files .* it has name.py"):
        fetch_hub("owner/name", None, "train", None, _convert, tmp_path / "out.json", api=hub)


def test_a_hub_that_refuses(hub, tmp_path):
    with pytest.raises(DataError) as caught:
        fetch_hub("owner/name", None, "train", "nowhere", _convert, tmp_path / "out.json", api=hub)
    message = "https://huggingface.co/datasets/owner/name cannot be read: 404 Client Error. Revision Not Found"
    assert str(caught.value).startswith(message)


def test_the_double_is_called_as_the_real_hub_can_be():
    from huggingface_hub import HfApi

    inspect.signature(HfApi.dataset_info).bind(None, "owner/name", revision="v1")
    inspect.signature(HfApi.hf_hub_download).bind(None, "owner/name", "x", repo_type="dataset", revision="v1")
    from huggingface_hub.hf_api import DatasetInfo

    info = DatasetInfo(id="owner/name", sha=COMMIT, siblings=[{"rfilename": "train.jsonl"}], tags=[])
    assert (info.sha, [sibling.rfilename for sibling in info.siblings]) == (COMMIT, ["train.jsonl"])


def test_without_a_network_the_real_hub_is_a_readable_error(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"https://huggingface.co/datasets/owner/name cannot be read: ") as caught:
        fetch_hub("owner/name", None, "train", None, _convert, tmp_path / "out.json")
    assert "\n" not in str(caught.value)
