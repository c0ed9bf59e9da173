"""Tasks that a user's extension adds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kdscope.core.errors import StudyError
from kdscope.core.extensions import load_extensions
from kdscope.stages.planning import TaskParams, own_tasks_among
from kdscope.tasks import built_in_registry, default_registry, get_task, registry_with

EXTENSION = """
from pathlib import Path
from kdscope.extend import register_task
from kdscope.tasks import Task

register_task(Task("NAME", "math", "number", (), 0.0, None, "", "", "", file=Path("rows.jsonl"), aliases=("mine",)))
"""


@pytest.fixture(autouse=True)
def _unloaded() -> Iterator[None]:
    yield
    load_extensions(())


def extension(folder: Path, name: str = "own") -> Path:
    (folder / "rows.jsonl").write_text('{"instruction": "1 + 1?", "answer": 2}\n')
    file = folder / "own_task.py"
    file.write_text(EXTENSION.replace("NAME", name))
    return file


def test_a_task_of_an_extension_is_found_until_it_is_unloaded(tmp_path: Path) -> None:
    load_extensions([extension(tmp_path)])
    assert get_task("mine").file == (tmp_path / "rows.jsonl").resolve()
    assert list(default_registry())[:-1] == list(built_in_registry())
    assert "own" in registry_with(None)
    load_extensions(())
    assert default_registry() == built_in_registry()


def test_a_task_of_an_extension_is_told_to_stages_as_a_persons_own(tmp_path: Path) -> None:
    load_extensions([extension(tmp_path)])
    told = TaskParams(own_tasks=own_tasks_among(default_registry(), ["own", "gsm8k"]))
    load_extensions(())
    assert [task.name for task in told.registry()][len(built_in_registry()) :] == ["own"]


@pytest.mark.parametrize("name", ["gsm8k", "GSM-8K", "arc_e", "mini-choose"])
def test_a_task_of_an_extension_cannot_be_called_as_another(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match=r"own_task.py:6: .* are both called"):
        load_extensions([extension(tmp_path, name)])
    assert default_registry() == built_in_registry()


def test_a_task_of_an_extension_needs_its_rows(tmp_path: Path) -> None:
    file = extension(tmp_path)
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(StudyError, match=r"no such file: .*rows.jsonl"):
        load_extensions([file])
