"""Lines of a program and the names in it: what is written down while an org chart is lowered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from compiler.patterns.literals import identifier
from compiler.patterns.model import Step
from compiler.patterns.places import Place, Variable


class Writer:
    """Collects lines, gives out names, and keeps variables and their containers in step. `taken` cannot be names."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._lines: list[str] = []
        self._used: set[str] = set(taken)

    def _emit(self, indent: str, line: str) -> None:
        self._lines.append(f"{indent}{line}" if line else "")

    def _allocate(self, wanted: str, otherwise: str) -> str:
        base = identifier(wanted)
        candidates = [base, identifier(f"{base}_{otherwise}")]
        name = next((word for word in candidates if word not in self._used), None)
        number = 2
        while name is None:
            word = f"{base}_{otherwise}_{number}"
            name, number = (word if word not in self._used else None), number + 1
        self._used.add(name)
        return name

    def _variable_name(self, step: Step) -> str:
        wanted = step.id if step.explicit else f"{step.id}_result"
        return self._allocate(wanted, "step" if step.explicit else "value")

    def _set(self, variable: Variable, code: str, place: Place) -> Variable:
        """Gives a variable a new value; a variable of another branch gets a copy of its own here instead."""
        if variable.function == place.function:
            self._emit(place.indent, f"{variable.code} = {code}")
            return variable
        copy = replace(variable, code=self._allocate(variable.code, "revised"), function=place.function, parent=None)
        self._emit(place.indent, f"let {copy.code} = {code}")
        place.know(copy)
        return copy

    def _refresh(self, variable: Variable, place: Place) -> None:
        for child in variable.children:
            self._refresh(self._set(child, element(variable, child.index), place), place)

    def _update_parent(self, variable: Variable, place: Place) -> None:
        parent = variable.parent
        if parent is not None and parent.function == place.function:
            self._emit(place.indent, f"{parent.code} = replaceAt({parent.code}, [{variable.index}], {variable.code})")
            self._update_parent(parent, place)

    def _make_again(self, revised: list[Variable], place: Place) -> None:
        """Makes the aggregates of revised steps anew, and the aggregates of those; one that has not run stays so."""
        changed = {code for one in revised if one.function == place.function for code in _family(one)}
        known = {one.code: one for one in place.variables.values() if one.made_of and one.function == place.function}
        for variable in sorted(known.values(), key=lambda one: one.number):
            if changed.isdisjoint(variable.made_of):
                continue
            changed.add(variable.code)
            again = f"{variable.code} = {variable.made_by}"
            guarded = variable.shape.nullable
            self._emit(place.indent, f"if ({variable.code} != null) {{ {again} }}" if guarded else again)


def _family(variable: Variable) -> set[str]:
    """The variables that change with one: the containers that it is in, and what is in it."""
    found, waiting = {variable.code}, [variable]
    while waiting:
        children = waiting.pop().children
        found |= {one.code for one in children}
        waiting += children
    parent = variable.parent
    while parent is not None:
        found.add(parent.code)
        parent = parent.parent
    return found


def element(container: Variable, position: int) -> str:
    """An element of a composite step's array; of one that may have failed there may be no array."""
    sure = container.shape.kind == "list" and not container.shape.nullable
    return f"{container.code}[{position}]" if sure else f"elementOf({container.code}, {position})"
