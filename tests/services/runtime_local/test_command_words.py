"""What a `command` agent says arrives whole, or its turn ends with a word that says what did not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.agents import TaskFault, TaskQuestion, TaskResult
from services.runtime_local import speech
from services.runtime_local.speech import Line, Lines, Said, Transcript, understand
from shared.testing import eventually
from tests.services.runtime_local.stage import stage

RESULT = b'{"type": "result", "result": %s, "confidence": 0.5}'


def heard(*lines: bytes) -> Said:
    """The outcome of a turn in which these lines were printed."""
    transcript = Transcript()
    for line in lines:
        transcript.add(understand(Line(line, len(line))))
    return transcript.outcome()


def result_of(*lines: bytes) -> tuple[Any, float | None]:
    """The result and the self-report of a turn in which these lines were printed."""
    said = heard(*lines)
    assert said.type == "result", said
    return said.result, said.confidence


# -- size -------------------------------------------------------------------------------------------------------------


async def test_a_result_of_two_megabytes_is_taken_whole(nats_url: str, tmp_path: Path) -> None:
    """With its confidence, and whatever was said before it."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result(
            "say(type='result', result='draft', confidence=0.1)",
            "say(type='result', result='x' * 2_000_000, confidence=1)",
        )
        assert (ended.result, ended.confidence) == ("x" * 2_000_000, 1.0)


async def test_a_text_of_a_hundred_kilobytes_is_taken_whole(nats_url: str, tmp_path: Path) -> None:
    """Text without a result line is the result, from its first character to its last."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result("print('begin'); print('x' * 100_000); print('end')")
        assert ended.result == f"begin\n{'x' * 100_000}\nend"


@pytest.mark.parametrize("size", [9_000_000, 20_000_000], ids=["result", "line"])
async def test_a_result_that_is_too_large_fails_the_turn_with_its_size(
    nats_url: str, tmp_path: Path, size: int
) -> None:
    """An earlier draft does not stand for it, and no part of it is taken for text."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.fault("say(type='result', result='draft')", f"say(type='result', result='x' * {size})")
        assert ended.error.code == "result_too_large"
        assert f"{size:,}"[:2] in ended.error.message
        assert f"{speech.MAX_RESULT:,}" in ended.error.message
        assert "file" in ended.error.message


async def test_a_text_that_is_too_large_fails_the_turn_with_its_size(nats_url: str, tmp_path: Path) -> None:
    """In many lines or in one: the end of it is not the result."""
    async with stage(nats_url, tmp_path) as scene:
        lines = await scene.fault("for n in range(100): print('x' * 99_999)")
        assert (lines.error.code, "10,000,000 bytes" in lines.error.message) == ("result_too_large", True)
        one = await scene.fault("print('x' * 30_000_000)")
        assert (one.error.code, "30,000,000 bytes" in one.error.message) == ("result_too_large", True)


