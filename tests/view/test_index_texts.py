from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdscope.core.errors import DataError
from kdscope.view.index import RecordTexts


def _file(folder: Path, texts: list[str | None], group: int) -> Path:
    table = pa.table({"completion": pa.array(texts, pa.string()), "n": list(range(len(texts)))})
    pq.write_table(table, folder / "t.parquet", row_group_size=group)
    return folder / "t.parquet"


@pytest.mark.parametrize("group", [1, 3, 100])
def test_texts_come_from_their_rows(tmp_path: Path, group: int) -> None:
    texts = RecordTexts(_file(tmp_path, [f"text {n}" for n in range(10)], group))
    assert texts.column([9, 0, 4, 4], "completion") == ["text 9", "text 0", "text 4", "text 4"]
    assert texts.column([], "completion") == []
    assert texts.read(7, ["completion", "n"]) == {"completion": "text 7", "n": 7}
    assert texts.read(7, ["rouge_l"]) == {"rouge_l": None}, "a column of later versions"


@pytest.mark.parametrize("group", [1, 3, 100])
@pytest.mark.parametrize("literal", ["Äpfel", "äpfel", "a.c", "(", "\\", "a c", "\x00", "%", "ſ"])
def test_a_search_is_literal_and_without_case(tmp_path: Path, group: int, literal: str) -> None:
    values = ["viele ÄPFEL", "a.c", "abc", "A  c", "a c", "f(x", "\\n", "\x00", None, "100%", "", "S"]
    rows = np.array([11, -1, *range(9)])
    found = RecordTexts(_file(tmp_path, values, group)).search(rows, "completion", literal)
    expected = [row >= 0 and literal.casefold() in (values[row] or "").casefold() for row in rows]
    assert found.tolist() == expected


def test_little_is_kept(tmp_path: Path) -> None:
    texts = RecordTexts(_file(tmp_path, ["x" * 1000] * 20, 2), kept_bytes=5000)
    texts.column(list(range(20)), "completion")
    assert sum(chunk.nbytes for chunk in texts._chunks.values()) <= 5000
    assert texts.column([0], "completion") == ["x" * 1000]


def test_bytes_that_are_no_text_are_shown_all_the_same(tmp_path: Path) -> None:
    data = b"good\xed\xa0\x80\xff"
    array = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.int32([0, len(data)])), pa.py_buffer(data)])
    pq.write_table(pa.table({"completion": array}), tmp_path / "t.parquet")
    [text] = RecordTexts(tmp_path / "t.parquet").column([0], "completion")
    assert text.startswith("good")
    assert set(text[4:]) == {"\ufffd"}


def test_several_threads_read_at_once(tmp_path: Path) -> None:
    values = [f"{n} " * 50 for n in range(400)]
    texts = RecordTexts(_file(tmp_path, values, 7), kept_bytes=3000)
    wrong: list[int] = []

    def read(start: int) -> None:
        rows = list(range(start, 400, 3))
        if texts.column(rows, "completion") != [values[row] for row in rows]:
            wrong.append(start)

    threads = [threading.Thread(target=read, args=(start % 5,)) for start in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = _file(tmp_path, [f"{n} some text that is not the same as others {n * n}" for n in range(500)], 100)
    texts = RecordTexts(file)
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet: records cannot be read"):
        texts.column([0], "completion")
    file.write_bytes(b"")
    with pytest.raises(DataError, match=r"t\.parquet: records cannot be read"):
        RecordTexts(file)
