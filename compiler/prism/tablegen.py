"""Makes `tables.json` from the grammar: `python -m compiler.prism.tablegen > compiler/prism/tables.json`.

The tables ship with the package, so that reading a program needs neither the parser library nor its start-up time; a
test makes them again and compares. Numbers are given out in a fixed order, so the same grammar gives the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, cast

from lark import Lark
from lark.grammar import Rule
from lark.lexer import Lexer, TerminalDef

from compiler.prism.grammar import GRAMMAR

Raw = dict[str, Any]


class _NoTokens(Lexer):
    """A lexer that finds nothing: only the tables are wanted."""

    def __init__(self, _conf: Any) -> None:
        pass

    def lex(self, lexer_state: Any, parser_state: Any) -> Iterator[Any]:
        """Nothing."""
        del lexer_state, parser_state
        return iter(())


def make_tables() -> str:
    """The tables as JSON text: states by number, rules as [origin, size, builder method]."""
    lark = Lark(GRAMMAR, parser="lalr", lexer=_NoTokens, keep_all_tokens=True, maybe_placeholders=False)
    data, memo = cast("tuple[Raw, dict[int, Raw]]", cast(Any, lark).memo_serialize([TerminalDef, Rule]))
    parser: Raw = data["parser"]["parser"]
    names: dict[int, str] = parser["tokens"]
    raw: dict[int, dict[int, tuple[int, Any]]] = parser["states"]
    start: int = parser["start_states"]["start"]
    rules: list[list[Any]] = []
    rule_numbers: dict[str, int] = {}
    order, queue = {start: 0}, [start]
    states: list[dict[str, int]] = []
    while queue:
        state = queue.pop(0)
        row: dict[str, int] = {}
        for number, (action, argument) in sorted(raw[state].items(), key=lambda item: names[item[0]]):
            if action == 0:
                if argument not in order:
                    order[argument] = len(order)
                    queue.append(argument)
                row[names[number]] = order[argument]
            else:
                rule = _rule(memo[argument["@"]])
                key = json.dumps(rule)
                if key not in rule_numbers:
                    rule_numbers[key] = len(rules)
                    rules.append(rule)
                row[names[number]] = -1 - rule_numbers[key]
        states.append(row)
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in states)
    rule_lines = ",\n".join(json.dumps(rule, separators=(",", ":")) for rule in rules)
    return f'{{"rules": [\n{rule_lines}\n],\n"states": [\n{lines}\n]}}\n'


def _rule(raw: Raw) -> list[Any]:
    origin = str(raw["origin"]["name"])
    size = len(raw["expansion"])
    passes_through = raw["alias"] is None and size == 1 and bool(raw["options"]["expand1"])
    return [origin, size, "" if passes_through else raw["alias"] or origin]


if __name__ == "__main__":
    sys.stdout.write(make_tables())
