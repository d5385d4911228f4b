"""Secrets: the pattern names them, the runtime knows them, nothing that is kept holds them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from schemas.agents import TaskFault, TaskResult
from schemas.events import AgentSpawnFailed
from services.runtime_local.secrets import Redaction, SecretMissing, Secrets
from shared.testing import eventually
from tests.services.runtime_local.stage import stage

SPEAKS = (
    "value = os.environ['MY_API_KEY']",
    "print('out', value); sys.stderr.write('err ' + value + '\\n')",
    "say(type='progress', text='with ' + value)",
    "say(type='result', result={'key': value, 'long': 'x' * 5 + value, 'length': len(value)})",
)


async def test_a_secret_reaches_the_agent_and_nothing_else(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the agent prints of it is taken out of its result, its progress and its output."""
    value = 'hünter"2\\three'
    monkeypatch.setenv("PARALLAX_SECRET_MAIN", value)
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program(*SPEAKS, secrets={"MY_API_KEY": "MAIN"}, env={"TEAM": "blue"})
        ended = await scene.ended(await scene.offer(agent))
        assert isinstance(ended, TaskResult), ended
        assert ended.result == {"key": "[redacted]", "long": "xxxxx[redacted]", "length": len(value)}
        await eventually(lambda: scene.printed("stderr") and scene.printed("progress"))
        kept = msgspec.json.encode([scene.heard, scene.output, ended]).decode()
        kept += "".join([str(record.data) async for record in scene.bus.read(ended.task_id.removesuffix("-1"))])
        assert "hree" not in kept
        assert "MAIN" in kept


async def test_a_secret_in_a_failure_is_taken_out(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of standard error becomes the reason of the failure."""
    monkeypatch.setenv("PARALLAX_SECRET_MAIN", "hunter2hunter2")
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program("sys.exit('bad ' + os.environ['MY_API_KEY'])", secrets={"MY_API_KEY": "MAIN"})
        ended = await scene.ended(await scene.offer(agent))
        assert isinstance(ended, TaskFault)
        assert ended.error.message.endswith("bad [redacted]")


async def test_a_secret_that_is_missing_fails_the_turn_before_the_start(nats_url: str, tmp_path: Path) -> None:
    """By its name, with where to put it; the program was never run."""
    async with stage(nats_url, tmp_path) as scene:
        mark = tmp_path / "mark"
        agent = await scene.program(f"open({str(mark)!r}, 'w').close()", secrets={"MY_API_KEY": "NO_SUCH"})
        ended = await scene.ended(await scene.offer(agent))
        assert isinstance(ended, TaskFault)
        assert (ended.error.code, ended.error.where) == ("secret_missing", "worker")
        for word in ("NO_SUCH", "MY_API_KEY", "worker", "PARALLAX_SECRET_NO_SUCH", "PARALLAX_SECRETS_FILE"):
            assert word in ended.error.message
        assert not mark.exists()
        spawned = await scene.spawn(["true"], kind="custom", secrets={"MY_API_KEY": "NO_SUCH"})
        assert isinstance(spawned, AgentSpawnFailed)
        assert spawned.error.code == "secret_missing"


def test_where_a_secret_is_looked_up(tmp_path: Path) -> None:
    """The variable made for it, then the file, then a variable of its name; never one of the platform's own."""
    file = tmp_path / "secrets.toml"
    file.write_text('A = "from the file"\nB = "from the file"\n')
    file.chmod(0o600)
    secrets = Secrets({"PARALLAX_SECRET_A": "made for it", "B": "b", "C": "c", "PARALLAX_API_KEY": "ours"}, file)
    assert secrets.values({"X": "A", "Y": "B", "Z": "C"}, "r") == {
        "X": "made for it",
        "Y": "from the file",
        "Z": "c",
    }
    for name in ("PARALLAX_API_KEY", "D"):
        with pytest.raises(SecretMissing, match=name):
            secrets.values({"X": name}, "r")
    assert secrets.values({}, "r") == {}


@pytest.mark.parametrize(
    ("text", "mode", "said"), [('A = "x"', 0o644, "chmod 600"), ("A = 1", 0o600, "TOML"), ("A", 0o600, "TOML")]
)
def test_a_file_that_others_can_read_or_that_is_none_is_refused(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    """With what to do."""
    file = tmp_path / "secrets.toml"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(SecretMissing, match=said):
        Secrets({}, file).values({"X": "A"}, "r")


def test_a_secret_is_found_however_json_writes_it() -> None:
    """As it is, escaped, in pure ASCII, and line by line; short ones are left alone."""
    redact = Redaction({"A": 'ü"b\\c\U0001f600def', "B": "short", "C": "line one\nline two"})
    for written in (b'\xc3\xbc"b\\c\xf0\x9f\x98\x80def', b'\xc3\xbc\\"b\\\\c\xf0\x9f\x98\x80def'):
        assert redact(b"<" + written + b">") == b"<[redacted]>"
    assert redact(b'<\\u00fc\\"b\\\\c\\ud83d\\ude00def>') == b"<[redacted]>"
    assert redact(b"a short word, line two") == b"a short word, [redacted]"
