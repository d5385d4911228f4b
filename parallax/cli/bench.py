"""`parallax bench`: measure what runs."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from pathlib import Path

import click

from parallax.cli.common import UnreachableError, emit_json, json_option, run_async
from shared.paths import running_stack

_PARTS = {
    "fanout": ("parallax.cli.bench:fanout", "Executions of parallel tasks that do nothing, through everything."),
    "log": ("parallax.bench.log:log", "Appends to the log: one at a time, pipelined, in groups."),
    "prism": ("parallax.bench.prism:prism", "The language alone."),
}


class _Parts(click.Group):
    """Imports a benchmark when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (target, _) in _PARTS.items() if importlib.util.find_spec(target.partition(":")[0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = _PARTS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute, None)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _PARTS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=_Parts)
def bench() -> None:
    """Measures the running system. Say with every figure which machine, and whether the log was flushed to disk."""


@click.command()
@click.option("--executions", type=click.IntRange(1, 1_000_000), default=500, show_default=True, metavar="N")
@click.option("--in-flight", type=click.IntRange(1, 4096), default=16, show_default=True, metavar="C")
@click.option("--agents", type=click.IntRange(1, 256), default=3, show_default=True, metavar="K")
@click.option(
    "--warm-up", type=click.IntRange(0, 1_000_000), default=50, show_default=True, help="Executions before the measure."
)
@json_option
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Measure the stack that runs there; its patterns must hold bench-fanout for as many agents.",
)
def fanout(executions: int, in_flight: int, agents: int, warm_up: int, as_json: bool, data: Path | None) -> int:
    """Measures executions of K parallel tasks that do nothing, C at a time, from publish to completion.

    Starts a stack of its own and throws it away afterwards, unless --data names one that runs.
    """
    from parallax.bench.durability import durability_of
    from parallax.bench.fanout import Figures, measure, write_pattern
    from parallax.stack import embedded

    async def run(url: str, place: Path) -> Figures:
        return await measure(
            url,
            executions=executions,
            in_flight=in_flight,
            agents=agents,
            warm_up=warm_up,
            durability=durability_of(place),
        )

    async def run_throwaway() -> Figures:
        with tempfile.TemporaryDirectory(prefix="parallax-patterns-") as patterns:
            write_pattern(Path(patterns), agents)
            async with embedded(env={"PARALLAX_PATTERNS_DIR": patterns}) as stack:
                return await run(stack.nats_url, stack.data)

    if data is None:
        figures = run_async(run_throwaway())
    else:
        record = running_stack(data)
        if record is None:
            raise UnreachableError(f"no stack is running in {data}; `parallax up --data {data}` starts one")
        figures = run_async(run(record.environ["PARALLAX_NATS_URL"], Path(record.data)))
    if as_json:
        emit_json(figures)
    else:
        click.echo(
            f"{figures.executions_per_s:.0f} executions/s ({figures.events_per_s:.0f} events/s), "
            f"p50 {figures.p50_ms:.1f} ms, p99 {figures.p99_ms:.1f} ms; {in_flight} in flight, "
            f"{agents} agents, durability {figures.durability}"
        )
    return 0
