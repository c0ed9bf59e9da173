"""Trained models out of the store, as ordinary Hugging Face folders with a model card."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdscope import __version__
from kdscope.api.finished import FinishedModel, FinishedRun, check_base, find_model, read_run, teacher_of
from kdscope.core.errors import DataError, ModelError, StoreError
from kdscope.core.files import explained, replace_folder, sha256_of, unique_token
from kdscope.pipeline.manifest import Manifest, copy_files
from kdscope.pipeline.store import MADE_AGAIN
from kdscope.report.card_results import card_results
from kdscope.report.model_card import CardFacts, loading_code, model_card
from kdscope.tasks.template import get_template

MARK = "kdscope.json"
"""The file by which an earlier export is known."""
_EXAMPLE = "Ann has 3 pens and buys 4 more. How many pens does she have now?"
_BASE = "base"


@dataclass(frozen=True)
class Exported:
    """A model that was exported.

    Attributes:
        cell: What the run calls it.
        folder: Where it is now.
        files: Its files by their path in it, and their sizes in bytes.
        loading: Python that loads it.
        headline: Its results in sentences.
        warnings: What its card warns of.
    """

    cell: str
    folder: Path
    files: Mapping[str, int]
    loading: str
    headline: Sequence[str]
    warnings: Sequence[str]

    @property
    def card(self) -> Path:
        """The model card."""
        return self.folder / "README.md"


def export_models(
    run: Path,
    cell: str | None = None,
    *,
    every: bool = False,
    out: Path | None = None,
    merge: bool = False,
    trust_remote_code: bool = False,
) -> list[Exported]:
    """Copy trained models of a finished run into folders of their own, each with a model card.

    Args:
        run: Folder of the run's results.
        cell: Which model: its name in the run's tables, or a part that only one has.
        every: All that were trained, instead of one.
        out: The model's folder (RUN/models/CELL where absent); with `every`, the folder for all of them.
        merge: Put adapters into their bases, so that every folder holds a whole model.
        trust_remote_code: With `merge`, run Python code that comes with a base. What the run says of it is no consent,
            as its folder may be anybody's.

    Raises:
        DataError: There is no such run or model; the folder is in use by something else.
        StoreError: The store no longer has the model, or a folder cannot be written.
        ModelError: The base of an adapter is gone or has changed, or has code that is not trusted.
    """
    if every == (cell is not None):
        raise DataError("give either a cell or ask for all of them")
    finished = read_run(Path(run))
    trained = [name for name, place in finished.models.items() if place is not None]
    chosen = trained if cell is None else [finished.find(cell)]
    parent = finished.folder / "models" if out is None else Path(out)
    folders = {name: parent / _folder_name(name) for name in chosen}
    if cell is not None and out is not None:
        folders = dict.fromkeys(chosen, Path(out))
    for folder in folders.values():
        check_free(folder)
    return [_export(finished, name, folder, merge, trust_remote_code) for name, folder in folders.items()]


def _export(run: FinishedRun, cell: str, folder: Path, merge: bool, trust: bool) -> Exported:
    """One model: built beside its place, then put there by one rename."""
    model = find_model(run, cell)
    if merge and model.is_adapter and model.base is not None and model.base.trust_remote_code and not trust:
        raise ModelError(
            f"{cell}: to merge its adapter, Python code that comes with {model.base.location} would run. Read that "
            "code, then allow it with --trust-remote-code, or export the adapter without --merge"
        )
    building = folder.absolute().parent / f".{folder.absolute().name}.{unique_token()}"
    card = _card_facts(run, model, folder.absolute().name, merge=merge)
    try:
        with explained("write the model", folder):
            building.mkdir(parents=True)
            _fill(building, model, card, run.store)
            (building / "README.md").write_text(model_card(run.tables, run.page, card), encoding="utf-8")
            mark: dict[str, object] = {
                "kdscope": __version__,
                "study": run.page.name,
                "cell": cell,
                "files": {name: sha256_of(building / name) for name in _sizes(building)},
            }
            mark |= {"stage": model.manifest.identity, "merged": merge and model.is_adapter}
            (building / MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
            files = _sizes(building)
            replace_folder(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    results = card_results(run.tables, run.page, cell)
    here = replace(card, folder=str(folder))
    return Exported(cell, folder, files, loading_code(here), results.headline, results.warnings)


def _fill(building: Path, model: FinishedModel, card: CardFacts, store: Path) -> None:
    if model.is_adapter and not card.adapter:
        _write_merged(building, model, store)
        return
    _copy(model.folder, model.manifest, building)
    if not model.is_adapter:
        return
    if model.base_manifest is not None and model.base is not None:
        _copy(Path(model.base.location), model.base_manifest, building / card.base_inside)
    _name_base(building / "adapter_config.json", model, card)


def _write_merged(building: Path, model: FinishedModel, store: Path) -> None:
    place = check_base(model, store)
    from kdscope.models.chat import stop_at_end
    from kdscope.models.load import load_model, load_tokenizer, save_model

    whole = load_model(replace(place, adapter=str(model.folder)), str(model.manifest.parameters["dtype"]), "cpu")
    tokenizer = load_tokenizer(replace(place, location=str(model.folder), revision=None))
    if model.manifest.parameters.get("ends") == "turn":
        stop_at_end(whole, tokenizer)
    save_model(whole, tokenizer, building)


def _copy(source: Path, manifest: Manifest, target: Path) -> None:
    """The files of a folder of a stage, verified once more; peft's own empty card is left behind."""
    inside = f"{source.name}/"
    names = [name for name in manifest.files if name.startswith(inside) and Path(name).name != "README.md"]
    places = {name: target / name.removeprefix(inside) for name in names}
    if problem := copy_files(source.parent, manifest, places):
        raise StoreError(f"{source.parent}: damaged while it was read: {problem}; {MADE_AGAIN}")


