"""Commands as they are typed, each a process of its own, with a scripted engine behind a real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from parallax.client import connect
from schemas.base import Failure
from schemas.events import ExecutionStarted, QuestionAsked, TaskRetrying
from shared.ids import new_id
from shared.testing import eventually
from tests.parallax.scripted import ASKS, BAD, DONE, FAILS, OPEN, scripted_engine

ROOT = Path(__file__).parents[2]


@dataclass
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one document."""
        return json.loads(self.out)


@dataclass
class Shell:
    """Runs `parallax …` against one server."""

    nats_url: str
    directory: Path

    async def start(self, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
        """Starts a command."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "PYTHONPATH": str(ROOT), "USER": "ada"}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parallax", *arguments),
            env=environ | {"PARALLAX_NATS_URL": self.nats_url} | settings,
            cwd=self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *arguments: str, **settings: str) -> Said:
        process = await self.start(*arguments, **settings)
        out, err = await asyncio.wait_for(process.communicate(), 20)
        assert b"Traceback" not in out + err, err.decode()
        return Said(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
async def parallax(nats_url: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """The command line, with an engine at work."""
    async with scripted_engine(nats_url):
        yield Shell(nats_url, tmp_path)


async def test_run_waits_and_exits_as_the_work_ended(parallax: Shell) -> None:
    """0 when it is done, 1 when it failed, 2 when it was rejected; `--json` is one document each time."""
    done, failed, rejected = [await parallax("run", name, "--json") for name in (DONE, FAILS, BAD)]
    assert (done.code, done.json["status"], done.json["result"], done.json["confidence"]) == (
        0,
        "completed",
        {"n": 1},
        0.5,
    )
    assert (failed.code, failed.json["status"], failed.json["error"]["code"]) == (1, "failed", "task_failed")
    assert (rejected.code, rejected.json["error"]["errors"][0]["where"]) == (2, "input.task")
    assert "It is missing" in rejected.err


async def test_run_for_people_ends_with_a_card(parallax: Shell) -> None:
    """Plain lines and the card, with the way to look further, and no escapes into a pipe."""
    said = await parallax("run", DONE)
    assert said.code == 0
    for part in ("confidence", "0.50", "parallax replay"):
        assert part in said.out
    assert "\x1b" not in said.out


async def test_run_with_watch_and_json_streams_events_and_ends_with_the_outcome(parallax: Shell) -> None:
    """Every line is JSON; the last one is what `--json` alone would have said."""
    said = await parallax("run", DONE, "--watch", "--json")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line.get("type") for line in lines[:-1]] == ["execution.accepted", "execution.completed"]
    assert lines[-1]["status"] == "completed"


async def test_inputs_reach_the_request(parallax: Shell) -> None:
    """`K=V`, typed as JSON where it is JSON, and a repository's path made absolute."""
    (parallax.directory / "repo" / ".git").mkdir(parents=True)
    said = await parallax("run", OPEN, "--input", "n=3", "--input", "task=a b", "--repo", "repo", "--detach", "--json")
    shown = (await parallax("show", said.json["execution_id"], "--json")).json
    assert shown["input"] == {"n": 3, "task": "a b"}
    assert shown["repo"] == str(parallax.directory / "repo")


async def test_an_execution_is_listed_shown_and_cancelled(parallax: Shell) -> None:
    """ps, show, events, cancel tell one story."""
    key = f"k-{new_id()}"
    assert (await parallax("run", OPEN, "--id", key, "--detach")).out.strip() == key
    listed = {entry["id"]: entry for entry in (await parallax("ps", "--json", "--limit", "1000")).json["executions"]}
    assert listed[key]["status"] == "pending"
    assert key in (await parallax("ps")).out
    cancelled = await parallax("cancel", key, "--reason", "enough", "--json")
    assert (cancelled.code, cancelled.json) == (0, {"execution_id": key, "status": "cancelled"})
    assert (await parallax("show", key, "--json")).json["status"] == "cancelled"
    assert "enough" in (await parallax("show", key)).out
    events = [json.loads(line) for line in (await parallax("events", key, "--follow", "--json")).out.splitlines()]
    assert [event["type"] for event in events] == ["execution.accepted", "execution.cancelled"]
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    only = await parallax("events", key, "--type", "execution.cancelled", "--after", str(events[0]["seq"]))
    assert "execution.cancelled" in only.out
    assert "accepted" not in only.out


async def test_interrupting_the_waiting_leaves_the_work_and_exits_with_130(parallax: Shell) -> None:
    """Ctrl-C says how to go on, and the execution is still there."""
    key = f"k-{new_id()}"
    process = await parallax.start("run", OPEN, "--id", key)

    async def is_there() -> bool:
        return (await parallax("show", key, "--json")).code == 0

    await eventually(is_there, timeout_s=15)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 130, err.decode()
    assert f"parallax cancel {key}" in err.decode()
    assert b"Traceback" not in out + err
    assert (await parallax("show", key, "--json")).json["status"] == "pending"


async def test_questions_are_listed_and_answered_once(parallax: Shell) -> None:
    """inbox, approve; a second answer and a wrong kind of answer are refused with a sentence."""
    key = f"k-{new_id()}"
    await parallax("run", ASKS, "--id", key, "--detach")
    waiting = {entry["question_id"]: entry for entry in (await parallax("inbox", "--json")).json["questions"]}
    assert waiting[f"{key}-q"]["question"] == "Ship it?"
    assert "Ship it?" in (await parallax("inbox")).out
    assert (await parallax("approve", f"{key}-q", "--json")).json["value"] is True
    again = await parallax("deny", f"{key}-q")
    assert (again.code, "is answered already: true (by ada)" in again.err) == (2, True)


async def test_what_an_attempt_asked_that_is_over_waits_for_nobody(parallax: Shell) -> None:
    """The agent that asked is gone; the next attempt asks anew if it wants to know. Other tasks' questions stay."""
    key = f"k-{new_id()}"
    await parallax("run", OPEN, "--id", key, "--detach")
    async with connect(parallax.nats_url) as client:
        for task in ("t1", "t2"):
            asked = QuestionAsked(execution_id=key, question_id=f"{key}-{task}", question="Tabs?", task_id=task)
            await client.bus.append(asked)
        error = Failure(code="agent_lost", message="gone")
        await client.bus.append(TaskRetrying(execution_id=key, task_id="t1", attempt=1, error=error, delay_ms=1))
    found = [one["question_id"] for one in (await parallax("inbox", "--json")).json["questions"]]
    assert [one for one in found if one.startswith(key)] == [f"{key}-t2"]
    refused = await parallax("answer", f"{key}-t1", "tabs")
    assert (refused.code, "was withdrawn" in refused.err, "cut off" in refused.err) == (2, True, True)
    shown = await parallax("show", key)
    assert "withdrawn: the attempt that asked was cut off" in " ".join(shown.out.split())


@pytest.mark.parametrize("verb", ["approve", "deny"])
async def test_an_approval_is_given_in_the_words_of_the_question(parallax: Shell, verb: str) -> None:
    """Where the question has options, the answer is one of them."""
    key = f"k-{new_id()}"
    await parallax("run", ASKS, "--id", key, "--input", 'options=["approve", "deny"]', "--detach")
    given = await parallax(verb, f"{key}-q", "--json")
    assert (given.code, given.json["value"]) == (0, verb)
    answered = json.loads((await parallax("events", key, "--type", "question.answered", "--json")).out)
    assert answered["data"]["value"] == verb


async def test_retry_asks_for_the_same_work_again(parallax: Shell) -> None:
    """A new execution with the old one's pattern and input; one that has not ended is refused with what to do."""
    first = (await parallax("run", DONE, "--input", "n=3", "--json")).json["execution_id"]
    again = (await parallax("retry", first, "--json")).json
    assert (again["status"], again["execution_id"] != first) == ("completed", True)
    assert (await parallax("show", again["execution_id"], "--json")).json["input"] == {"n": 3}
    key = f"k-{new_id()}"
    assert (await parallax("retry", first, "--id", key, "--detach")).out.strip() == key
    running = (await parallax("run", OPEN, "--detach")).out.strip()
    refused = await parallax("retry", running)
    assert (refused.code, f"parallax cancel {running}" in refused.err) == (2, True)


async def test_replay_says_identical(parallax: Shell) -> None:
    """The verdict as a line and as the documented document."""
    key = (await parallax("run", DONE, "--json")).json["execution_id"]
    assert (await parallax("replay", key)).out.strip() == f"{key}: identical (3 effects)"
    document = (await parallax("replay", key, "--json")).json
    assert {name: document[name] for name in ("execution", "effects", "identical", "first_difference")} == {
        "execution": key,
        "effects": 3,
        "identical": True,
        "first_difference": None,
    }


@pytest.mark.parametrize("command", ["show", "events", "logs", "cancel", "pause", "resume", "replay", "retry"])
async def test_an_execution_that_is_not_there_is_bad_input(parallax: Shell, command: str) -> None:
    """Exit code 2 and a sentence, for fresh ids and for impossible ones."""
    for name in (new_id(), "a b*>"):
        said = await parallax(command, name)
        assert (said.code, f"There is no execution {name}" in said.err) == (2, True), said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "Missing argument"),
        (["run", OPEN, "--input", "nothing"], "NAME=VALUE"),
        (["run", OPEN, "--input", "@/no/such/file"], "/no/such/file"),
        (["run", OPEN, "--base", "main"], "--repo"),
        (["run", OPEN, "--timeout", "0"], "--timeout"),
        (["ps", "--limit", "0"], "--limit"),
        (["answer", "no-such-question", "yes"], "parallax inbox"),
        (["events", "x", "--after", "-1"], "--after"),
        (["no-such-command"], "No such command"),
        (["run", OPEN, "--input", "@broken.json"], "not JSON"),
        (["run", OPEN, "--input", "@list.json"], "a JSON object is wanted"),
        (["run", OPEN, "--input", "@."], "directory"),
        (["run", OPEN, "--repo", "no/such/place"], "nothing at this path"),
        (["run", OPEN, "--repo", "."], "git init"),
        (["run", OPEN, "--repo", ""], "a path or a URL"),
        (["run", OPEN, "--timeout", "soon"], "'--timeout': 'soon' is not a number"),
        (["run", OPEN, "--id"], "requires an argument"),
        (["run", OPEN, "--id", ""], "it is empty"),
        (["retry", "x", "--id", " "], "it is empty"),
        (["ps", "--status", "asleep"], "is not one of"),
        (["cancel"], "Missing argument 'ID'"),
        (["signal", "x"], "Missing argument 'NAME'"),
        (["answer", "q"], "Missing argument"),
        (["deny", "no-such-question"], "parallax inbox"),
        (["inbox", "x"], "unexpected extra argument"),
        (["patterns", "show", "no-such-pattern"], "There is no pattern"),
        (["patterns", "compile", "no-such.yaml"], "no such file"),
        (["patterns", "compile", OPEN, "--to", "latin"], "--to"),
        (["patterns", "lint", "."], "holds no pattern"),
        (["workspaces", "diff", "a b"], "There is no execution a b"),
        (["dead-letters", "show", "x"], "is not a valid integer"),
        (["dead-letters", "requeue", "99"], "there is no dead letter 99"),
        (["up", "--port", "gateway=high"], "NAME=PORT"),
        (["up", "--port", "kitchen=80"], "there is no port for kitchen"),
        (["up", "--only", "kitchen"], "there is no kitchen"),
        (["up", "--detach", "--only", "kitchen"], "there is no kitchen"),
        (["up", "--data", "broken.json/x"], "cannot be made"),
        (["up", "--data", "broken.json"], "is a file"),
        (["projections", "rebuild", "x"], "unexpected extra argument"),
        (["bench", "fanout", "--executions", "0"], "--executions"),
    ],
)
async def test_wrong_use_is_a_sentence_and_exit_code_2(parallax: Shell, arguments: list[str], complaint: str) -> None:
    """The sentence names what was wrong."""
    (parallax.directory / "broken.json").write_text('{"a":', encoding="utf-8")
    (parallax.directory / "list.json").write_text("[1]", encoding="utf-8")
    said = await parallax(*arguments)
    assert (said.code, said.out) == (2, "")
    assert complaint in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        *(["ps"], ["inbox"], ["agents", "list"], ["workspaces", "list"], ["dead-letters", "list"], ["run", "x"]),
        *([verb, "x"] for verb in ("show", "events", "logs", "cancel", "pause", "resume", "retry", "replay")),
        *(["signal", "x", "go"], ["answer", "q", "1"], ["approve", "q"], ["deny", "q"], ["workspaces", "diff", "x"]),
    ],
    ids=" ".join,
)
async def test_without_a_server_the_exit_code_is_3(tmp_path: Path, arguments: list[str]) -> None:
    """With the address, or with the way to start one; with `--json` a document says it too."""
    shell = Shell("nats://127.0.0.1:1", tmp_path)
    nothing = await Shell("", tmp_path)(*arguments, "--json", PARALLAX_NATS_URL="", PARALLAX_DATA=str(tmp_path / "d"))
    assert (nothing.code, "parallax up" in nothing.err, nothing.json["error"]["code"]) == (3, True, "unreachable")
    assert "execution " not in nothing.err  # where no stack runs, there is none to come back to
    if arguments == ["ps"]:
        dead = await shell(*arguments)
        assert (dead.code, "127.0.0.1:1" in dead.err, dead.out) == (3, True, "")


