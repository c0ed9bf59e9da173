"""Models out of a real small run: whole folders with a card, loadable as the card says, or nothing at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer

import kdscope.api.export as export_module
from kdscope.api import Exported, export_models, load_study, read_run, run_study
from kdscope.api.finished import find_model
from kdscope.core.errors import DataError, KdscopeError, ModelError, StoreError
from kdscope.models.source import ModelPlace
from kdscope.study.embedded import embedded_model
from tests.cli.command import call

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
ADAPTER, WHOLE, CUT = (f"{name}/seqkd/big@base/s0" for name in ("adapter", "whole", "cut"))
STUDY: dict[str, Any] = {
    "name": "small",
    "data": {"mini": {"tasks": "mini-one-step", "rows_per_task": 20}, "validation_items": 4},
    "tasks": {"names": []},
    "teachers": {"name": "big", "path": "kdscope:tiny-m", "condition": "base"},
    "students": [
        {"name": "adapter", "path": "tiny"},
        {"name": "whole", "path": "kdscope:tiny-s", "tuning": "full"},
        {"name": "cut", "path": "kdscope:tiny-s", "keep_layers": 2},
    ],
    "methods": ["seqkd"],
    "training": {"max_steps": 2, "learning_rate": 0.01, "max_length_tokens": 160, "warmup_steps": 0},
    "teacher_generation": {"max_new_tokens": 8},
    "runtime": {"device": "cpu", "dtype": "float32", "threads": 1},
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run; one student's base is a local folder beside it."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(embedded_model("tiny-s"), folder / "tiny")
    (folder / "tiny" / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    tokenizer = json.loads((folder / "tiny/tokenizer_config.json").read_text())
    (folder / "tiny/tokenizer_config.json").write_text(json.dumps({**tokenizer, "note": "another model"}))
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    result = run_study(load_study(folder / "study.yaml"), store=folder / "store", out=folder / "run")
    assert not result.run.failed, result.run.messages
    return folder


@pytest.fixture
def run(pristine: Path) -> Path:
    return pristine / "run"


def one(run: Path, cell: str, out: Path, **settings: Any) -> Exported:
    (found,) = export_models(run, cell, out=out, **settings)
    return found


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(torch.arange(3, 40)[None]).logits
    return found


def code_of(card: Path) -> str:
    """The code block of a card."""
    (block,) = re.findall(r"```python\n(.*?)```", card.read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


@pytest.mark.parametrize(("cell", "merge"), [(ADAPTER, False), (ADAPTER, True), (WHOLE, False), (CUT, False)])
def test_the_cards_code_runs_as_written(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cell: str,
    merge: bool,
) -> None:
    found = one(run, cell, tmp_path / "my student", merge=merge)
    said = []
    for code, folder in ((code_of(found.card), tmp_path), (found.loading, tmp_path / "elsewhere")):
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        names: dict[str, Any] = {}
        exec(code, names)  # our own card, which is what the test is about
        said.append(capsys.readouterr().out)
        assert names["model"].dtype == torch.float32, "loaded in another precision than it was trained in"
    assert len(said[0].split()) > 2
    assert said[0] == said[1]


def test_the_cards_code_needs_nothing_but_the_folder(run: Path, tmp_path: Path) -> None:
    card = one(run, ADAPTER, tmp_path / "student").card
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-c", code_of(card)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 2


def test_merging_runs_code_of_a_base_only_if_this_command_allows_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[ModelPlace] = []

    def told_by_the_run(finished: Any, cell: str) -> Any:
        model = find_model(finished, cell)
        assert model.base is not None
        return replace(model, base=replace(model.base, trust_remote_code=True))

    def load(place: ModelPlace, *_: Any) -> Any:
        loaded.append(place)
        raise ModelError("loaded")

    monkeypatch.setattr(export_module, "find_model", told_by_the_run)
    monkeypatch.setattr("kdscope.models.load.load_model", load)
    with pytest.raises(ModelError, match="Python code that comes with"):
        one(run, ADAPTER, tmp_path / "a", merge=True)
    assert not loaded
    assert not (tmp_path / "a").exists()
    assert one(run, ADAPTER, tmp_path / "b").folder.is_dir(), "an adapter by itself runs nothing"
    with pytest.raises(ModelError, match="loaded"):
        one(run, ADAPTER, tmp_path / "c", merge=True, trust_remote_code=True)
    assert [place.trust_remote_code for place in loaded] == [True]


@pytest.mark.parametrize("cell", [ADAPTER, CUT])
def test_a_merged_model_is_the_adapter_on_its_base(run: Path, tmp_path: Path, cell: str) -> None:
    from peft import PeftModel

    adapter, merged = one(run, cell, tmp_path / "a").folder, one(run, cell, tmp_path / "m", merge=True).folder
    base = adapter / "base" if cell == CUT else run.parent / "tiny"
    whole = AutoModelForCausalLM.from_pretrained(merged)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    assert (logits(plain) - logits(whole)).abs().max() > 1e-3, "training left no trace"
    torch.testing.assert_close(logits(whole), logits(PeftModel.from_pretrained(plain, adapter)), atol=1e-4, rtol=1e-4)
    assert not list(merged.glob("adapter*"))
    assert sorted(path.suffix for path in merged.glob("*model*")) == [".safetensors"]
    assert ModelCard.load(merged / "README.md").data.library_name == "transformers"


def test_a_whole_model_is_the_stores_byte_by_byte(run: Path, tmp_path: Path) -> None:
    found = one(run, WHOLE, tmp_path / "whole")
    stored = read_run(run).store / str(read_run(run).models[WHOLE]) / "model"
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (found.folder / name).read_bytes() == (stored / name).read_bytes()
    assert found.files == {
        path.relative_to(found.folder).as_posix(): path.stat().st_size for path in found.folder.rglob("*")
    }
    AutoTokenizer.from_pretrained(found.folder)


def test_bases_are_told_for_what_they_are(run: Path, tmp_path: Path) -> None:
    cards = {cell: one(run, cell, tmp_path / cell[:3]).card for cell in (ADAPTER, WHOLE, CUT)}
    texts = {cell: card.read_text(encoding="utf-8") for cell, card in cards.items()}
    assert all(ModelCard.load(card).data.get("base_model") is None for card in cards.values())
    licences = [ModelCard.load(cards[cell]).data.get("license") for cell in (ADAPTER, WHOLE, CUT)]
    assert licences == ["mit", "apache-2.0", "apache-2.0"]
    assert f'base = "{run.parent / "tiny"}"' in texts[ADAPTER]
    assert "`kdscope:tiny-s`" in texts[WHOLE]
    assert "2 were kept" in texts[CUT]
    config = json.loads((tmp_path / "cut" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "./base"
    assert "teacher `big`" in texts[CUT]
    assert "as it came, unaware of the data" in texts[CUT]
    assert "Not evaluated." in texts[WHOLE]


def test_a_hub_base_stays_one_and_is_pinned(pristine: Path, tmp_path: Path) -> None:
    """The run of a hub model cannot be made here: that of a folder is rewritten as if it had been one."""
    folder, commit = tmp_path / "world", "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(pristine, folder)
    _as_if_from_hub(folder, "org/tiny", commit)
    found = one(folder / "run", ADAPTER, tmp_path / "student")
    data = ModelCard.load(found.card).data
    assert data.base_model == "org/tiny"
    assert data.get("license") is None
    assert f'from_pretrained(base, revision="{commit}", dtype="float32")' in found.loading
    config = json.loads((found.folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/tiny", commit)


def _as_if_from_hub(folder: Path, repository: str, commit: str) -> None:
    from kdscope.pipeline.stage import identify

    run = json.loads((folder / "run/run.json").read_text())
    stage = folder / "store" / run["models"][ADAPTER]
    manifest = json.loads((stage / "manifest.json").read_text())
    manifest["parameters"]["model"] = {"hub": repository, "revision": commit}
    manifest["identity"] = identify(*(manifest[key] for key in ("kind", "version", "parameters", "inputs")))
    del manifest["sha256"]
    (stage / "manifest.json").write_text(json.dumps(manifest))
    (folder / "run/run.json").write_text(json.dumps({**run, "store": str(folder / "store")}))


def test_an_earlier_export_is_replaced_and_anything_else_is_left(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    folder.mkdir()
    assert "adapter_config.json" in one(run, ADAPTER, folder).files
    assert "adapter_config.json" not in one(run, WHOLE, folder).files
    assert not (folder / "adapter_config.json").exists()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds notes\.txt, which is not of the earlier export"):
        one(run, ADAPTER, folder)
    assert (folder / "notes.txt").read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    for place in (tmp_path / "other", tmp_path / "other" / "file"):
        with pytest.raises(DataError, match=r"not an earlier export|a file is in the way"):
            one(run, ADAPTER, place)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["file"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "student"]


def test_what_was_changed_by_hand_is_not_replaced(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    card = one(run, WHOLE, folder).card
    card.write_text(card.read_text() + "My notes.\n")
    with pytest.raises(DataError, match=r"README\.md was changed since it was exported; move it away"):
        one(run, ADAPTER, folder)
    assert card.read_text().endswith("My notes.\n")
    card.unlink()
    assert one(run, WHOLE, folder).card.is_file(), "a file that is gone cannot be lost"
    mark = json.loads((folder / "kdscope.json").read_text())
    assert mark["files"].keys() == {path.name for path in folder.iterdir()} - {"kdscope.json"}
    (folder / "kdscope.json").write_text(json.dumps({**mark, "files": sorted(mark["files"])}))
    card.write_text("changed")
    assert one(run, WHOLE, folder).card.read_text() != "changed", "exports of before had no hashes"


def test_links_are_foreign_wherever_they_lead(run: Path, tmp_path: Path) -> None:
    folder, aside = tmp_path / "student", tmp_path / "aside"
    one(run, WHOLE, folder)
    (aside / "inner").mkdir(parents=True)
    for name, target in (("link", "nowhere"), ("link", aside), ("README.md", aside / "card"), ("kdscope.json", aside)):
        kept = tmp_path / "kept"
        shutil.copytree(folder, kept)
        (kept / "README.md").replace(aside / "card")
        (kept / name).unlink(missing_ok=True)
        (kept / name).symlink_to(target)
        with pytest.raises(DataError, match=rf"holds {name}, which is not of|not an earlier export"):
            one(run, WHOLE, kept)
        assert (kept / name).is_symlink()
        shutil.rmtree(kept)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "leading").symlink_to(folder)
    for place in ("dangling", "leading"):
        with pytest.raises(DataError, match="a link is in the way"):
            one(run, WHOLE, tmp_path / place)


@pytest.mark.parametrize("place", ["ABSOLUTE", "../outside", "stages/../../outside", "link"])
def test_what_somebody_else_wrote_into_run_json_stays_in_the_store(run: Path, tmp_path: Path, place: str) -> None:
    own, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(run, own)
    told = json.loads((own / "run.json").read_text())
    shutil.copytree(Path(told["store"]) / told["models"][WHOLE], outside)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(outside)
    models = {**told["models"], WHOLE: str(outside) if place == "ABSOLUTE" else place}
    told |= {"store": str(tmp_path / "store"), "models": models}
    del told["sha256"]
    (own / "run.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"run\.json.*is not in the store"):
        one(own, WHOLE, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cell", ["", ".", "..", "/", "../..", "a/.."])
def test_a_cells_folder_is_a_folder_in_the_parent(cell: str) -> None:
    parent = Path("/models")
    assert os.path.dirname(os.path.normpath(parent / export_module._folder_name(cell))) == "/models"


@pytest.mark.parametrize("merge", [False, True])
def test_what_fails_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merge: bool) -> None:
    before = one(run, WHOLE, tmp_path / "student").files

    def fail(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "model_card", fail)
    for place in ("student", "new"):
        with pytest.raises(StoreError, match="No space left"):
            one(run, ADAPTER, tmp_path / place, merge=merge)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert export_module._sizes(tmp_path / "student") == before


def test_damage_and_loss_are_noticed(pristine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    shutil.copytree(pristine, folder)
    run = json.loads((folder / "run/run.json").read_text()) | {"store": str(folder / "store")}
    (folder / "run/run.json").write_text(json.dumps(run))
    weights = folder / "store" / run["models"][WHOLE] / "model/model.safetensors"
    trained = weights.read_bytes()
    weights.write_bytes(trained[:-1] + bytes([trained[-1] ^ 1]))
    with pytest.raises(
        StoreError,
        match=r"file model/model\.safetensors has changed content.*run the study again",
    ):
        one(folder / "run", WHOLE, tmp_path / "a")
    shutil.rmtree(folder / "store" / run["models"][CUT])
    with pytest.raises(StoreError, match=r"the store no longer has it.*run the study again"):
        one(folder / "run", CUT, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    again = run_study(load_study(pristine / "study.yaml"), store=folder / "store", out=folder / "run")
    assert {stage.label for stage in again.run.executed} == {f"train {WHOLE}", f"train {CUT}"}
    one(folder / "run", WHOLE, tmp_path / "a")
    assert (tmp_path / "a/model.safetensors").read_bytes() == trained
    assert one(folder / "run", CUT, tmp_path / "b").card.is_file()


@pytest.mark.parametrize(("change", "message"), [("gone", "is no longer in"), ("other", "no longer the one it was")])
def test_an_adapter_is_merged_into_its_own_base_only(
    pristine: Path, run: Path, tmp_path: Path, change: str, message: str
) -> None:
    base, aside = pristine / "tiny", pristine / "aside"
    base.rename(aside)
    try:
        if change == "other":
            shutil.copytree(embedded_model("tiny-s"), base)
        with pytest.raises(ModelError, match=message):
            one(run, ADAPTER, tmp_path / "merged", merge=True)
        assert not (tmp_path / "merged").exists()
        assert one(run, ADAPTER, tmp_path / "adapter").card.is_file()
    finally:
        shutil.rmtree(base, ignore_errors=True)
        aside.rename(base)


def test_cells_are_found_by_name_or_by_a_part_that_is_unique(run: Path, tmp_path: Path) -> None:
    assert one(run, ADAPTER, tmp_path / "a").cell == one(run, "ADAPTER", tmp_path / "b").cell == ADAPTER
    for name, message in (
        ("seqkd", f"part of several cells; there are {ADAPTER}, {WHOLE}, {CUT}"),
        ("gkd", f"no trained cell has 'gkd' in its name; there is {ADAPTER}"),
        ("teacher/big@base", "was not trained"),
    ):
        with pytest.raises(DataError, match=re.escape(message)):
            one(run, name, tmp_path / "c")


def test_the_command_exports_all(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(monkeypatch, capsys, "export", run, "--all", "--json", "--out", tmp_path / "all")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert [model["cell"] for model in told] == [ADAPTER, WHOLE, CUT]
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(
        cell.replace("/", "__") for cell in (ADAPTER, WHOLE, CUT)
    )
    code, out, _ = call(monkeypatch, capsys, "export", run, WHOLE, "--out", tmp_path / "one")
    assert code == 0
    for expected in ("model.safetensors", "It was not evaluated", "AutoModelForCausalLM.from_pretrained(folder)"):
        assert expected in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "say which model, or --all; this run trained adapter/seqkd/big@base/s0"),
        (("run", "cut", "--all"), "give either a cell or --all"),
        (("run", "nobody"), "no trained cell has 'nobody'"),
        (("store", "cut"), "no run.json"),
    ],
)
def test_bad_input_is_one_line(
    pristine: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    code, out, err = call(monkeypatch, capsys, "export", pristine / arguments[0], *arguments[1:])
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_run_json_may_be_anything(tmp_path: Path) -> None:
    for content in ("", "[]", "{}", '{"store": 1, "models": {}}', '{"store": "x", "models": 3}'):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(KdscopeError):
            read_run(tmp_path)