def _name_base(file: Path, model: FinishedModel, card: CardFacts) -> None:
    """Have the adapter say where its base is, so that peft and transformers find it where they can."""
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if card.base_inside:
        config["base_model_name_or_path"] = f"./{card.base_inside}"  # a bare word would be looked up on the hub
    elif model.base is not None:
        config["base_model_name_or_path"] = model.base.location
        config["revision"] = model.base.revision
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _card_facts(run: FinishedRun, model: FinishedModel, folder: str, *, merge: bool) -> CardFacts:
    parameters = model.manifest.parameters
    trained_on = str(parameters["template"])
    template = get_template("published" if trained_on == "published_training" else trained_on)
    identity: Any = parameters["model"]
    return CardFacts(
        folder=folder,
        cell=model.cell,
        base=model.source,
        teacher=teacher_of(run, model.cell),
        adapter=model.is_adapter and not merge,
        base_inside=_BASE if model.is_adapter and model.base_in_store and not merge else "",
        parameters=parameters,
        software=str(model.manifest.facts.get("software", "unknown software")),
        prompt=template.render(_EXAMPLE),
        base_place="" if model.base is None else model.base.location,
        chat=template.chat,
        own_code="trust_remote_code" in identity,
    )


def _folder_name(cell: str) -> str:
    """One folder name for a cell, whose parts are names themselves; never one that means another folder.

    >>> _folder_name("tiny-s/forward_kl-T1/tiny-m@base/s0")
    'tiny-s__forward_kl-T1__tiny-m@base__s0'
    >>> _folder_name(".."), _folder_name("")
    ('_..', '_')
    """
    name = cell.replace("/", "__")
    return name if name.strip(".") else f"_{name}"


def check_free(folder: Path) -> None:
    """Raise unless nothing but an earlier export, as it was written, is where a model is to go."""
    with explained("look at what is there", folder):
        if folder.is_symlink():
            raise DataError("a link is in the way; name the folder itself", file=folder)
        if not folder.exists():
            return
        if not folder.is_dir():
            raise DataError("a file is in the way", file=folder)
        found = _sizes(folder)
        if found:
            _check_own(folder, found)


def _check_own(folder: Path, found: Mapping[str, int]) -> None:
    """Raise where one of these files is not what the earlier export wrote; links never are, wherever they lead."""
    mark = folder / MARK
    try:
        if mark.is_symlink():
            raise ValueError
        written = json.loads(mark.read_text(encoding="utf-8"))["files"]
        own = {MARK, *written}
    except (OSError, ValueError, LookupError, TypeError):
        raise DataError(
            "this folder is not empty and not an earlier export; nothing was written", file=folder
        ) from None
    links = {name for name in found if (folder / name).is_symlink()}
    if foreign := sorted(set(found) - own | links):
        raise DataError(f"holds {foreign[0]}, which is not of the earlier export; nothing was written", file=folder)
    hashes = written if isinstance(written, dict) else {}  # exports of before there were hashes have a list
    changed = [name for name in found if name in hashes and sha256_of(folder / name) != hashes[name]]
    if changed:
        raise DataError(
            f"{changed[0]} was changed since it was exported; move it away or export to another folder; "
            "nothing was written",
            file=folder,
        )


def _sizes(folder: Path) -> dict[str, int]:
    """Everything below a folder that is no folder itself; of links their own size, not that of what they lead to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            found[path.relative_to(folder).as_posix()] = status.st_size
    return found