@pytest.mark.parametrize(
    ("typed", "taken"), [("1", "1"), ("2", "2"), ("true", "true"), ("null", "null"), ("[1]", "[1]"), ('"1"', "1")]
)
async def test_an_option_is_answered_as_it_is_typed(parallax: Shell, typed: str, taken: str) -> None:
    """An option that reads as JSON is that option all the same; what is none of them is refused with the list."""
    key = f"k-{new_id()}"
    await parallax("run", OPEN, "--id", key, "--detach")
    options = ["1", "2", "true", "null", "[1]"]
    async with connect(parallax.nats_url) as client:
        asked = QuestionAsked(execution_id=key, question_id=f"{key}-q", question="Which?", options=options)
        await client.bus.append(asked)
    refused = await parallax("answer", f"{key}-q", "3")
    assert (refused.code, "1, 2, true, null, [1]" in refused.err) == (2, True)
    given = await parallax("answer", f"{key}-q", typed, "--json")
    assert (given.code, given.json["value"]) == (0, taken)


@pytest.mark.parametrize("timeout", ["nan", "inf", "-inf", "1e999", "-1", "0", "1e300"])
async def test_a_time_limit_is_a_finite_number_above_nothing(parallax: Shell, timeout: str) -> None:
    """Whatever else a float can be is refused with the bounds."""
    said = await parallax("run", DONE, f"--timeout={timeout}")
    assert (said.code, "--timeout" in said.err) == (2, True)


