"""A model's own chat template: the prompts it makes of questions, and the token with which it ends an answer.

Templates want the content of a message as a text or as a list of parts. Given the other one, many of them leave it out
without a word, so what is rendered is searched for what was to be in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdscope.core.errors import MachineError, ModelError, ModelFileError, first_line
from kdscope.core.processes import child_environment
from kdscope.models.configuration import read_object
from kdscope.models.source import ModelPlace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Content = Callable[[str], Any]


def _as_parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


_CONTENTS: tuple[Content, ...] = (str, _as_parts)
_TRIAL = (sys.executable, "-P", "-m", "kdscope.models.template_trial")
_LEAST_SECONDS = 5
"""Of computing, that any template has; real ones take a millisecond."""
_GIB = 2**30
_CHARACTERS = 1_000_000
"""That a prompt may have beside its messages."""
_TALKS = 20_000
"""Tried at once: a process with little memory must hold them."""
_PATIENCE = 12
"""How many times longer is waited where other processes have the machine."""
_QUESTION, _ANSWER = "What is asked?", "This is answered."


def chat_prompts(tokenizer: PreTrainedTokenizerBase, questions: Sequence[str]) -> list[str]:
    """The prompts of a chat in which the user asks and the model is to answer, in the tokenizer's chat template.

    Raises:
        ModelError: It has none.
        ModelFileError: Its template fails, leaves a question out, with texts and with parts, or takes more time or
            memory than any should.
        MachineError: No process can be started to try it in.
    """
    if not tokenizer.chat_template:
        raise ModelError(f"the tokenizer of {tokenizer.name_or_path} has no chat template; choose another 'template'")
    asked = (_QUESTION, *questions)
    _try(tokenizer, ([_message("user", text, form)] for form in _CONTENTS for text in asked), answer_next=True)
    reasons = []
    for content in _CONTENTS:
        try:
            # The first is no question of a person's: a short one might be found in the template's own words.
            return [_prompt(tokenizer, question, content) for question in asked][1:]
        except ModelError as error:
            reasons.append(str(error))
    raise ModelFileError(f"the chat template of {tokenizer.name_or_path} cannot be used: {reasons[0]}")


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the token that the chat template puts after an answer; the tokenizer's end token where it puts none.

    Raises:
        ModelFileError: The template takes more than `template_trial` grants it.
    """
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    talks = [[_message("user", _QUESTION, form), _message("assistant", _ANSWER, form)] for form in _CONTENTS]
    _try(tokenizer, talks, answer_next=False)
    for written in talks:
        try:
            talk = _render(tokenizer, written)
        except ModelError:
            continue
        _, answer, after = talk.rpartition(_ANSWER)
        ids = tokenizer(after, add_special_tokens=False).input_ids if answer and not _is_listed(talk) else []
        end = next((token for token in ids if token in special), None)
        if end is not None:
            return int(end)
    return int(tokenizer.eos_token_id)


def end_as_turns_do(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the end of a turn in the chat template the tokenizer's end token: responses are taught with it."""
    if tokenizer.chat_template:
        tokenizer.eos_token = str(tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer)))


