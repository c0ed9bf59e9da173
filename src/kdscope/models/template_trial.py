"""A chat template is tried where it can do no harm: `python -m kdscope.models.template_trial`. Not for people.

A template is a program of its model's author: it can multiply a text a billion times, or loop without end, in one step
that nothing interrupts. This process has little time and memory, renders what is to be rendered, and keeps none of it.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import datetime
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

TOO_MUCH = 3
"""Exit code of a template that needs more memory, or writes more, than it may."""


class _Generation(Extension):
    """The block that marks what an assistant says, which transformers knows: its body is rendered."""

    tags = {"generation"}  # noqa: RUF012 (jinja's own way to say it)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def main() -> int:
    """Render every talk of the request on standard input.

    That is an object with `seconds` (of computing), `bytes` (of memory), `characters` (that a prompt may have beside
    its messages), `template`, `variables` and `talks`.
    """
    request = json.load(sys.stdin)
    _limit(request["seconds"], request["bytes"])
    try:
        return TOO_MUCH if _writes_too_much(request) else 0
    except MemoryError:
        return TOO_MUCH
    except Exception:
        return 0


def _limit(seconds: int, size: int) -> None:
    try:
        import resource
    except ImportError:  # no such limits on this system; whoever waits for this process waits so long
        return
    for limit, value in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, size)):
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))


def _writes_too_much(request: dict[str, Any]) -> bool:
    template = _environment().from_string(request["template"])
    for talk in request["talks"]:
        try:
            written = template.render(messages=talk, tools=None, documents=None, **request["variables"])
        except MemoryError:
            raise
        except Exception:  # noqa: S112 (as above; another question may be put otherwise)
            continue
        if len(written) > request["characters"] + len(str(talk)):
            return True
    return False


def _environment() -> ImmutableSandboxedEnvironment:
    """As transformers makes it, as far as a template can tell."""
    found = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    found.filters["tojson"] = lambda value, **settings: json.dumps(value, **{"ensure_ascii": False, **settings})
    found.globals["raise_exception"] = _raise
    found.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return found


def _raise(message: str) -> None:
    raise TemplateError(message)


if __name__ == "__main__":
    sys.exit(main())
