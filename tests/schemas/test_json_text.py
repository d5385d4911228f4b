"""One rule for each thing that JSON can write and that not every store can hold."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.json_text import clean_text, clean_value, mended, read_json, with_whole_characters

ANY_TEXT = st.text(st.characters(codec=None, categories=["L", "Cs", "Cc", "So"]))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uD83D\uDE00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00\ude00"', "\ufffd\U0001f600\ufffd"),
        (rb'"\\ud83d \\\ud83d"', "\\ud83d \\\ufffd"),
        (rb'{"\u0000": "\\u0000"}', {"\ufffd": "\\u0000"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'"caf\xe9"', "caf\ufffd"),
        (b"9007199254740993", 9007199254740993),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_what_is_read(body: bytes, value: object) -> None:
    """Half a surrogate pair, NUL and bytes that are no UTF-8 become the replacement character; a mark is no text."""
    assert read_json(body) == value


@given(ANY_JSON)
def test_reading_what_python_writes_is_the_value_made_clean(value: object) -> None:
    """Escaped as Python's `json` writes it: the same as cleaning the value itself."""
    assert read_json(json.dumps(value).encode()) == clean_value(value)


@given(ANY_TEXT)
def test_clean_texts_can_be_written_anywhere(text: str) -> None:
    """As UTF-8, and without NUL; whatever was fit stays."""
    cleaned = clean_text(text)
    assert "\0" not in cleaned.encode().decode()
    assert len(cleaned) == len(text)
    for before, after in zip(text, cleaned, strict=True):
        assert before == after or (after == "\ufffd" and (before == "\0" or "\ud800" <= before <= "\udfff"))


@given(st.binary())
def test_mending_never_fails_and_mends_once(body: bytes) -> None:
    """What is mended stays as it is."""
    once = mended(body)
    assert mended(once) == once or once.startswith(b"\xef\xbb\xbf")


def test_texts_of_json_get_whole_characters() -> None:
    """Other escapes stay, NUL too."""
    assert msgspec.json.decode(with_whole_characters(r'"\ud83d \u0000 \\ud83d \ud83d\ude00"').encode()) == (
        "\ufffd \0 \\ud83d \U0001f600"
    )