def stop_at_end(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Have a model's own settings of generation stop at the tokenizer's end token, beside where they stop already."""
    own = model.generation_config.eos_token_id
    listed = own if isinstance(own, list) else [] if own is None else [own]
    if tokenizer.eos_token_id not in listed:
        model.generation_config.eos_token_id = [*listed, int(tokenizer.eos_token_id)]


def ends_apart(
    teacher: Path, student: Path, in_chat: Callable[[Path], str | None] | None = None
) -> tuple[str, str] | None:
    """The tokens with which two models end responses, where they differ; None where they do not, or none is known.

    Read from the files alone, or where both chat and their files differ by their tokenizers, whose code is not run.

    Args:
        teacher: Its folder.
        student: Its folder.
        in_chat: `end_in_chat`, which may remember what it read; None where they do not chat.
    """
    found = [_ending(folder) for folder in (teacher, student)]
    if found[0] == found[1]:
        return None
    ends = [token for token, _ in found] if in_chat is None else [in_chat(folder) for folder in (teacher, student)]
    return None if ends[0] is None or ends[1] is None or ends[0] == ends[1] else (ends[0], ends[1])


def different_ends(teacher: str, student: str) -> str:
    """What is wrong, and what helps, where a teacher and a student of one vocabulary end responses differently."""
    return (
        f"the teacher ends its responses with {teacher!r}, the student with {student!r}: the student would learn an "
        "end it does not stop at. Name one of them as eos_token in the tokenizer_config.json of both, or use seqkd"
    )


def _ending(folder: Path) -> tuple[str | None, str | None]:
    """End token and chat template of a model folder; None each where its files do not tell."""
    config, old = (_read(folder / name) for name in ("tokenizer_config.json", "special_tokens_map.json"))
    token = config.get("eos_token", old.get("eos_token"))
    token = token.get("content") if isinstance(token, dict) else token
    beside = folder / "chat_template.jinja"
    template = beside.read_text(encoding="utf-8", errors="replace") if beside.is_file() else config.get("chat_template")
    return token if isinstance(token, str) else None, None if template is None else str(template)


def end_in_chat(folder: Path) -> str | None:
    """The token with which the model in a folder ends its turns; None if it has no chat template, or cannot be told."""
    from kdscope.models.load import load_tokenizer  # transformers, which planning mostly need not wait for

    try:
        tokenizer = load_tokenizer(ModelPlace(str(folder)))
    except ModelError:
        return None  # told when it is loaded
    return str(tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer))) if tokenizer.chat_template else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_object(file)
    except ModelFileError:
        return {}


def _prompt(tokenizer: PreTrainedTokenizerBase, question: str, content: Content) -> str:
    text = _render(tokenizer, [_message("user", question, content)], add_generation_prompt=True)
    # Templates trim a message, and some put lines together; its words are what must be there.
    if _words(question) not in _words(text) or (_is_listed(text) and not _is_listed(question)):
        raise ModelError(f"it leaves out what the user says ({question[:60]!r} becomes {text[-60:]!r})")
    return text


def _try(tokenizer: PreTrainedTokenizerBase, talks: Iterable[Any], *, answer_next: bool) -> None:
    """Refuse a template that takes too much time or memory for some of these talks, or makes too much of them."""
    left = iter(talks)
    while some := list(islice(left, _TALKS)):
        _try_at_once(tokenizer, some, answer_next)


def _try_at_once(tokenizer: PreTrainedTokenizerBase, talks: list[Any], answer_next: bool) -> None:
    seconds = _LEAST_SECONDS + len(talks) // 500
    variables = {**tokenizer.special_tokens_map, "add_generation_prompt": answer_next}
    try:
        template = tokenizer.get_chat_template()
    except Exception:  # several, none of which is the default: told where it is rendered
        return
    bounds = {"seconds": seconds, "bytes": _GIB, "characters": _CHARACTERS}
    request = {**bounds, "template": template, "variables": variables, "talks": talks}
    try:
        tried = subprocess.run(  # noqa: S603
            _TRIAL,
            input=json.dumps(request, default=str),
            env=child_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            timeout=_PATIENCE * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        tried = None
    except OSError as error:
        raise MachineError(f"no process can be started to try the chat template in: {error.strerror}") from error
    if tried is None or tried.returncode:
        raise ModelFileError(
            f"the chat template of {tokenizer.name_or_path} cannot be used: it takes more than {seconds} seconds, "
            f"1 GiB of memory or {_CHARACTERS} characters for {len(talks)} talks"
        )


def _render(tokenizer: PreTrainedTokenizerBase, talk: list[dict[str, Any]], **settings: bool) -> str:
    try:
        return str(tokenizer.apply_chat_template(talk, tokenize=False, **settings))
    except Exception as error:  # a template is a program: it raises whatever its author wrote, and what jinja does
        raise ModelError(first_line(error)[:200]) from error


def _message(role: str, text: str, content: Content) -> dict[str, Any]:
    return {"role": role, "content": content(text)}


def _is_listed(text: str) -> bool:
    """Whether parts were written as Python writes a list: the template takes texts only."""
    return "{'type': 'text', 'text': " in text


def _words(text: str) -> str:
    return " ".join(text.split())
