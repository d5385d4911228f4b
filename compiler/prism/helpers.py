"""The names generated code may use: it runs with these as its globals, and without Python's builtins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.prism import access, operators
from compiler.prism.builtins import BUILTINS
from compiler.prism.errors import Raised, Stop, Thrown
from compiler.prism.operators import bare
from compiler.prism.runtime import ITEM, Runtime, stage
from compiler.prism.values import NUMBER_TEXT, Confident, Fn, U, Writer, kind_of, text_of, truth


def _undefined(name: str) -> Any:
    raise Raised(f"Undefined variable: {name}", code="undefined_name")


def _unset(name: str) -> Any:
    raise Raised(
        f"Cannot access '{name}' before initialization", code="undefined_name", hint="its let or const comes later"
    )


def _held(value: Any, missing: Callable[[str], Any], name: str) -> Any:
    return missing(name) if value is U else value


def _early(name: str) -> None:
    raise Raised(f"Cannot assign to '{name}' before initialization", code="undefined_name")


def _constant(name: str) -> None:
    raise Raised(f"Cannot assign to const variable '{name}'", code="const_assignment", hint="declare it with let")


def _redeclared(name: str) -> None:
    raise Raised(
        f"Variable '{name}' already declared in this scope", code="redeclared", hint="drop the let to assign it"
    )


def _unassignable(runtime: Runtime, name: str) -> None:
    if runtime.lookup(name, BUILTINS) is U:
        raise Raised(f"Undefined variable: {name}", code="undefined_name", hint=f"declare it first: let {name} = ...")
    raise Raised(f"Cannot assign to const variable '{name}'", code="const_assignment", hint="a let may shadow it")


def _global(runtime: Runtime, name: str) -> Any:
    return runtime.lookup(name, BUILTINS)


def _tick(runtime: Runtime) -> None:
    runtime.tick()


def _enter(runtime: Runtime, depth: int) -> None:
    runtime.enter(depth)


def _call(runtime: Runtime, depth: int, function: Any, args: tuple[Any, ...]) -> Any:
    runtime.left -= 2 + (len(args) >> 3)
    return runtime.call(depth, function, args)


def _callee(runtime: Runtime, function: Any, count: int) -> Callable[..., Any]:
    return runtime.callee(function, count)


def _fn(runtime: Runtime, code: Any, required: int, rest: bool, name: str, is_lambda: bool, held: int) -> Fn:
    runtime.charge(ITEM * (4 + 3 * held))
    return Fn(runtime, code, required, rest, name, is_lambda)


def _annotate(function: Fn, confidence: Any) -> Any:
    return operators.attach(function, confidence)


def _array(runtime: Runtime, items: list[Any], size: int) -> list[Any]:
    runtime.charge(ITEM * (size + 1))
    return items


def _object(runtime: Runtime, entries: dict[str, Any], size: int) -> dict[str, Any]:
    runtime.charge(2 * ITEM * (size + 1))
    return entries


def _text(runtime: Runtime, parts: tuple[Any, ...]) -> str:
    writer = Writer(runtime)
    for part in parts:
        if type(part) is str:
            writer.add(part)
        else:
            runtime.left -= NUMBER_TEXT
            writer.value(part)
    text = writer.text()
    runtime.charge(len(text) + 48 if text.isascii() else len(text) * 4 + 48)
    return text


def _fill(box: list[Any], value: Any) -> list[Any]:
    box[0] = value
    return box


def _missing(value: Any) -> bool:
    return bare(value) is None


def _certainty(value: Any) -> float:
    if type(value) is not Confident:
        raise Raised("Uncertain if requires a confidence expression", hint="attach one: (value ~> 0.8)")
    return value.confidence


def _throw(runtime: Runtime, value: Any) -> None:
    runtime.left -= 12
    raise Thrown(value, text_of)


def _caught(runtime: Runtime, failure: Raised) -> Any:
    """What `catch` binds. Unwinding costs some steps for each call on the way."""
    frames, traceback = 0, failure.__traceback__
    while traceback is not None:
        frames, traceback = frames + 1, traceback.tb_next
    runtime.work(8 * frames)
    return failure.value


def _import(runtime: Runtime, depth: int, path: str) -> Any:
    return runtime.import_module(path, depth)


def _imported(module: tuple[dict[str, Any], list[bool]], name: str, path: str) -> Any:
    exports, done = module
    if name in exports:
        return exports[name]
    if not done[0]:
        return None
    what = "no default export" if name == "default" else f"no export named '{name}'"
    raise Raised(f"Module {path} has {what}", code="module")


def _namespace(module: tuple[dict[str, Any], list[bool]]) -> dict[str, Any]:
    return dict(module[0])


def _export(exports: dict[str, Any], name: str, value: Any) -> None:
    exports[name] = value


def _export_all(exports: dict[str, Any], module: tuple[dict[str, Any], list[bool]]) -> None:
    exports.update((name, value) for name, value in module[0].items() if name != "default")


HELPERS: dict[str, Any] = {
    "__builtins__": {}, "T": type, "F": float, "Fn": Fn, "Confident": Confident, "U": U, "Raised": Raised, "Stop": Stop,
    "LEAVE": object(), "AGAIN": object(),
    "r_add": operators.add, "r_sub": operators.subtract, "r_mul": operators.multiply, "r_div": operators.divide,
    "r_mod": operators.modulo, "r_pow": operators.power, "r_lt": operators.less, "r_le": operators.less_equal,
    "r_gt": operators.greater, "r_ge": operators.greater_equal, "r_eq": operators.loosely_equal,
    "r_ne": operators.loosely_different, "r_same": operators.strictly_equal, "r_differ": operators.strictly_different,
    "r_instanceof": operators.instance_of, "r_cadd": operators.confident_add, "r_csub": operators.confident_subtract,
    "r_cmul": operators.confident_multiply, "r_cdiv": operators.confident_divide, "r_ceq": operators.confident_equal,
    "r_cne": operators.confident_different, "r_clt": operators.confident_less, "r_cle": operators.confident_less_equal,
    "r_cge": operators.confident_greater_equal, "r_cand": operators.confident_and, "r_cor": operators.confident_or,
    "r_chain": operators.chain, "r_ccoalesce": operators.confident_coalesce, "r_better": operators.better,
    "r_gate": operators.gate, "r_attach": operators.attach, "r_extract": operators.extract, "r_neg": operators.negative,
    "r_not": operators.logical_not, "r_weigh": operators.weigh, "r_threshold": operators.threshold_gate,
    "r_carry": operators.carry, "r_truth": truth, "r_typeof": kind_of, "r_stage": stage,
    "r_member": access.member, "r_optional": access.optional, "r_careful": access.careful, "r_index": access.index,
    "r_iterate": access.iterate, "r_numbered": access.numbered, "r_spread": access.spread, "r_entries": access.entries,
    "r_parts": access.parts, "r_fields": access.fields, "r_field": access.field, "r_has": access.has,
    "r_level": access.level, "r_above": access.above, "r_enough": access.enough, "r_rest": access.rest,
    "r_others": access.others, "r_match_array": access.match_array, "r_match_object": access.match_object,
    "r_is": access.matches, "r_undefined": _undefined, "r_held": _held, "r_unset": _unset, "r_early": _early,
    "r_constant": _constant, "r_redeclared": _redeclared, "r_unassignable": _unassignable, "r_global": _global,
    "r_tick": _tick,
    "r_enter": _enter, "r_call": _call, "r_callee": _callee, "r_fn": _fn, "r_annotate": _annotate, "r_array": _array,
    "r_object": _object, "r_text": _text, "r_fill": _fill, "r_missing": _missing, "r_certainty": _certainty,
    "r_throw": _throw, "r_caught": _caught, "r_import": _import, "r_imported": _imported,
    "r_namespace": _namespace, "r_export": _export, "r_export_all": _export_all,
}  # fmt: skip
