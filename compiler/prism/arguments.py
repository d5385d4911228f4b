"""Arguments of builtins: what they must be, and how their confidence reaches the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from compiler.prism.builtin_names import BUILTIN_ARITIES
from compiler.prism.methods import Args, Run, misuse
from compiler.prism.operators import bare, double, score
from compiler.prism.values import Confident, kind_of

if TYPE_CHECKING:
    from compiler.prism.runtime import Runtime


def array_of(value: Any, message: str) -> list[Any]:
    inner = bare(value)
    if type(inner) is not list:
        raise misuse(message)
    return cast("list[Any]", inner)


def keep(value: Any, result: Any) -> Any:
    """A result with the confidence of what it was made from."""
    return Confident(result, value.confidence) if type(value) is Confident else result


def own_or(value: Any, result: Any) -> Any:
    """A result with its own confidence, or that of what it was made from."""
    return result if type(result) is Confident else keep(value, result)


def wrong(name: str, what: str, value: Any) -> Exception:
    return misuse(f"{name}() requires {what}, got {kind_of(value)}")


def lift(name: str, kinds: tuple[type, ...], what: str, compute: Callable[..., Any]) -> Run:
    """A function of plain values: confidence of its arguments goes to the result, the least of them."""

    least, most = BUILTIN_ARITIES[name]

    def plain(runtime: Runtime, args: Args) -> Any:
        if type(args[0]) is int and float in kinds:
            args = [double(args[0]), *args[1:]]
        if type(args[0]) not in kinds:
            raise wrong(name, what, args[0])
        return compute(runtime, *args)

    def run(runtime: Runtime, _depth: int, args: Args) -> Any:
        if len(args) < least or (most is not None and len(args) > most):
            count(name, args)
        for arg in args:
            if type(arg) is Confident:
                runtime.left -= 8
                return Confident(plain(runtime, [bare(one) for one in args]), min(score(one) for one in args))
        return plain(runtime, args)

    return run


def count(name: str, args: Args) -> None:
    least, most = BUILTIN_ARITIES[name]
    if len(args) < least or (most is not None and len(args) > most):
        wanted = str(least) if least == most else f"{least} to {most}" if most is not None else f"at least {least}"
        raise misuse(f"{name}() requires {wanted} argument{'' if wanted == '1' else 's'}, got {len(args)}")


def whole(name: str, value: Any) -> int:
    if type(value) is not float or not value.is_integer():
        raise misuse(f"{name}() requires whole numbers")
    return int(value)
