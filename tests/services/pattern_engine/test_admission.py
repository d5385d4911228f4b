"""What the engine makes of the bytes on the request subject."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import Problem
from schemas.commands import RequestOptions
from schemas.patterns import CompiledPattern, WorkspaceSpec
from services.pattern_engine.admission import MAX_REQUEST_BYTES, Admitted, Refused, admit, fresh_id, opening

PATTERN = CompiledPattern(
    name="greet",
    version="1.0.0",
    format="prism",
    digest="d",
    program="1",
    source="1",
    input={"task": {"type": "string", "required": True}},
    workspace=WorkspaceSpec(enabled=False),
)


def lookup(name: str) -> CompiledPattern | list[Problem]:
    if name == "greet":
        return PATTERN
    return [Problem(where="pattern", what=f"There is no pattern {name}.")]


def request(**fields: object) -> bytes:
    return msgspec.json.encode({"pattern": "greet", "input": {"task": "x"}, **fields})


def refused(payload: bytes) -> Refused:
    verdict = admit(payload, 7, lookup)
    assert isinstance(verdict, Refused)
    return verdict


def test_a_good_request_is_admitted_under_its_own_id() -> None:
    """The id of the client is the id of the execution."""
    verdict = admit(request(execution_id="job-1"), 7, lookup)
    assert isinstance(verdict, Admitted)
    assert verdict.execution_id == "job-1"
    assert verdict.pattern is PATTERN


def test_a_request_without_an_id_gets_the_same_one_each_time_it_is_read() -> None:
    """A redelivered message opens no second execution; another message with the same words does."""
    first, again, other = (admit(request(), seq, lookup) for seq in (7, 7, 8))
    assert first.execution_id == again.execution_id != other.execution_id
    assert first.execution_id == fresh_id(request(), 7)


@pytest.mark.parametrize(
    "bad", ["a.b", "*", ">", "a b", "../x", "a/b", "", "x" * 65, "é", "a\n", "a\u0000", 7, ["a"], {"a": 1}, True]
)
def test_an_id_that_cannot_be_a_subject_token_is_refused_under_a_fresh_one(bad: object) -> None:
    """Wildcards, spaces, path tricks and other types never reach a subject; the empty id is no id."""
    verdict = admit(request(execution_id=bad), 7, lookup)
    assert verdict.execution_id == fresh_id(request(execution_id=bad), 7)
    if bad == "":
        assert isinstance(verdict, Admitted)
    else:
        assert isinstance(verdict, Refused)
        assert verdict.errors[0].where == "execution_id"
        assert verdict.requested_id


@pytest.mark.parametrize(
    ("payload", "where", "said"),
    [
        (b"", "", "not JSON"),
        (b"\xff\xfe", "", "not JSON"),
        (b"{", "", "not JSON"),
        (b"[]", "", "an array"),
        (b"null", "", "null"),
        (b"[" * 100_000, "", "nested too deeply"),
        (b"{}", "pattern", "names no pattern"),
        (b'{"pattern": 7}', "pattern", "Expected `str`"),
        (b'{"pattern": "greet", "input": []}', "input", "Expected `object`"),
        (b'{"pattern": "greet", "input": {"task": 5}}', "input.task", "not a text"),
        (b'{"pattern": "greet", "input": {}}', "input.task", "missing"),
        (b'{"pattern": "nobody"}', "pattern", "no pattern nobody"),
        (b'{"pattern": "greet", "options": {"timeout_ms": -1}}', "options.timeout_ms", ">= 1"),
        (b'{"pattern": "greet", "input": {"task": "x"}, "repo": "ext::sh -c id"}', "repo.url", "not fetched"),
        (b'{"pattern": "greet", "input": {"task": "x"}, "repo": "ssh://h/x"}', "repo.url", "not fetched"),
        (b'{"pattern": "greet", "input": {"task": "x"}, "repo": "https://u:p@h/x"}', "repo.url", "password"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(payload: bytes, where: str, said: str) -> None:
    """Every refusal names the field and what is wrong with it."""
    verdict = refused(payload)
    assert any(where in error.where and said in error.what for error in verdict.errors), verdict.errors


def test_an_oversized_request_is_refused() -> None:
    """A request is part of events; one that is too large for that is answered, not stored."""
    assert "limit" in refused(request(padding="x" * MAX_REQUEST_BYTES)).errors[0].what


def test_the_digest_is_of_the_body_and_not_of_its_spelling() -> None:
    """The same request in another order of keys is the same request; another input is another one."""
    one = admit(b'{"pattern":"greet","input":{"task":"x"},"execution_id":"a"}', 1, lookup)
    two = admit(b'{"execution_id": "a", "input": {"task": "x"}, "pattern": "greet"}', 2, lookup)
    three = admit(b'{"execution_id": "a", "input": {"task": "y"}, "pattern": "greet"}', 3, lookup)
    assert one.request_digest == two.request_digest != three.request_digest


def test_the_program_is_fixed_when_the_execution_starts() -> None:
    """`execution.started` holds the program and its digest."""
    verdict = admit(request(execution_id="job-1"), 7, lookup)
    assert isinstance(verdict, Admitted)
    accepted, started = opening(verdict, "engine-1")
    assert accepted.engine == started.engine == "engine-1"
    assert started.program == "1"
    assert started.program_digest
    assert started.workspace is None


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["pattern", "input", "repo", "options", "execution_id", "x"]), inner, max_size=5
            )
        ),
    ).map(msgspec.json.encode)
)
def test_no_payload_raises(payload: bytes) -> None:
    """Whatever a stranger sends, the answer is a verdict."""
    assert admit(payload, 1, lookup).execution_id


@pytest.mark.parametrize("levels", [99, 101, 950])
def test_an_input_is_nested_as_deeply_as_an_event_can_be_read(levels: int) -> None:
    """What is nested deeper is refused with a sentence: it would be in the log, and nobody could read it."""

    def anything(_: str) -> CompiledPattern:
        return msgspec.structs.replace(PATTERN, input={})

    nested = b"[" * levels + b"]" * levels
    verdict = admit(b'{"pattern": "greet", "input": {"x": %s}}' % nested, 1, anything)
    if levels < 100:
        assert isinstance(verdict, Admitted)
    else:
        assert isinstance(verdict, Refused)
        assert [(problem.where, "levels" in problem.what) for problem in verdict.errors] == [("input", True)]


@pytest.mark.parametrize(
    ("fields", "where", "word"),
    [
        ({"options": {"budget": {"token": 5}}}, "options.budget.token", "Did you mean 'tokens'?"),
        ({"options": {"budget": {"tokens": -5}}}, "options.budget.tokens", "Leave it out"),
        ({"options": {"budget": {"cost_usd": -0.01}}}, "options.budget.cost_usd", "Leave it out"),
        ({"options": {"budget": {"turns": -1}}}, "options.budget.turns", "Leave it out"),
        ({"options": {"budget": {"wall_ms": -1}}}, "options.budget.wall_ms", "Leave it out"),
        ({"options": {"retries": 3}}, "options.retries", "Known here"),
        ({"options": {"timeoutMs": 3}}, "options.timeoutMs", "Did you mean 'timeout_ms'?"),
        ({"options": {"budjet": {"tokens": 5}}}, "options.budjet", "Did you mean 'budget'?"),
        ({"option": {"push": True}}, "option", "Did you mean 'options'?"),
        ({"budget": {"tokens": 5}}, "budget", "Known here"),
        ({"repo": {"url": "/r", "branch": "x"}}, "repo.branch", "Known here"),
    ],
)
def test_a_key_that_means_nothing_and_a_limit_below_zero_are_refused(
    fields: dict[str, object], where: str, word: str
) -> None:
    """A misspelt limit would be no limit at all."""
    verdict = refused(request(**fields))
    (problem,) = [one for one in verdict.errors if one.where == where and word in one.hint]
    assert problem.what


def test_every_wrong_key_is_named_at_once() -> None:
    """Together with the first thing that does not fit."""
    verdict = refused(request(options={"budget": {"token": 1, "turn": 2}, "push": 7}))
    assert [one.where for one in verdict.errors] == ["options.budget.token", "options.budget.turn", "options.push"]


def test_labels_and_inputs_are_free() -> None:
    """Their keys are the client's own."""
    verdict = admit(request(options={"labels": {"budget": "x", "token": "y"}, "budget": {"tokens": 0}}), 7, lookup)
    assert isinstance(verdict, Admitted)


def test_recorded_options_are_read_as_they_are() -> None:
    """A request that an earlier version took is in the log for ever."""
    recorded = b'{"budget": {"tokens": -5, "token": 5}, "retries": 3}'
    options = msgspec.json.decode(recorded, type=RequestOptions)
    assert options.budget is not None
    assert options.budget.tokens == -5


def test_more_problems_than_are_named_are_counted() -> None:
    """Nobody mends fifty keys and wonders at the next fifty."""
    errors = refused(request(**{f"unknown{number}": 1 for number in range(70)})).errors
    assert len(errors) == 51
    assert errors[-1].what == "There are 20 more problems."
