"""`parallax patterns simulate`: a pattern against simulated agents, as often as it takes. Needs no server, no key."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from parallax.cli.common import (
    LONGEST_TIMEOUT_S,
    BadInputError,
    FiniteRange,
    WorkFailedError,
    emit_json,
    json_option,
)
from parallax.cli.examples import epilog
from parallax.cli.inputs import read_inputs

if TYPE_CHECKING:
    from parallax.simulation.setting import Setting

_MOST_RUNS = 100_000


@click.command("simulate", epilog=epilog("patterns simulate"))
@click.argument("file")
@click.option("--seed", type=int, required=True, metavar="N", help="The same seed gives the same output.")
@click.option(
    "--runs", type=click.IntRange(1, _MOST_RUNS), default=1000, show_default=True, metavar="M", help="How many runs."
)
@click.option("--agents", "agents_file", type=click.Path(path_type=Path), metavar="FILE", help="What agents are like.")
@click.option("--input", "inputs", multiple=True, metavar="K=V|@FILE", help="An input, or a file of them (JSON, YAML).")
@click.option("--run", "run", type=click.IntRange(1, _MOST_RUNS), metavar="K", help="Show the log of run K alone.")
@click.option("--max-cost", type=FiniteRange(1e12), metavar="USD", help="A budget for each run.")
@click.option("--timeout", type=FiniteRange(LONGEST_TIMEOUT_S), metavar="SECONDS", help="A time limit for each.")
@click.option("--paths", type=click.IntRange(1, 200), default=10, show_default=True, help="How many paths are listed.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="The directory of patterns (default: PARALLAX_PATTERNS_DIR, ./patterns, or the patterns that ship).",
)
@json_option
def simulate(
    file: str,
    seed: int,
    runs: int,
    agents_file: Path | None,
    inputs: tuple[str, ...],
    run: int | None,
    max_cost: float | None,
    timeout: float | None,
    paths: int,
    directory: Path | None,
    as_json: bool,
) -> int:
    """Run a pattern many times against simulated agents, on a clock of its own.

    FILE may also be the name of a pattern. Exit code 1 when the pattern has errors, 2 when the agents file or the input
    cannot be used; runs that fail are what a simulation is for, and the code is 0.
    """
    from parallax.cli.pattern_library import own_patterns_dir
    from parallax.simulation.loading import SimulationRefused, find_agents, find_input, find_pattern
    from parallax.simulation.model import Cast
    from parallax.simulation.setting import Setting
    from schemas.commands import Budget

    try:
        pattern = find_pattern(file, directory or own_patterns_dir())
        agents, odd = find_agents(agents_file, pattern)
        values = find_input(pattern, read_inputs(inputs, lambda: pattern.input))
    except SimulationRefused as refused:
        raise (WorkFailedError if refused.broken else BadInputError)(str(refused)) from refused
    for sentence in odd:
        click.echo(sentence, err=True)
    setting = Setting(
        pattern=pattern,
        input=values,
        cast=Cast(agents),
        seed=seed,
        budget=None if max_cost is None else Budget(cost_usd=max_cost),
        timeout_ms=None if timeout is None else max(1, round(timeout * 1000)),
        keep_log=run is not None,
    )
    lines = _one(setting, run, as_json=as_json) if run is not None else _many(setting, runs, paths, as_json=as_json)
    for line in lines:
        click.echo(line)
    return 0


def _one(setting: Setting, run: int, *, as_json: bool) -> Iterable[str]:
    from parallax.simulation.execution import Execution
    from parallax.simulation.report import run_document, run_lines

    outcome = Execution(setting, run).go()
    if as_json:
        emit_json({"pattern": setting.pattern.name, "seed": setting.seed, **run_document(outcome)})
        return []
    return run_lines(outcome)


def _many(setting: Setting, runs: int, paths: int, *, as_json: bool) -> Iterable[str]:
    from parallax.simulation.execution import Execution
    from parallax.simulation.report import report_lines
    from parallax.simulation.summary import Summary

    summary = Summary(setting)
    with click.progressbar(
        range(1, runs + 1), label=setting.pattern.name, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as numbers:
        for number in numbers:
            summary.add(Execution(setting, number).go())
    if as_json:
        emit_json(summary.document())
        return []
    return report_lines(summary.document(), paths=paths)