async def test_a_line_beyond_the_bound_is_shown_as_what_it_is(nats_url: str, tmp_path: Path) -> None:
    """What is published of it says how long it is; a result line behind it counts."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result("print('x' * 30_000_000)", "say(type='result', result='done')")
        assert ended.result == "done"
        shown = (await eventually(lambda: scene.printed("stdout")))[0]
        assert shown.endswith("… (a line of 30,000,000 bytes)")
        assert len(shown) < 5_000


def test_the_last_result_counts_and_a_later_one_mends_one_that_was_too_large() -> None:
    """A turn is judged by its last result line."""
    large = RESULT % (b'"' + b"x" * (speech.MAX_RESULT + 1) + b'"')
    assert heard(RESULT % b'"draft"', large).code == "result_too_large"
    assert result_of(large, RESULT % b'"smaller"') == ("smaller", 0.5)


@pytest.mark.parametrize(
    ("begin", "end", "code"),
    [
        (b'{"type": "result", "result": "', b'"}', "result_too_large"),
        (b'{"result": "', b'", "type": "result"}', "result_too_large"),
        (b'{"result": "', b'", "type": "result", "confidence": 1}', "result_too_large"),
        (b'{"something": "', b'"}', "result_too_large"),
        (b'{"type": "question", "question": "', b'"}', "question_too_large"),
        (b'{"question": "', b'", "type": "question"}', "question_too_large"),
        (b'{"type": "progress", "text": "', b'"}', ""),
        (b'["', b'"]', ""),
    ],
)
def test_a_line_that_is_not_held_is_known_by_its_ends(begin: bytes, end: bytes, code: str) -> None:
    """Wherever its type stands. One that may be a result is refused as one; nothing is taken for less than it is."""
    lines = Lines()
    said: list[Said] = []
    size = 0
    for piece in (begin, *[b"x" * (1 << 20)] * 17, end):
        size += len(piece)
        line = lines.add(piece, piece is end)
        if line is not None:
            said.append(understand(line))
    assert [(one.type, one.code) for one in said] == [("refused" if code else "output", code)]
    assert (f"{size:,}" in said[0].text) if code else (said[0].bytes == size)


def test_lines_are_put_together_from_pieces() -> None:
    """Up to the bound whole; the next line begins anew."""
    lines = Lines()
    assert lines.add(b"a" * 10, False) is None
    assert lines.add(b"b", True) == Line(b"a" * 10 + b"b", 11)
    assert lines.add(b"", True) == Line(b"", 0)
    exact = b"x" * (speech.MAX_LINE // 16)
    for _ in range(15):
        assert lines.add(exact, False) is None
    line = lines.add(exact, True)
    assert line is not None
    assert line.whole


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (rb'"done \ud83d"', "done \ufffd"),
        (rb'"\ude00 done"', "\ufffd done"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'{"\ud800": ["\udfff"]}', {"\ufffd": ["\ufffd"]}),
        (rb'"a\u0000b"', "a\ufffdb"),
        (b'"a\x00b"', "a\ufffdb"),
        (b'"a\tb\x1bc"', "a\tb\x1bc"),
        (b'"caf\xe9"', "caf\ufffd"),
        (b'"\xed\xa0\xbd"', "\ufffd\ufffd\ufffd"),
        (b"1e400", None),
        (b"-1e400", None),
        (b"[NaN, Infinity, -Infinity, 1]", [None, None, None, 1]),
        (b"1152921504606846977", 1152921504606846977),
        (b"-9007199254740993", -9007199254740993),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"1" * 5000, None),
        (b"0.1", 0.1),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_each_kind_of_odd_value_has_one_rule(written: bytes, value: Any) -> None:
    """And never ends as raw text without a confidence."""
    made, confidence = result_of(RESULT % written)
    assert (made, confidence) == (value, 0.5)
    assert type(made) is type(value)
    msgspec.json.encode(made)


def test_what_was_read_as_null_is_said() -> None:
    """A number that JSON does not have, or that nothing holds, does not go without a word."""
    line = RESULT % (b"[NaN, 1e400, " + b"1" * 5000 + b"]")
    said = understand(Line(line, len(line)))
    assert said.note == "said NaN, 1e400, a number of 5,000 digits, which is no number in JSON; it was read as null"


@pytest.mark.parametrize(
    ("confidence", "note"),
    [
        (b"7", "said a confidence of 7, which is not between 0 and 1; it was left out"),
        (b"-0.1", "said a confidence of -0.1, which is not between 0 and 1; it was left out"),
        (b'"high"', "said a confidence of 'high', which is no number; it was left out"),
        (b"true", "said a confidence of True, which is no number; it was left out"),
        (b"1e400", "said 1e400, which is no number in JSON; it was read as null"),
        (b"0.5", ""),
    ],
)
def test_a_confidence_that_is_none_is_said(confidence: bytes, note: str) -> None:
    """What is left out of an agent's words is not left out silently."""
    line = b'{"type": "result", "result": 1, "confidence": %s}' % confidence
    assert understand(Line(line, len(line))).note == note


@pytest.mark.parametrize("line", [b'\xef\xbb\xbf{"type": "result", "result": 1}', b'  {"type": "result", "result": 1}'])
def test_a_byte_order_mark_or_blanks_before_a_line_do_not_matter(line: bytes) -> None:
    """What some shells and editors write there."""
    assert result_of(line) == (1, None)


@pytest.mark.parametrize("confidence", [b"1.5", b"-1", b'"1"', b"true", b"1e400", b"NaN", b"1" * 5000])
def test_a_confidence_that_is_none_is_left_out(confidence: bytes) -> None:
    """The result is kept."""
    line = b'{"type": "result", "result": "kept", "confidence": %s}' % confidence
    assert result_of(line) == ("kept", None)


@pytest.mark.parametrize("opened", [b"[", b'{"a":'])
def test_a_result_that_is_nested_without_end_is_refused(opened: bytes) -> None:
    """And is no text."""
    closed = {b"[": b"]", b'{"a":': b"1}"}[opened]
    said = heard(RESULT % b'"draft"', RESULT % (opened * 100_000 + closed))
    assert said.code == "result_too_large"
    assert "nested" in said.text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (b'{"type": "result", "result": ', '{"type": "result", "result":'),
        (b'{"type": "dance"}', '{"type": "dance"}'),
        (b'[{"type": "result"}]', '[{"type": "result"}]'),
        (b"caf\xe9 \xff\xfe", "caf\ufffd \ufffd\ufffd"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07ok", "red ok"),
        (b"nul\x00byte\x07", "nulbyte"),
        (b"[" * 100_000, "[" * 100_000),
    ],
    ids=["half", "type", "array", "utf8", "ansi", "nul", "deep"],
)
def test_a_line_that_is_no_json_is_text(written: bytes, text: str) -> None:
    """Bad JSON, bad UTF-8, terminal sequences and NUL bytes end as readable text."""
    assert result_of(written) == (text, None)


