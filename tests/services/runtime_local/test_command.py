"""The protocol of `command` agents: one line in, lines out, and an exit code."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from schemas.agents import AgentSpec, TaskFault, TaskProgress, TaskQuestion, TaskResult
from schemas.events import AgentSpawnFailed, AgentSpawnRequested
from shared.testing import eventually
from tests.services.runtime_local.stage import Stage, stage


async def test_the_program_gets_one_line_with_exactly_these_keys(nats_url: str, tmp_path: Path) -> None:
    """The task, the input, the context, the role, the ids and the worktree."""
    async with stage(nats_url, tmp_path) as scene:
        where = tmp_path / "tree"
        where.mkdir()
        agent = await scene.program("say(type='result', result=[json.loads(sys.stdin.readline()), os.getcwd()])")
        offer = await scene.offer(
            agent, task="Fix it.\nAll.", input={"a": [1]}, context={"attempt": 1, "critique": "ü"}, workspace=str(where)
        )
        ended = await scene.ended(offer)
        assert isinstance(ended, TaskResult)
        assert ended.result == [
            {
                "task": "Fix it.\nAll.",
                "input": {"a": [1]},
                "context": {"attempt": 1, "critique": "ü"},
                "role": "worker",
                "execution_id": offer.execution_id,
                "task_id": offer.task_id,
                "workspace": str(where),
            },
            str(where),
        ]


async def test_progress_messages_and_results_are_told_apart(nats_url: str, tmp_path: Path) -> None:
    """Progress is for whoever watches, other lines are messages, and the result line is the result."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result(
            "say(type='progress', text='half')",
            "say(type='message', text='hello')",
            "print('plain words')",
            "sys.stderr.write('a warning\\n')",
            "say(type='result', result={'n': 1}, confidence=0.25)",
        )
        assert (ended.result, ended.confidence) == ({"n": 1}, 0.25)
        await eventually(lambda: scene.printed("stderr"))
        assert [word.text for word in scene.heard if isinstance(word, TaskProgress)] == ["half"]
        assert scene.printed("progress") == ["half"]
        assert scene.printed("message") == ["hello"]
        assert scene.printed("stdout") == ["plain words"]
        assert scene.printed("stderr") == ["a warning"]


async def test_without_a_result_line_the_text_is_the_result(nats_url: str, tmp_path: Path) -> None:
    """What it printed and said as messages is the result, and there is no self-report."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result("say(type='progress', text='no')", "say(type='message', text='one')", "print('two')")
        assert (ended.result, ended.confidence) == ("one\ntwo", None)


async def test_a_program_that_says_nothing_has_an_empty_text(nats_url: str, tmp_path: Path) -> None:
    """Exit code 0 without a word is an empty result without a self-report: nothing is made up."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result("pass")
        assert (ended.result, ended.confidence) == ("", None)


async def test_an_exit_code_fails_the_task_with_the_end_of_stderr(nats_url: str, tmp_path: Path) -> None:
    """Whatever it said before, a result line included."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.fault(
            "say(type='result', result='fine', confidence=1)",
            "sys.stderr.write('x' * 5000 + ' the very end')",
            "sys.exit(7)",
        )
        assert ended.error.code == "task_failed"
        assert "exit code 7" in ended.error.message
        assert ended.error.message.endswith("the very end")
        assert len(ended.error.message) < 3000
        assert not ended.interrupted


@pytest.mark.parametrize(
    "confidence", ["1.5", "-0.1", "'0.9'", "True", "[1]", "float('nan')", "float('inf')", "10**400"]
)
async def test_a_confidence_that_is_none_is_no_self_report(nats_url: str, tmp_path: Path, confidence: str) -> None:
    """The result is kept, and the score that cannot be one is left out, not clamped."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result(f"say(type='result', result='kept', confidence={confidence})")
        assert (ended.result, ended.confidence) == ("kept", None)


async def test_of_two_results_the_last_one_counts(nats_url: str, tmp_path: Path) -> None:
    """And what is printed after the result is only output."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result(
            "say(type='result', result=1, confidence=0.1)", "say(type='result', result=2)", "print('bye')"
        )
        assert (ended.result, ended.confidence) == (2, None)


async def test_flooding_output_is_bounded_and_says_so(nats_url: str, tmp_path: Path) -> None:
    """Lines beyond the rate are counted; progress that is left out is not told to the executor either."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result(
            "for n in range(20_000): print(n)",
            'for n in range(20_000): sys.stdout.write(\'{"type": "progress", "text": "p"}\\n\')',
            "say(type='result', result='done')",
        )
        assert ended.result == "done"
        await eventually(lambda: [line for line in scene.printed("message") if "lines were left out" in line])
        assert len(scene.output) < 10_000
        assert len(scene.heard) < 10_000


