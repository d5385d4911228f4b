"""What a runtime answers to a verification is evidence only where it is about every check that was asked for."""

from __future__ import annotations

import pytest

from schemas.agents import Oracle, OracleResult, VerifyReply
from schemas.events import VerificationRequested
from services.executor.verifying import completed, misfit

FOUND = OracleResult(type="command", score=1.0, passed=True)
TWO_CHECKS = VerificationRequested(
    execution_id="e",
    verification_id="e-v1",
    effect="1",
    digest="d",
    oracles=[Oracle(run="true"), Oracle(type="human"), Oracle(run="make test")],
)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (VerifyReply(verification_id="e-v1", results=[FOUND, FOUND]), ""),
        (VerifyReply(verification_id="e-v1", results=[FOUND]), "1 `$.results` to 2 checks"),
        (VerifyReply(verification_id="e-v1", results=[FOUND] * 3), "3 `$.results` to 2 checks"),
        (VerifyReply(verification_id="e-v1"), "0 `$.results` to 2 checks"),
        (VerifyReply(verification_id="e-v2", results=[FOUND, FOUND]), "`$.verification_id` 'e-v2'"),
    ],
)
def test_a_part_of_the_evidence_is_none(reply: VerifyReply, words: str) -> None:
    """A check of which nothing is said has not passed."""
    found = misfit(TWO_CHECKS, reply)
    assert (found is None) == (not words)
    assert found is None or words in found.message


def test_why_there_is_no_evidence_is_among_what_was_found() -> None:
    """A program sees the findings alone; a set-up that failed says it itself."""
    none = VerifyReply(verification_id="e-v1", error="No clean checkout.", code="copy_missing")
    said = completed(TWO_CHECKS, none)
    assert said.oracles == [OracleResult(type="verification", note="No clean checkout.")]
    assert (said.score, said.passed, said.error and said.error.code) == (None, False, "copy_missing")
    setup = OracleResult(type="setup", name="npm ci")
    assert completed(TWO_CHECKS, VerifyReply(verification_id="e-v1", results=[setup], error="x")).oracles == [setup]
    short = completed(TWO_CHECKS, VerifyReply(verification_id="e-v1", results=[FOUND]))
    assert [one.type for one in short.oracles] == ["command", "verification"]