@pytest.mark.parametrize(("typed", "meant"), [("pz", "ps"), ("ru", "run"), ("evnets", "events")])
async def test_a_misspelt_command_is_told_what_was_meant(parallax: Shell, typed: str, meant: str) -> None:
    """Short words too, of which one wrong letter is half."""
    refused = await parallax(typed)
    assert refused.code == 2
    assert "Did you mean" in refused.err
    assert meant in refused.err.partition("Did you mean")[2]


async def test_a_time_limit_with_a_unit_is_told_the_unit(parallax: Shell) -> None:
    """Which is seconds."""
    refused = await parallax("run", "p", "--timeout", "10ms")
    assert (refused.code, "write a number of seconds, such as 90 or 0.5" in refused.err) == (2, True)


async def test_an_execution_is_named_before_anybody_answers(parallax: Shell) -> None:
    """Whatever becomes of the client, or of the engine, what was asked for can be found again."""
    process = await parallax.start("run", OPEN)
    assert process.stderr is not None
    first = (await asyncio.wait_for(process.stderr.readline(), 15)).decode().split()
    assert first[0] == "execution"

    async def is_there() -> bool:
        return (await parallax("show", first[1])).code == 0

    await eventually(is_there, timeout_s=15)
    process.kill()
    await process.communicate()
    assert (await parallax("show", first[1], "--json")).json["status"] == "pending"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_client_that_is_ended_says_how_to_go_on(parallax: Shell, number: signal.Signals) -> None:
    """As Ctrl-C does: the work goes on, and how to find it is the last thing said."""
    key = f"k-{new_id()}"
    process = await parallax.start("run", OPEN, "--id", key)

    async def is_there() -> bool:
        return (await parallax("show", key)).code == 0

    await eventually(is_there, timeout_s=15)
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 130, err.decode()
    assert f"parallax events --follow {key}" in err.decode()
    assert b"Traceback" not in out + err


