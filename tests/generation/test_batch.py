"""What all prompts begin with is read once, and parts are read one after another: the states stay the same."""

from __future__ import annotations

import pytest
import torch

from kdscope.generation import batch as batch_module
from kdscope.generation.batch import DecodingBatch
from tests.models.architectures import some_ids, tiny

BEGINNING = some_ids(9, seed=1).tolist()
PROMPTS = [[*BEGINNING, *some_ids(length, seed=length).tolist()] for length in (4, 13, 1, 7, 22, 2)]
WINDOWED = {"gemma2", "qwen2"}


@torch.no_grad()
@pytest.mark.parametrize("kind", ["llama", "gemma2", "granite", "cohere", "qwen2", "smollm3", "opt", "gpt2"])
@pytest.mark.parametrize("part", [1, 20, 60, 10**6])
@pytest.mark.parametrize("least", [1, 10**6])
def test_states_are_those_of_each_text_alone(kind: str, part: int, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "_PART", part)
    monkeypatch.setattr(batch_module, "_LEAST_SAVED", least)
    model = tiny(kind)
    texts = [[*prompt, 5, 6, 7, 8] for prompt in PROMPTS]
    alone = [model.get_decoder()(input_ids=torch.tensor([text])).last_hidden_state[0] for text in texts]
    read: list[int] = []
    handle = model.get_input_embeddings().register_forward_hook(lambda _m, ids, _o: read.append(ids[0].numel()))
    batch = DecodingBatch(model, PROMPTS, 4)
    found = [batch.read()]
    handle.remove()
    found += [batch.append(torch.tensor([5] * 6)), batch.append(torch.tensor([6] * 6))]
    rows = [4, 1, 3]
    batch.keep(torch.tensor(rows))
    found.append(batch.append(torch.tensor([7] * 3)))
    for step, states in enumerate(found):
        for row, state in zip(rows if step == 3 else range(6), states, strict=True):
            expected = alone[row][len(PROMPTS[row]) - 1 + step]
            torch.testing.assert_close(state, expected, rtol=1e-4, atol=1e-4)
    shared = 9 if least == 1 and kind not in WINDOWED else 0
    lengths = [len(prompt) - shared for prompt in PROMPTS]
    if part == 1 and kind not in WINDOWED:
        assert read == [shared] * (shared > 0) + sorted(lengths, reverse=True), "no padding at all"
    if part == 10**6 or kind in WINDOWED:
        assert read == [shared] * (shared > 0) + [6 * max(lengths)]
    if part == 20 and shared:
        assert read == [9, 22, 13, 14, 4], "22; 13; 7 and 4; 2 and 1 with padding"


@pytest.mark.parametrize(
    ("prompts", "shared"),
    [
        ([[1, 2, 3, 4], [1, 2, 3, 5]], 3),
        ([[1, 2, 3], [1, 2, 3]], 2),
        ([[1, 2, 3], [1, 2, 3, 4]], 2),
        ([[1, 2], [2, 2]], 0),
        ([[1, 2, 3]], 0),
        ([(1, 2, 3), [1, 2, 4], (1, 3, 3)], 1),
        ([[1], [1]], 0),
    ],
)
def test_every_prompt_keeps_a_token_of_its_own(
    prompts: list[list[int]], shared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "_LEAST_SAVED", 1)
    assert batch_module._shared_beginning(prompts) == shared


def test_a_short_beginning_is_read_with_the_rest() -> None:
    assert batch_module._shared_beginning([[7] * 20, [7] * 20]) == 0
    assert batch_module._shared_beginning([[7] * 20] * 3) == 19
