"""`http` in a program: what is asked for, what the answer reads like, and what is not asked at all."""

from __future__ import annotations

import pytest

from compiler.prism import EffectFailed
from schemas.effects import Http, HttpAnswer
from tests.compiler.drive import run


def test_a_request_and_its_answer() -> None:
    """The effect holds everything that is sent; the program reads status, headers and body."""
    said = HttpAnswer(status=404, headers={"content-type": "application/json"}, body={"n": [1, None]})
    life = run(
        'let r = http({method: "post", url: "https://x.example/a?b=1", headers: {Accept: "a/b"}, body: {k: 1}, '
        'timeoutMs: 5})\n[r.status, r.headers["content-type"], r.body.n]',
        lambda request, path: said,
    )
    assert life.value == [404, "application/json", [1, None]]
    (asked,) = [request for _, request in life.asked]
    assert asked == Http(
        method="POST", url="https://x.example/a?b=1", headers={"Accept": "a/b"}, body={"k": 1}, timeout_ms=5
    )


def test_a_failure_can_be_caught() -> None:
    """No answer is a failure with a code; a status of 500 is an answer."""
    failed = EffectFailed("http_timeout", "There was no answer within 5 ms.")
    life = run('try { http({url: "http://x.example"}) } catch (e) { e }', lambda request, path: failed)
    assert life.value == "There was no answer within 5 ms."
    assert run('http({url: "http://x.example"})', lambda request, path: failed).error.code == "http_timeout"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ('"http://x.example"', "an object is expected"),
        ("{}", "`url`"),
        ('{url: "http://x.example", retries: 1}', "retries"),
        ('{url: "ftp://x.example"}', "begins with http"),
        ('{url: "http:///a"}', "names a host"),
        ('{url: "http://x.example:99999"}', "cannot be read"),
        ('{url: "http://me:word@x.example"}', "a user or a password"),
        ('{url: "http://x.example?api_key=1"}', "named like a secret"),
        ('{url: "http://x.example/a b"}', "blanks"),
        ('{url: "http://x.example", method: "TRACE"}', "TRACE"),
        ('{url: "http://x.example", body: 1}', "has no body"),
        ('{url: "http://x.example", timeoutMs: 0}', "timeoutMs lies"),
        ('{url: "http://x.example", headers: {Authorization: "x"}}', "put a secret into the log"),
        ('{url: "http://x.example", headers: {cookie: "x"}}', "put a secret into the log"),
        ('{url: "http://x.example", headers: {"X-Api-Key": "x"}}', "put a secret into the log"),
        ('{url: "http://x.example", headers: {"Idempotency-Key": "x"}}', "set by the platform"),
        ('{url: "http://x.example", headers: {a: "x\\r\\nHost: y"}}', "letters that cannot be sent"),
        ('{url: "http://x.example", headers: {"a b": "x"}}', "letters that cannot be sent"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_recorded(argument: str, words: str) -> None:
    """With a sentence; nothing of it reaches the log."""
    life = run(f"http({argument})")
    assert life.asked == []
    assert life.error is not None
    assert life.error.code == "invalid_argument"
    assert words in life.error.message


def test_a_body_that_is_too_large_is_refused() -> None:
    """At a quarter of a mebibyte."""
    life = run('let s = "x"\nfor i in range(18) { s = s + s }\nhttp({method: "PUT", url: "http://x.example", body: s})')
    assert life.error is not None
    assert "larger than 256 KiB" in life.error.message
