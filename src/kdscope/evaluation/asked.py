"""The question inside a prompt: records keep the prompt, the robust rules look at the question."""

from __future__ import annotations

import re

from kdscope.tasks import list_templates


def question_in(prompt: str) -> str:
    r"""The instruction of a prompt in a built-in template with a frame; any other prompt as it is.

    >>> from kdscope.tasks import get_template
    >>> question_in(get_template("alpaca").render("How many?", "2 and 3"))
    'How many?'
    >>> question_in("Question: How many?\nAnswer:")
    'Question: How many?\nAnswer:'
    """
    framed = [template for template in list_templates() if template.without_input != "{instruction}"]
    for form in (form for template in framed for form in (template.with_input, template.without_input)):
        # The first header after the instruction ends it: the shortest text that lets the rest of the form follow.
        pattern = re.escape(form).replace(r"\{instruction\}", "(.*?)", 1).replace(r"\{input\}", ".*", 1)
        if match := re.fullmatch(pattern, prompt, re.DOTALL):
            return match[1]
    return prompt
