"""Every example of the language reference is run, and gives what it says it gives."""

from __future__ import annotations

import re

import pytest

from compiler.orchestration import HOST_FUNCTION_NAMES
from compiler.prism import PrismError, compile_program, run
from compiler.prism.builtin_names import BUILTIN_NAMES
from compiler.prism.effect_signatures import EFFECTS
from compiler.prism.options import Limits
from compiler.prism.printer import format_source
from compiler.prism.tokens import KEYWORDS
from compiler.prism.values import text_of
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "prism.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```prism\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_gives_what_it_says(example: str) -> None:
    """The last line of an example says its value, or how it fails; formatted, it is the same program."""
    *_, last = example.strip().split("\n")
    wanted = last.removeprefix("// = ").removeprefix("// ! ")
    for source in (example, format_source(example)):
        try:
            said = text_of(run(compile_program(source, globals=HOST_FUNCTION_NAMES)))
        except PrismError as failure:
            said = failure.message
            failed = True
        else:
            failed = False
        assert (said, failed) == (wanted, last.startswith("// ! "))


def test_the_page_names_everything() -> None:
    """Every reserved word, builtin and effect, and every limit, is on the page."""
    assert len(EXAMPLES) > 20
    words = set(re.findall(r"[A-Za-z_]+", PAGE))
    assert set(KEYWORDS) <= words
    assert words >= BUILTIN_NAMES
    assert {name for name in EFFECTS if name not in {"text", "revised", "elementOf", "replaceAt"}} <= words
    limits = Limits()
    for number in (limits.steps, limits.depth, limits.effects, limits.tokens, limits.code, limits.nesting):
        assert f"{number:,}" in PAGE
