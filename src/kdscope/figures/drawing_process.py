"""The process that draws, for `renderer`: `python -m kdscope.figures.drawing_process`. Not for people.

A request is a line with a JSON list, what is wanted and its arguments; so is the answer, an object with either `drawn`
or `problem`. The end of the input ends the process.
"""

from __future__ import annotations

import base64
import json
import signal

import vl_convert

from kdscope.core.processes import take_streams


def main() -> None:
    """Draw whatever is asked for, until the input ends."""
    # Ctrl-C reaches every process of the terminal; the one that is in charge decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given, said = take_streams()
    for line in given:
        try:
            answer = {"drawn": _drawn(*json.loads(line))}
        except Exception as error:  # whatever the renderer says of a chart, the next one may be sound
            answer = {"problem": str(error) or type(error).__name__}
        said.write(json.dumps(answer) + "\n")
        said.flush()


def _drawn(wanted: str, source: str, version: str | None = None) -> str:
    if wanted == "pdf":
        return base64.b64encode(vl_convert.svg_to_pdf(source)).decode()
    return str(vl_convert.vegalite_to_svg(source, vl_version=version, allowed_base_urls=[]))


if __name__ == "__main__":
    main()
