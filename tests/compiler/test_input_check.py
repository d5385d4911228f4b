"""The keywords of input schemas: each means what JSON Schema 2020-12 says, and what a recorded execution had stays."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.input_check import FORMATS, validate_input, validate_value

TIMES = [
    ("date", "2026-02-28", True),
    ("date", "2026-02-29", False),
    ("date", "2028-02-29", True),
    ("date", "0000-01-01", True),
    ("date", "20260228", False),
    ("date", "2026-W09-6", False),
    ("date", "2026-02-28\n", False),
    ("date", "২০২৬-02-28", False),
    ("time", "08:30:06Z", True),
    ("time", "08:30:06", False),
    ("time", "08:30Z", False),
    ("time", "24:00:00Z", False),
    ("time", "23:59:60Z", True),
    ("time", "22:59:60Z", False),
    ("time", "01:29:60+01:30", True),
    ("time", "08:30:06+0100", False),
    ("time", "08:30:06.123z", True),
    ("time", "08:30:06,5Z", False),
    ("time", "08:30:06+24:00", False),
    ("date-time", "2026-03-29T02:30:00Z", True),
    ("date-time", "2026-03-29t02:30:00.5+02:00", True),
    ("date-time", "2026-03-29", False),
    ("date-time", "2026-03-29 02:30:00Z", False),
    ("date-time", "2026-03-29T02:30:00", False),
    ("date-time", "2026-13-29T02:30:00Z", False),
    ("date-time", "2026-03-29T02:30:00Z ", False),
    ("duration", "P1DT12H", True),
    ("duration", "P2W", True),
    ("duration", "P", False),
    ("duration", "PT", False),
    ("duration", "P1Y2W", False),
    ("duration", "PT1D", False),
    ("duration", "1D", False),
]
NAMES = [
    ("email", "joe.bloggs@example.com", True),
    ("email", '"joe bloggs"@example.com', True),
    ("email", "a@[127.0.0.1]", True),
    ("email", "a@[IPv6:::1]", True),
    ("email", "joe@", False),
    ("email", "@example.com", False),
    ("email", ".a@x.y", False),
    ("email", "a..b@x.y", False),
    ("email", "joe bloggs@x.y", False),
    ("email", "a@x..y", False),
    ("email", "a@b@c.d", False),
    ("email", "joe@example.com\n", False),
    ("email", f"{'a' * 65}@x.y", False),
    ("email", "a@-x.y", False),
    ("hostname", "www.example.com", True),
    ("hostname", "xn--4gbwdl.xn--wgbh1c", True),
    ("hostname", "-bad.example", False),
    ("hostname", "a_b.example", False),
    ("hostname", "a..b", False),
    ("hostname", "", False),
    ("hostname", f"{'a' * 64}.x", False),
    ("hostname", "xn--X", False),
    ("hostname", "host\n", False),
    ("hostname", ".".join(["a" * 60] * 5), False),
    ("ipv4", "192.168.0.1", True),
    ("ipv4", "256.0.0.1", False),
    ("ipv4", "087.10.0.1", False),
    ("ipv4", "127.0.0.1\n", False),
    ("ipv4", "1.2.3", False),
    ("ipv4", "0x7f.0.0.1", False),
    ("ipv4", "1২7.0.0.1", False),
    ("ipv6", "::1", True),
    ("ipv6", "::ffff:192.168.0.1", True),
    ("ipv6", "1:2:3:4:5:6:7:8:9", False),
    ("ipv6", "fe80::1%eth0", False),
    ("ipv6", "12345::", False),
    ("ipv6", ":::1", False),
    ("ipv6", "::1\n", False),
    ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", True),
    ("uuid", "2eb8aa08aa9811eab4aa73b441d16380", False),
    ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d1638g", False),
    ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380\n", False),
    ("uri", "http://foo.bar/?baz=qux#quux", True),
    ("uri", "urn:oasis:names", True),
    ("uri", "mailto:a@b.c", True),
    ("uri", "http://[::1]:80/", True),
    ("uri", "//foo.bar/?q", False),
    ("uri", "/abc", False),
    ("uri", "abc", False),
    ("uri", "http:// shouldfail.com", False),
    ("uri", "http://ex.com/%zz", False),
    ("uri", "http://[zz]/", False),
    ("uri", "bar,baz:foo", False),
    ("uri", "http://x.y/é", False),
    ("uri", "http://x.y:80a/", False),
    ("uri", "a:b\n", False),
    ("uri-reference", "/abc?d#e", True),
    ("uri-reference", "", True),
    ("uri-reference", "\\\\WINDOWS", False),
    ("json-pointer", "/a/b~0c/~1", True),
    ("json-pointer", "a/b", False),
    ("json-pointer", "/a~2", False),
    ("regex", "^a+$", True),
    ("regex", "a(b", False),
]


@pytest.mark.parametrize(("name", "text", "fits"), TIMES + NAMES)
def test_a_format_is_what_its_standard_says(name: str, text: str, fits: bool) -> None:
    """And nothing that looks like it."""
    assert (validate_value({"type": "string", "format": name}, text, "v") == []) is fits


def test_every_format_has_cases() -> None:
    """None is known by name alone."""
    assert {name for name, _, _ in TIMES + NAMES} == set(FORMATS)


def test_a_format_is_of_texts_alone() -> None:
    """As in JSON Schema: another kind of value has no format."""
    assert validate_value({"type": "any", "format": "date"}, 12, "v") == []


NUMBERS: list[tuple[dict[str, Any], Any, bool]] = [
    ({"type": "integer"}, 1.0, True),
    ({"type": "integer"}, 1.5, False),
    ({"type": "integer"}, True, False),
    ({"type": "integer"}, 2**70, True),
    ({"type": "number"}, True, False),
    ({"type": "number"}, "1", False),
    ({"type": "boolean"}, 1, False),
    ({"type": "boolean"}, 0, False),
    ({"type": "string"}, 1, False),
    ({"type": "array"}, {"0": 1}, False),
    ({"type": "object"}, [], False),
    ({"type": "number", "multipleOf": 0.1}, 0.3, True),
    ({"type": "number", "multipleOf": 0.01}, 19.99, True),
    ({"type": "number", "multipleOf": 0.01}, 0.00751, False),
    ({"type": "number", "multipleOf": 0.0001}, 0.0075, True),
    ({"type": "integer", "multipleOf": 0.123456789}, 1e308, False),
    ({"type": "number", "multipleOf": 1e-8}, 12391239123, True),
    ({"type": "integer", "multipleOf": 2}, 9007199254740993, False),
    ({"type": "number", "multipleOf": 3}, 1_000_000_001, False),
    ({"type": "number", "multipleOf": 0.5}, 0, True),
    ({"type": "number", "multipleOf": 2}, -4, True),
    ({"type": "number", "minimum": 1.1}, 1.1, True),
    ({"type": "number", "minimum": 1.1}, 1.0, False),
    ({"type": "integer", "maximum": 300}, 300.0, True),
    ({"type": "integer", "maximum": 300}, 301, False),
]
TEXTS: list[tuple[dict[str, Any], Any, bool]] = [
    ({"type": "string", "maxLength": 1}, "😀", True),
    ({"type": "string", "minLength": 2}, "😀", False),
    ({"type": "string", "maxLength": 1}, "e\u0301", False),
    ({"type": "string", "minLength": 0}, "", True),
    ({"type": "string", "pattern": "^[a-z]+$"}, "main\n", False),
    ({"type": "string", "pattern": "es"}, "expression", True),
    ({"type": "string", "pattern": "^é$"}, "e\u0301", False),
    ({"type": "any", "pattern": "^a$"}, 5, True),
    ({"type": "string", "pattern": "^a*$"}, "a" * 20_000, True),
]
VALUES: list[tuple[dict[str, Any], Any, bool]] = [
    ({"type": "any", "enum": [1]}, 1.0, True),
    ({"type": "any", "enum": [1]}, True, False),
    ({"type": "any", "enum": [True]}, 1, False),
    ({"type": "any", "enum": [False]}, 0, False),
    ({"type": "any", "enum": [[1]]}, [True], False),
    ({"type": "any", "enum": [{"a": 0}]}, {"a": False}, False),
    ({"type": "any", "enum": [{"a": 1, "b": 2}]}, {"b": 2.0, "a": 1}, True),
    ({"type": "any", "enum": ["1"]}, 1, False),
    ({"type": "any", "enum": [None]}, None, True),
    ({"type": "array", "uniqueItems": True}, [1, True], True),
    ({"type": "array", "uniqueItems": True}, [1, 1.0], False),
    ({"type": "array", "uniqueItems": True}, [[1], [True]], True),
    ({"type": "array", "uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], False),
    ({"type": "array", "uniqueItems": True}, ["1", 1, None, [], {}], True),
    ({"type": "array", "uniqueItems": False}, [1, 1], True),
    ({"type": "array", "minItems": 1}, [], False),
    ({"type": "array", "maxItems": 1}, [1, 2], False),
    ({"type": "array", "items": {"type": "integer"}}, [1, "2"], False),
    ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": 1, "b": 2}, True),
    ({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}, {"b": 2}, False),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, {"b": "2"}, False),
    ({"type": "object", "additionalProperties": False}, {"b": 2}, False),
    ({"type": "object", "properties": {"a": {"type": "any", "required": True}}}, {}, False),
]


@pytest.mark.parametrize(("rules", "value", "fits"), [*NUMBERS, *TEXTS, *VALUES])
def test_a_keyword_means_what_json_schema_says(rules: dict[str, Any], value: Any, fits: bool) -> None:
    """One row for each meaning that implementations are known to miss."""
    assert (validate_value(rules, value, "v") == []) is fits


@pytest.mark.parametrize(
    ("rules", "value", "fits"),
    [
        ({"type": "string", "pattern": "^[a-z]+$"}, "main\n", True),
        ({"type": "string", "format": "date-time"}, "2026-03-29", True),
        ({"type": "any", "enum": [[1]]}, [True], True),
        ({"type": "number", "multipleOf": 3}, 9_000_000_000_000_001, True),
        ({"type": "string", "pattern": "a"}, "a" * 10_001, False),
    ],
)
def test_a_recorded_execution_decides_as_it_did(rules: dict[str, Any], value: Any, fits: bool) -> None:
    """Programs of the first semantics have the first meaning; everything new has the current one."""
    assert (validate_value(rules, value, "v", 1) == []) is fits
    assert (validate_input({"v": rules}, {"v": value}, 1) == []) is fits
    assert (validate_value(rules, value, "v", 2) == []) is not fits
    assert (validate_value(rules, value, "v") == []) is not fits