async def test_a_list_says_what_is_waited_for_and_how_to_answer(parallax: Shell) -> None:
    """`ps` names the question and the command; `show` has the question in full, and who answered it."""
    key = f"k-{new_id()}"
    await parallax("run", ASKS, "--id", key, "--detach")
    async with connect(parallax.nats_url) as client:
        await client.bus.append(started(key))
    row = next(line for line in (await parallax("ps")).out.splitlines() if key in line)
    assert f"parallax approve {key}-q: Ship it?" in row
    shown = (await parallax("show", key)).out
    assert f"parallax approve {key}-q" in shown
    assert f"parallax deny {key}-q" in shown
    await parallax("deny", f"{key}-q")
    assert "Ship it? denied by ada" in (await parallax("show", key)).out


def started(key: str) -> ExecutionStarted:
    """The fact that an execution runs."""
    return ExecutionStarted(
        execution_id=key, engine="e", epoch=1, pattern_name=ASKS, pattern_version="1.0.0", pattern_format="prism",
        pattern_digest="d", program="1", program_digest="d",
    )  # fmt: skip


async def test_a_bad_pattern_of_somebody_else_is_no_output(parallax: Shell) -> None:
    """The directory of patterns is read for the types of inputs; what is wrong in it does not stand in the JSON."""
    (parallax.directory / "patterns").mkdir()
    (parallax.directory / "patterns" / "bad.yaml").write_text("name: [\n", encoding="utf-8")
    said = await parallax("run", DONE, "--input", "n=1234567", "--json")
    assert (said.code, said.json["status"]) == (0, "completed")
