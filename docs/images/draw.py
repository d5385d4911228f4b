"""Runs the demo on a stack of its own and draws what a terminal shows at its end, as an SVG without foreign fonts."""

from __future__ import annotations

import asyncio
import io
import re
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

import parallax
from parallax.cli.card import print_card
from parallax.cli.progress import Progress
from parallax.cli.render import progress_table
from parallax.demo import make_repository
from parallax.stack import embedded

TARGET = Path(__file__).with_name("demo.svg")
_WIDTH = 116


async def main() -> None:
    """The demo's execution under a name that does not change, from its log to a picture."""
    with tempfile.TemporaryDirectory(prefix="picture-") as place:
        repository = Path(place) / "parcels"
        make_repository(repository)
        async with embedded(data=Path(place) / "data") as stack, parallax.connect(stack.nats_url) as px:
            execution = await px.request("demo-tidy", repo=str(repository), id="tidy-1")
            events = [event async for event in execution.events()]
            report = await execution.replay()
    progress = Progress()
    for event in events:
        progress.apply(event)
    out = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    out.print(Text("$ scripts/demo", style="bold"))
    out.print(progress_table(progress, events[-1].time))
    print_card(out, progress, events[-1])
    verdict = ("identical", "bold green") if report.identical else ("differs", "bold red")
    out.print(Text.assemble("Replay of the log: ", verdict, f" ({report.effects} effects)"))
    svg = out.export_svg(title="parallax", theme=MONOKAI, unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")
    TARGET.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE), encoding="utf-8")


asyncio.run(main())