async def test_closing_stdout_early_ends_nothing(nats_url: str, tmp_path: Path) -> None:
    """The turn is over when the program is."""
    async with stage(nats_url, tmp_path) as scene:
        mark = tmp_path / "mark"
        ended = await scene.result(
            "say(type='result', result='early')",
            "os.close(1); os.close(2); time.sleep(0.5)",
            f"open({str(mark)!r}, 'w').close()",
            "os._exit(0)",
        )
        assert ended.result == "early"
        assert mark.exists()


async def test_a_question_is_answered_with_one_line(nats_url: str, tmp_path: Path) -> None:
    """A text as it is, anything else as JSON; the options are told."""
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program(
            "sys.stdin.readline()",
            "say(type='question', question='which?', options=['a', 'b'])",
            "first = sys.stdin.readline()",
            "say(type='question', question='how many?')",
            "say(type='result', result=[first, sys.stdin.readline()])",
            interactive=True,
        )
        offer = await scene.offer(agent)
        asked = await scene.question(offer)
        assert (asked.question, asked.options) == ("which?", ["a", "b"])
        await scene.answer(offer, asked, "b")
        await scene.answer(offer, await scene.question(offer, 2), {"n": 2})
        ended = await scene.ended(offer)
        assert isinstance(ended, TaskResult)
        assert ended.result == ["b\n", '{"n":2}\n']


async def test_two_questions_at_once_are_asked_one_after_the_other(nats_url: str, tmp_path: Path) -> None:
    """Neither answer is lost."""
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program(
            "sys.stdin.readline()",
            "say(type='question', question='1'); say(type='question', question='2')",
            "say(type='result', result=[sys.stdin.readline(), sys.stdin.readline()])",
            interactive=True,
        )
        offer = await scene.offer(agent)
        first = await scene.question(offer)
        await scene.answer(offer, first, "x")
        await scene.answer(offer, first, "not again")
        await scene.answer(offer, await scene.question(offer, 2), "y")
        ended = await scene.ended(offer)
        assert isinstance(ended, TaskResult)
        assert ended.result == ["x\n", "y\n"]


async def test_a_program_cannot_fill_the_log_with_questions(nats_url: str, tmp_path: Path) -> None:
    """After a hundred in one turn the turn fails, and one of them was asked."""
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program("while True: say(type='question', question='why?')", interactive=True)
        ended = await scene.ended(await scene.offer(agent))
        assert isinstance(ended, TaskFault)
        assert ended.error.code == "too_many_questions"
        assert [word.question for word in scene.heard if isinstance(word, TaskQuestion)] == ["why?"]


