"""The agents of the recorded histories: each turn does what its arguments say, and nothing depends on the machine.

write FILE TEXT...    writes the texts in turn: the first one, then the next after every critique
judge VERDICT         answers with this verdict; `drafts` asks for a revision of a first draft, `junk` says nothing
ask QUESTION          asks, and reports the answer
say TEXT              says it
wait FILE             does nothing until the file exists
break                 ends with an error
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Does the turn that is on standard input."""
    turn: dict[str, Any] = json.loads(sys.stdin.readline())
    what, *arguments = sys.argv[1:]
    match what:
        case "write":
            _write(turn, *arguments)
        case "judge":
            _judge(turn, arguments[0])
        case "ask":
            _say({"type": "question", "question": arguments[0], "options": ["red", "blue"]})
            _result({"chose": sys.stdin.readline().strip()}, 0.9)
        case "wait":
            while not Path(arguments[0]).exists():
                _say({"type": "progress", "text": "waiting"})
                time.sleep(0.2)
            _result({"waited": True}, 0.9)
        case "break":
            sys.exit("it broke on purpose")
        case _:
            _result(arguments[0], 0.9)


def _write(turn: dict[str, Any], name: str, *texts: str) -> None:
    before = (turn.get("context") or {}).get("critique") is not None
    text = texts[min(int(before), len(texts) - 1)]
    (Path(turn["workspace"]) / name).write_text(text + "\n", encoding="utf-8")
    _result({"wrote": text}, 0.7)


def _judge(turn: dict[str, Any], verdict: str) -> None:
    if verdict == "junk":
        _result("It is what it is.", None)
        return
    if verdict == "drafts":
        verdict = "revise" if '"first"' in json.dumps(turn.get("context")) else "approve"
    _result({"verdict": verdict, "critique": "" if verdict == "approve" else "It is not good yet."}, 0.8)


def _result(value: Any, confidence: float | None) -> None:
    line = {"type": "result", "result": value}
    _say(line if confidence is None else {**line, "confidence": confidence})


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