async def test_lines_may_end_as_on_windows(nats_url: str, tmp_path: Path) -> None:
    """CR LF ends a line, and a CR is no part of it."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result('sys.stdout.buffer.write(b\'one\\r\\n{"type": "result", "result": "two"}\\r\\n\')')
        assert ended.result == "two"
        assert await eventually(lambda: scene.printed("stdout")) == ["one"]


# -- questions --------------------------------------------------------------------------------------------------------


async def test_a_long_question_is_asked_whole(nats_url: str, tmp_path: Path) -> None:
    """Text and options."""
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program(
            "say(type='question', question='why ' * 10_000, options=['a' * 9_000, 'b'])", "input()", interactive=True
        )
        asked = await scene.question(await scene.offer(agent))
        assert (asked.question, asked.options) == ("why " * 10_000, ["a" * 9_000, "b"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("question='why ' * 100_000", "400,00"),
        ("question='x' * 20_000_000", "20,000,0"),
        ("question='which?', options=list(range(51))", "51 options"),
    ],
)
async def test_a_question_that_is_too_large_ends_the_turn(nats_url: str, tmp_path: Path, words: str, said: str) -> None:
    """At once: nobody would ever answer it."""
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program(f"say(type='question', {words})", "time.sleep(60)", interactive=True)
        ended = await scene.ended(await scene.offer(agent))
        assert isinstance(ended, TaskFault)
        assert (ended.error.code, said in ended.error.message) == ("question_too_large", True)


async def test_half_an_emoji_in_a_question_is_asked(nats_url: str, tmp_path: Path) -> None:
    """With the replacement character in its place."""
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program(
            'print(\'{"type": "question", "question": "well \\\\ud83d?", "options": ["\\\\ud83d"]}\', flush=True)',
            "input()",
            interactive=True,
        )
        asked = await scene.question(await scene.offer(agent))
        assert (asked.question, asked.options) == ("well \ufffd?", ["\ufffd"])


# -- input ------------------------------------------------------------------------------------------------------------

READERS: Mapping[str, str] = {
    "read": "text = sys.stdin.read()",
    "thread": "import threading\ngot = []\nt = threading.Thread(target=lambda: got.append(sys.stdin.read()))\n"
    "t.start(); t.join(); text = got[0]",
    "child": "import subprocess; text = subprocess.run(['cat'], capture_output=True, text=True).stdout",
    "select": "import select; text = ''\n"
    "while chunk := os.read(0, 10) if select.select([0], [], [])[0] else b'': text += chunk.decode()",
}


@pytest.mark.parametrize("reader", READERS)
async def test_input_ends_after_the_task_line(nats_url: str, tmp_path: Path, reader: str) -> None:
    """However it is read: by the program, by a thread of it, by a child, or when it is said to be ready."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.result(READERS[reader], "say(type='result', result=json.loads(text)['task'])")
        assert ended.result == "do it"


async def test_a_child_with_a_pipe_of_its_own_takes_nothing_away(nats_url: str, tmp_path: Path) -> None:
    """An agent that answers to come may have children that wait for the end of their own input."""
    async with stage(nats_url, tmp_path, agent_timeout_ms=10_000) as scene:
        agent = await scene.program(
            "import subprocess",
            "child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)",
            "sys.stdin.readline(); time.sleep(1)",
            "say(type='question', question='go?')",
            "answer = sys.stdin.readline()",
            "child.stdin.close(); child.wait()",
            "say(type='result', result=answer)",
            interactive=True,
        )
        offer = await scene.offer(agent)
        await scene.answer(offer, await scene.question(offer), "yes")
        ended = await scene.ended(offer)
        assert isinstance(ended, TaskResult), ended
        assert ended.result == "yes\n"


async def test_a_question_of_an_agent_that_is_not_interactive_fails_by_name(nats_url: str, tmp_path: Path) -> None:
    """At once, naming the key that would let it ask; nobody is asked."""
    async with stage(nats_url, tmp_path) as scene:
        ended = await scene.fault("say(type='question', question='which?')", "time.sleep(60)")
        assert ended.error.code == "not_interactive"
        assert "'which?'" in ended.error.message
        assert "agentConfig: {interactive: true}" in ended.error.message
        assert "worker" in ended.error.message
        assert not [word for word in scene.heard if isinstance(word, TaskQuestion)]


async def test_a_task_that_was_recorded_before_goes_on_as_it_was_promised(nats_url: str, tmp_path: Path) -> None:
    """Without the key, of which it knows nothing: it may ask, and one that reads all of its input gets the end."""
    async with stage(nats_url, tmp_path) as scene:
        asking = await scene.program(
            "sys.stdin.readline()",
            "say(type='question', question='?')",
            "say(type='result', result=input())",
            interactive=None,
        )
        offer = await scene.offer(asking)
        await scene.answer(offer, await scene.question(offer), "yes")
        ended = await scene.ended(offer)
        assert isinstance(ended, TaskResult)
        assert ended.result == "yes"
        reading = await scene.program("say(type='result', result=json.load(sys.stdin)['task'])", interactive=None)
        ended = await scene.ended(await scene.offer(reading))
        assert isinstance(ended, TaskResult)
        assert ended.result == "do it"
