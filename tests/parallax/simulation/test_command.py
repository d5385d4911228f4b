"""`parallax patterns simulate` on the command line: what it prints, what it refuses, and what a seed means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parallax.simulation.charts import PATTERNS, SHIPPED, chart

BROKEN = chart("- {type: assign, id: one, role: wirter, task: do}\n")


def simulate(*words: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Types the command in a process of its own."""
    root = str(PATTERNS.parent)
    return subprocess.run(
        [sys.executable, "-m", "parallax", "patterns", "simulate", *words],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8", "PYTHONPATH": root, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("words", [(), ("--json",), ("--run", "7"), ("--run", "7", "--json")], ids=" ".join)
def test_the_same_seed_gives_the_same_bytes_in_every_process(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Whatever the hash seed; another seed gives another output."""
    name = str(PATTERNS / "startup-team.yaml")
    common = (name, "--runs", "150", *words)
    outputs = [
        simulate(*common, "--seed", "3", cwd=tmp_path, PYTHONHASHSEED=hash_seed) for hash_seed in ("0", "1", "4242")
    ]
    assert {one.returncode for one in outputs} == {0}
    assert len({one.stdout for one in outputs}) == 1
    assert all(one.stderr == "" for one in outputs)
    assert simulate(*common, "--seed", "4", cwd=tmp_path).stdout != outputs[0].stdout


def test_the_report_says_what_happened_how_often(tmp_path: Path) -> None:
    """Endings, paths, numbers, roles, steps, calibration, in tables for people."""
    done = simulate(str(PATTERNS / "startup-team.yaml"), "--seed", "1", "--runs", "300", "--paths", "3", cwd=tmp_path)
    text = done.stdout
    assert text.startswith("startup-team 1.0.0: 300 runs, seed 1\n\nEnded\n")
    for word in ("completed", "Paths", "plan > implementation > review: approve", "other paths", "time", "cost",
                 "escalations", "confidence", "Role", "developer", "Step", "release", "Calibration"):  # fmt: skip
        assert word in text, word
    assert all(line == line.rstrip() for line in text.splitlines())


def test_the_json_document_adds_up(tmp_path: Path) -> None:
    """One document; every run has one ending and one path."""
    done = simulate(str(PATTERNS / "pair-programming.yaml"), "--seed", "1", "--runs", "200", "--json", cwd=tmp_path)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["completed"] + found["failed"] + found["stalled"] == found["runs"] == 200
    assert sum(path["count"] for path in found["paths"]) == 200
    assert sum(one["count"] for one in found["failures"]) == found["failed"]
    assert sum(group["tasks"] for group in found["roles"].values()) == 200 * found["numbers"]["tasks"]["mean"]
    assert sum(role["cost_per_run"] for role in found["roles"].values()) == pytest.approx(
        found["numbers"]["cost_usd"]["mean"], abs=0.001
    )
    assert found["input"] == {"task": "a made-up task"}


def test_the_log_of_a_run_is_that_of_the_run_in_the_whole(tmp_path: Path) -> None:
    """The first run of a path, looked at alone, takes that path."""
    name = str(PATTERNS / "enterprise-review.yaml")
    found = json.loads(simulate(name, "--seed", "1", "--runs", "50", "--json", cwd=tmp_path).stdout)
    for path in found["paths"][:5]:
        done = simulate(name, "--seed", "1", "--run", str(path["first_run"]), "--json", cwd=tmp_path)
        one = json.loads(done.stdout)
        assert one["path"] == path["path"].split(" | ")[0]
        assert one["events"][0]["type"] == "execution.accepted"
        assert one["events"][-1]["type"] in ("execution.completed", "execution.failed")
        assert [event["at_ms"] for event in one["events"]] == sorted(event["at_ms"] for event in one["events"])


def test_a_run_is_told_line_by_line(tmp_path: Path) -> None:
    """When, what, who."""
    done = simulate(str(PATTERNS / "pair-programming.yaml"), "--seed", "1", "--run", "2", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("run 2: completed after ")
    assert any("task.requested" in line and "role=driver" in line and "step=code" in line for line in lines)
    assert lines[3].startswith("    0:00.000  execution.accepted ")


def test_a_pattern_by_its_name_and_agents_of_a_file(tmp_path: Path) -> None:
    """As everywhere else: a file, or a name in the directory. Names that the pattern has not are mentioned."""
    (tmp_path / "agents.yaml").write_text("roles:\n  driver: {quality: 0.1}\n  pilot: {quality: 0.1}\n")
    words = ("pair-programming", "--dir", str(PATTERNS), "--seed", "1", "--runs", "50", "--json")
    plain = json.loads(simulate(*words, cwd=tmp_path).stdout)
    bad = simulate(*words, "--agents", "agents.yaml", cwd=tmp_path)
    assert json.loads(bad.stdout)["roles"]["driver"]["quality"] < plain["roles"]["driver"]["quality"]
    assert bad.stderr == "agents.yaml: pair-programming has no role 'pilot'\n"


def test_a_budget_and_a_time_limit_end_runs(tmp_path: Path) -> None:
    """Each run has its own."""
    words = (str(PATTERNS / "startup-team.yaml"), "--seed", "1", "--runs", "20", "--json")
    codes = [
        [one["code"] for one in json.loads(simulate(*words, *more, cwd=tmp_path).stdout)["failures"]]
        for more in (("--max-cost", "0.01"), ("--timeout", "5"))
    ]
    assert codes == [["budget_exceeded"], ["execution_timeout"]]


def test_a_pattern_may_carry_its_agents(tmp_path: Path) -> None:
    """In `metadata.simulation`; a file that is named wins over it."""
    never = "failure: {error: 0, crash: 0, silent: 0, empty: 0}"
    own_agents = f"{{default: {{results: [mine], disagreement: 0, {never}}}}}"
    more = f"workspace: {{enabled: false}}\nmetadata: {{simulation: {own_agents}}}\n"
    text = chart("- {type: assign, id: one, role: writer, task: do}\n", more=more)
    (tmp_path / "small.yaml").write_text(text)
    (tmp_path / "agents.yaml").write_text("default: {results: [yours]}")
    words = ("small.yaml", "--seed", "1", "--runs", "9", "--json")
    own = json.loads(simulate(*words, cwd=tmp_path).stdout)
    other = json.loads(simulate(*words, "--agents", "agents.yaml", cwd=tmp_path).stdout)
    assert own["results"] == [{"result": "mine", "count": 9, "share": 1.0}]
    assert other["results"][0]["result"] == "yours"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("broken.yaml", "--seed", "1"), 1, "broken.yaml:12:37: error: the assign step names 'wirter'"),
        (("missing.yaml", "--seed", "1"), 2, "missing.yaml cannot be read: no such file or directory"),
        (("nobody", "--seed", "1"), 2, "There is no pattern 'nobody'."),
        (("small.yaml",), 2, "Missing option '--seed'"),
        (("small.yaml", "--seed", "one"), 2, "not a valid integer"),
        (("small.yaml", "--seed", "1", "--runs", "0"), 2, "not in the range"),
        (("small.yaml", "--seed", "1", "--agents", "none.yaml"), 2, "none.yaml cannot be read"),
        (("small.yaml", "--seed", "1", "--agents", "bad.yaml"), 2, "bad.yaml:2:3: error: default has no key 'secnds'"),
        (("small.yaml", "--seed", "1", "--input", "tsk=3"), 2, "there is no input field 'tsk'"),
        (("small.yaml", "--seed", "1", "--input", "task"), 2, "NAME=VALUE"),
        (("coded.yaml", "--seed", "1"), 2, "input.code does not have the form it should have"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_simulated_is_refused_with_a_reason(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """Exit code 1: the pattern has errors. 2: something that was typed or named cannot be used."""
    step = "- {type: assign, id: one, role: writer, task: do}\n"
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "small.yaml").write_text(chart(step, inputs="task: {type: string, required: true}\n"))
    coded = 'code: {type: string, required: true, pattern: "^[0-9]+$"}\n'
    (tmp_path / "coded.yaml").write_text(chart(step, inputs=coded))
    (tmp_path / "bad.yaml").write_text("default:\n  secnds: 3\n")
    done = simulate(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_that_fail_are_what_a_simulation_is_for(tmp_path: Path) -> None:
    """The exit code is 0 even when every run fails or stalls."""
    steps = "- {type: assign, id: one, role: writer, task: do}\n- {type: wait, id: go, signal: ready}\n"
    (tmp_path / "small.yaml").write_text(chart(steps))
    done = simulate("small.yaml", "--seed", "1", "--runs", "20", cwd=tmp_path)
    assert done.returncode == 0
    assert "stalled, waiting for the signal 'ready', which nobody sends" in done.stdout


def test_every_shipped_pattern_simulates_without_a_mistake_of_the_program() -> None:
    """What goes wrong in a run is of the agents' making: no run stalls, none ends in an error of the program."""
    from parallax.simulation.execution import Execution
    from parallax.simulation.loading import find_agents, find_input
    from parallax.simulation.model import Cast
    from parallax.simulation.setting import Setting
    from tests.parallax.simulation.charts import shipped

    expected = {
        "not_approved", "workspace_conflict", "verification_failed", "validation_failed", "no_consensus",
        "merge_conflict", "too_few_results", "quorum_not_reached", "task_failed", "agent_lost", "agent_silent",
        "task_timeout", "step_timeout", "execution_timeout", "thrown",
    }  # fmt: skip
    for path in SHIPPED:
        pattern = shipped(path)
        agents, odd = find_agents(None, pattern)
        setting = Setting(pattern=pattern, input=find_input(pattern, {}), cast=Cast(agents), seed=11)
        outcomes = [Execution(setting, run).go() for run in range(1, 151)]
        assert odd == []
        codes = {one.error.code: one.error.message for one in outcomes if one.error and one.error.code not in expected}
        assert codes == {}, path.name
        waits = {reason for one in outcomes for reason in one.waits_for if not reason.startswith("a person")}
        assert waits == set(), path.name
        assert any(one.status == "completed" for one in outcomes), path.name


def test_a_broken_neighbour_says_nothing_on_standard_output(tmp_path: Path) -> None:
    """Another file of the directory that cannot be used is no part of the document."""
    (tmp_path / "small.yaml").write_text(chart("- {type: assign, id: one, role: writer, task: do}\n"))
    (tmp_path / "broken.yaml").write_text("name: [")
    done = simulate("small", "--dir", ".", "--seed", "1", "--runs", "5", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["runs"] == 5
    assert done.stderr == ""


def test_a_called_pattern_is_simulated_with_its_caller(tmp_path: Path) -> None:
    """Found beside the file, its steps under the step that calls it."""
    step = "- {type: assign, id: one, role: writer, task: do}\n"
    (tmp_path / "small.yaml").write_text(chart(step))
    call = "- {type: pattern, id: inner, pattern: small@1.x}\n"
    (tmp_path / "outer.yaml").write_text(chart(step + call).replace("name: small", "name: outer"))
    done = simulate("outer.yaml", "--seed", "1", "--runs", "30", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["paths"][0]["path"] == "one > inner.one"


def test_a_pattern_that_asks_for_nothing_has_a_report(tmp_path: Path) -> None:
    """No tasks, no tables of them."""
    (tmp_path / "sum.prism").write_text('export const pattern = {name: "sum", workspace: {enabled: false}}\n1 + 1\n')
    done = simulate("sum.prism", "--seed", "1", "--runs", "3", cwd=tmp_path)
    assert done.returncode == 0
    assert "  3  100.0 %  (nothing)\n" in done.stdout
    assert done.stdout.endswith("Results\n  3  100.0 %  2\n")