async def test_a_program_that_never_reads_is_no_error(nats_url: str, tmp_path: Path) -> None:
    """Also when its line is longer than a pipe holds."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result("time.sleep(0.2); say(type='result', result='deaf')", input="x" * 300_000)
        assert ended.result == "deaf"


async def test_a_silent_program_is_ended(nats_url: str, tmp_path: Path) -> None:
    """PARALLAX_AGENT_TIMEOUT bounds its silence, not its turn: one that speaks may take longer."""
    async with stage(nats_url, tmp_path, agent_timeout_ms=1500) as scene:
        speaking = await scene.offer(
            await scene.program("for n in range(12): print(n, flush=True); time.sleep(0.25)", "say(type='result')")
        )
        silent = await scene.offer(await scene.program("time.sleep(300)"))
        ended = await scene.ended(silent)
        assert isinstance(ended, TaskFault)
        assert ended.error.code == "agent_silent"
        assert ended.error.message.endswith(
            " wrote nothing for 1.5 s and was ended. Have it print its progress, or raise PARALLAX_AGENT_TIMEOUT "
            "(milliseconds)."
        )
        assert isinstance(await scene.ended(speaking), TaskResult)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_any_output_is_a_sign_of_life(nats_url: str, tmp_path: Path, stream: str) -> None:
    """On either output, and without an end of line: a row of dots is not silence."""
    async with stage(nats_url, tmp_path, agent_timeout_ms=1000) as scene:
        agent = await scene.program(
            f"for _ in range(8): sys.{stream}.write('.'); sys.{stream}.flush(); time.sleep(0.3)",
            "print()",
            "say(type='result', result='alive')",
        )
        ended = await scene.ended(await scene.offer(agent))
        assert isinstance(ended, TaskResult), ended
        assert ended.result == "alive"


async def test_waiting_for_an_answer_is_not_silence(nats_url: str, tmp_path: Path) -> None:
    """A program may wait for a person longer than it may be silent."""
    async with stage(nats_url, tmp_path, agent_timeout_ms=600) as scene:
        agent = await scene.program(
            "sys.stdin.readline()",
            "say(type='question', question='?')",
            "say(type='result', result=input())",
            interactive=True,
        )
        offer = await scene.offer(agent)
        asked = await scene.question(offer)
        await asyncio.sleep(1.5)  # more than twice the silence that is allowed
        await scene.answer(offer, asked, "late")
        ended = await scene.ended(offer)
        assert isinstance(ended, TaskResult)
        assert ended.result == "late"


async def test_the_same_offer_is_one_turn(nats_url: str, tmp_path: Path) -> None:
    """While it runs and after it has ended: it is answered, and not done again."""
    async with stage(nats_url, tmp_path) as scene:
        marks = tmp_path / "marks"
        agent = await scene.program(f"open({str(marks)!r}, 'a').write('x'); time.sleep(0.3); say(type='result')")
        first = await scene.offer(agent)
        await scene.offer(agent)
        await scene.ended(first)
        await scene.offer(agent)
        await eventually(lambda: len(scene.about(first, TaskResult)) == 2)
        assert marks.read_text() == "x"


async def test_a_bare_name_is_never_looked_up_in_the_worktree(nats_url: str, tmp_path: Path) -> None:
    """`./name` says that it is meant; a name in the worktree alone is not found."""
    async with stage(nats_url, tmp_path) as scene:
        tree = tmp_path / "tree"
        tree.mkdir()
        tool = tree / "mytool"
        tool.write_text("#!/bin/sh\necho from the tree\n")
        tool.chmod(0o755)
        bare = await scene.spawn(["mytool"])
        assert isinstance(bare, AgentSpawnFailed)
        assert bare.error.code == "program_not_found"
        assert "'mytool' was not found in PATH" in bare.error.message
        said = await scene.spawn(["./mytool"])
        ended = await scene.ended(await scene.offer(said.agent_id, workspace=str(tree)))
        assert isinstance(ended, TaskResult)
        assert ended.result == "from the tree"


@pytest.mark.parametrize("name", ["./../outside", "sub/tool", "./absent", "/no/such/program"])
async def test_a_program_that_cannot_be_had_is_said_plainly(nats_url: str, tmp_path: Path, name: str) -> None:
    """Its name is in the sentence, and nothing outside the worktree is run for a relative name."""
    async with stage(nats_url, tmp_path) as scene:
        tree = tmp_path / "tree"
        tree.mkdir()
        outside = tmp_path / "outside"
        outside.write_text("#!/bin/sh\n")
        outside.chmod(0o755)
        spawned = await scene.spawn([name])
        if isinstance(spawned, AgentSpawnFailed):
            error = spawned.error
        else:
            ended = await scene.ended(await scene.offer(spawned.agent_id, workspace=str(tree)))
            assert isinstance(ended, TaskFault)
            error = ended.error
        assert error.code == "program_not_found"
        assert name in error.message


async def test_a_role_without_a_command_is_said_plainly(nats_url: str, tmp_path: Path) -> None:
    """With where the command belongs."""
    async with stage(nats_url, tmp_path) as scene:
        spawned = await scene.spawn([])
        assert isinstance(spawned, AgentSpawnFailed)
        assert "give it one under agentConfig.command" in spawned.error.message


async def test_arguments_are_never_read_by_a_shell(nats_url: str, tmp_path: Path) -> None:
    """Not those of the pattern, and not the task."""
    async with stage(nats_url, tmp_path) as scene:
        spawned = await scene.spawn(["printf", "%s", "$(touch hacked); `id` && *"])
        ended = await scene.ended(await scene.offer(spawned.agent_id, task="$(touch hacked)", workspace=str(tmp_path)))
        assert isinstance(ended, TaskResult)
        assert ended.result == "$(touch hacked); `id` && *"
        assert not (tmp_path / "hacked").exists()


async def test_hostile_ids_of_a_session_open_nothing(nats_url: str, tmp_path: Path) -> None:
    """An id that would name a file elsewhere is parked in the dead letters; the next request is served."""
    async with stage(nats_url, tmp_path) as scene:
        kept = tmp_path / "kept"
        kept.mkdir()
        await _ask_for(scene, "../../../kept")
        assert (await scene.result("say(type='result', result='still here')")).result == "still here"
        assert kept.exists()
        assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["agents", "kept"]'


async def _ask_for(scene: Stage, agent_id: str) -> None:
    await scene.bus.append(
        AgentSpawnRequested(
            execution_id="hostile",
            agent_id=agent_id,
            role="worker",
            session="worker-1",
            kind="command",
            runtime="local",
            agent=AgentSpec(kinds=["command"], command=["true"]),
        )
    )
