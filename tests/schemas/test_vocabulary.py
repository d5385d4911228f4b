"""The vocabulary keeps its own rules: names, keys, writers, and the way to JSON and back."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec import inspect

from schemas.base import Model
from schemas.events import ENDINGS, EVENT_TYPES, Event
from scripts.generating.vocabulary import structs

ROOT = Path(__file__).parents[2]
EVENTS = sorted(EVENT_TYPES.values(), key=lambda kind: kind.TYPE)
WRITERS = {path.parent.name for path in (ROOT / "services").glob("*/service.py")}

REGULAR = (
    "requested accepted rejected started claimed paused resumed completed failed cancelled finished finalized "
    "integrated conflicted committed prepared cleaned recorded fired received asked answered spawned stopped"
)
PAST = frozenset(REGULAR.split()) | {"ready", "lost", "set", "retrying", "waiting"}
"""Verbs in the past tense, and the few words that tell a state that has been reached."""

TEXTS = {
    r"^[A-Za-z0-9_-]{1,64}$": "exec-1",
    r"^[A-Za-z0-9_-]{1,128}$": "token_1",
    r"^[A-Za-z][A-Za-z0-9_-]{0,63}$": "writer",
}


def _number(kind: inspect.IntType | inspect.FloatType, usual: float) -> float:
    least = kind.ge if kind.ge is not None else usual
    return min(max(usual, least), kind.le) if kind.le is not None else max(usual, least)


_MAKERS: dict[type[inspect.Type], Callable[[Any], Any]] = {
    inspect.AnyType: lambda _: {"any": [1, None, "ä"]},
    inspect.NoneType: lambda _: None,
    inspect.BoolType: lambda _: True,
    inspect.IntType: lambda kind: int(_number(kind, 3)),
    inspect.FloatType: lambda kind: _number(kind, 0.5),
    inspect.StrType: lambda kind: TEXTS.get(kind.pattern or "", "text"),
    inspect.LiteralType: lambda kind: kind.values[-1],
    inspect.BytesType: lambda _: b"\xff\n",
    inspect.RawType: lambda _: msgspec.Raw(b'{"raw":1}'),
    inspect.ListType: lambda kind: [example(kind.item_type)],
    inspect.DictType: lambda kind: {"key": example(kind.value_type)},
    inspect.UnionType: lambda kind: example(next(one for one in kind.types if not isinstance(one, inspect.NoneType))),
    inspect.StructType: lambda kind: kind.cls(**{field.name: example(field.type) for field in kind.fields}),
    inspect.Metadata: lambda kind: example(kind.type),
}


def example(kind: inspect.Type) -> Any:
    """A value of a type in which no field has its default."""
    return _MAKERS[type(kind)](kind)


def example_of(struct: type[msgspec.Struct]) -> msgspec.Struct:
    """An instance with every field filled."""
    return cast("msgspec.Struct", example(inspect.type_info(struct)))


ALL = sorted(structs().values(), key=lambda struct: struct.__name__)


def test_types_of_events_are_their_own() -> None:
    """No two structs have the same type, and none is left out of the table of types."""

    def below(kind: type[Event]) -> set[type[Event]]:
        return {kind} | {each for child in kind.__subclasses__() for each in below(child)}

    assert below(Event) - {Event} == set(EVENT_TYPES.values())
    assert {kind.TYPE: kind for kind in EVENTS} == EVENT_TYPES
    assert set(EVENT_TYPES) > ENDINGS


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.TYPE)
def test_an_event_is_an_entity_and_what_happened_to_it(kind: type[Event]) -> None:
    """`entity.verb`, the verb in the past tense: the two last tokens of the subject, and the name of the struct."""
    assert re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", kind.TYPE)
    entity, verb = kind.TYPE.split(".")
    assert verb.rpartition("_")[2] in PAST
    assert f"{entity}{verb.replace('_', '')}" == kind.__name__.lower()


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.TYPE)
def test_an_event_names_its_id_its_writer_and_its_version(kind: type[Event]) -> None:
    """The fields of the id exist and are always there; the writers are services; engines alone write executions."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    assert set(kind.KEY) <= set(fields)
    assert kind.VERSION >= 1
    writers = set(kind.WRITER.split("|"))
    assert writers <= WRITERS
    if kind.TYPE.startswith("execution."):
        assert writers == {"pattern_engine"}


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.TYPE)
def test_the_id_tells_one_event_from_another(kind: type[Event]) -> None:
    """Same key, same id whatever else differs; another execution or another key, another id."""
    event = cast("Event", example_of(kind))
    assert event.event_id.startswith(f"exec-1:{kind.TYPE}")
    free = [name for name in event.__struct_fields__ if name not in {"execution_id", *kind.KEY}]
    retold = msgspec.structs.replace(event, **dict.fromkeys(free, "something else"))
    assert free == [] or retold != event
    assert retold.event_id == event.event_id
    assert msgspec.structs.replace(event, execution_id="exec-2").event_id != event.event_id
    for name in kind.KEY:
        value = getattr(event, name)
        other = value + 1 if isinstance(value, int) else f"{value}x"
        assert msgspec.structs.replace(event, **{name: other}).event_id != event.event_id


@pytest.mark.parametrize("struct", ALL, ids=lambda struct: struct.__name__)
def test_a_struct_comes_back_from_json(struct: type[msgspec.Struct]) -> None:
    """Filled to the last field it is the same after JSON, and fields that a reader does not know are ignored."""
    value = example_of(struct)
    text = msgspec.json.encode(value)
    assert msgspec.json.decode(text, type=struct) == value
    more = msgspec.json.encode(msgspec.json.decode(text) | {"a_field_of_tomorrow": {"deep": [1]}})
    assert msgspec.json.decode(more, type=struct) == value


@pytest.mark.parametrize("struct", ALL, ids=lambda struct: struct.__name__)
def test_a_struct_is_frozen_and_explained(struct: type[msgspec.Struct]) -> None:
    """Values are never changed in place, take keywords only, and say what they are."""
    assert issubclass(struct, Model)
    assert struct.__struct_config__.frozen
    assert not struct.__struct_config__.forbid_unknown_fields
    assert all(field.name not in {"self", "cls"} for field in msgspec.structs.fields(struct))
    assert (struct.__doc__ or "").strip().endswith((".", "`.", ":"))
    with pytest.raises(TypeError):
        cast("Callable[[str], object]", struct)("positional")


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.TYPE)
def test_an_event_without_an_execution_is_refused(kind: type[Event]) -> None:
    """Every payload of the log belongs to an execution whose id is one token of a subject."""
    body = msgspec.to_builtins(example_of(kind))
    for bad in ("", "a.b", "a b", "*", ">", "x" * 65, None, 7):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(body | {"execution_id": bad}, kind)
    del body["execution_id"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, kind)


def test_scores_stay_between_0_and_1() -> None:
    """No confidence outside [0, 1] gets into an event, whatever an agent says."""
    scored = [
        (struct, field.name)
        for struct in ALL
        for field in msgspec.structs.fields(struct)
        if field.name in {"confidence", "score", "pass_confidence", "fail_confidence"}
        and "ge=0.0" in str(typing.get_type_hints(struct, include_extras=True)[field.name])
    ]
    assert len(scored) >= 8
    for struct, name in scored:
        body = msgspec.to_builtins(example_of(struct))
        for bad in (1.0001, -0.1, "0.5", True):
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(body | {name: bad}, struct)
