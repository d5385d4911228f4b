"""Where the servers' files are, and the proof that they are those of this data directory.

A store that is lost is the log that is lost. So nothing here is ever deleted because a path is gone: a volume that is
not mounted, or a directory that was moved, looks the same. And a store that is not where it was made is refused instead
of made anew. The proof is an id, written beside each server's files and into DATA/run/stores.json.

As a rule the files are in DATA/stores. Where we are root and the servers' user could not enter DATA (root's home is
closed), they are in /var/lib/parallax/stores, with a link to them in DATA.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from parallax.stack.binaries import SYSTEM_STATE, Account, can_reach, system_dir
from parallax.stack.errors import MissingStoreError, UnusableDataError
from schemas.base import Model

_ID = "store-id"
_ORIGIN = "origin"
"""In a store outside of its data directory: the link that leads to it."""


class Made(Model, frozen=True, kw_only=True):
    """What DATA/run/stores.json says: the id of the stores, and the servers that have one."""

    id: str
    parts: list[str] = []


def open_stores(data: Path, account: Account, parts: Sequence[str]) -> Path:
    """The directory with a subdirectory for each of these servers, made where it has never been.

    Raises MissingStoreError where a store was made and is not there, UnusableDataError where two data directories
    claim the same.
    """
    made = _made(data)
    stores = _find(data, account, made)
    known = made.parts if made is not None else [part for part in parts if (stores / part).is_dir()]  # from before ids
    for part in parts:
        place = stores / part
        found = _read(place / _ID)
        if made is not None and part in known and found != made.id:
            raise _missing(data, part, place, found)
    identity = made.id if made is not None else _first([_read(stores / part / _ID) for part in parts]) or _new_id()
    for part in parts:
        place = stores / part
        place.mkdir(mode=0o700, exist_ok=True)
        if _read(place / _ID) != identity:
            _write(place / _ID, identity)
    now = Made(id=identity, parts=sorted({*known, *parts}))
    if now != made:
        _write(data / "run" / "stores.json", msgspec.json.encode(now).decode())
    return stores


def store_place(data: Path, account: Account) -> Path:
    """Where the stores are, or would be; nothing is made."""
    inside = data / "stores"
    if inside.is_symlink() or inside.is_dir() or can_reach(inside, account):
        return inside.resolve()
    return SYSTEM_STATE / "stores"


def _find(data: Path, account: Account, made: Made | None) -> Path:
    inside = data / "stores"
    if inside.is_symlink():
        target = inside.resolve()
        if not target.is_dir():
            raise MissingStoreError(
                f"the stores of {data} are in {target}, which is not there: its volume may not be mounted, or it was"
                f" moved or deleted. Mount it or put it back (if it was moved, point the link {inside} to it);"
                f" {_anew(data)}"
            )
        _claim(inside, target)
        return target
    if inside.is_dir() or can_reach(inside, account):
        if made is not None and made.parts and not inside.is_dir():
            raise _missing(data, made.parts[0], inside / made.parts[0], "")
        inside.mkdir(exist_ok=True)
        if account.is_other:
            inside.chmod(0o755)
        return inside
    if made is not None and made.parts:
        raise _missing(data, made.parts[0], inside / made.parts[0], "")
    target = Path(tempfile.mkdtemp(prefix="stack-", dir=system_dir("stores")))
    target.chmod(0o755)
    (target / _ORIGIN).write_text(str(inside))
    inside.symlink_to(target)
    return target


def _claim(link: Path, target: Path) -> None:
    """Notes which link leads to a store outside. Raises UnusableDataError where another one does and is still there."""
    text = _read(target / _ORIGIN)
    other = Path(text) if text else link
    if other == link:
        return
    with suppress(OSError):
        if other.is_symlink() and other.resolve() == target and not other.parent.samefile(link.parent):
            raise UnusableDataError(
                f"{link.parent} is a copy of {other.parent}: both use the stores in {target}. Give the copy stores of"
                f" its own: stop the other stack, copy {target} and point the link {link} to the copy"
            )
    with suppress(OSError):
        _write(target / _ORIGIN, str(link))


def _missing(data: Path, part: str, place: Path, found: str) -> MissingStoreError:
    if found:
        return MissingStoreError(
            f"{place} holds the files of another stack than {data}: something else is mounted or was copied there. Put"
            f" back what belongs there; {_anew(data)}"
        )
    return MissingStoreError(
        f"the files of {part} for {data} are not in {place}, where they were made: a volume may not be mounted, or they"
        f" were moved or deleted. Mount it or put them back; {_anew(data)}"
    )


def _anew(data: Path) -> str:
    link = f" and {data / 'stores'}" if (data / "stores").is_symlink() else ""
    return f"to begin with an empty log instead, without what was before, delete {data / 'run' / 'stores.json'}{link}"


def remove_data(data: Path) -> None:
    """Deletes a data directory that no stack runs in, with the stores that it has elsewhere."""
    inside = data / "stores"
    if inside.is_symlink():
        target = inside.resolve()
        if target.parent == SYSTEM_STATE / "stores" and _read(target / _ORIGIN) == str(inside):
            shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)


def is_data_directory(data: Path) -> bool:
    """Whether a stack has been here."""
    return any((data / "run" / name).is_file() for name in ("stores.json", "stack.json", "ports.json"))


def strays() -> list[tuple[Path, str]]:
    """Stores in the system's directory that no link leads to, each with where that link was. They may be wanted."""
    found: list[tuple[Path, str]] = []
    with suppress(OSError):
        for place in sorted((SYSTEM_STATE / "stores").iterdir()):
            origin = _read(place / _ORIGIN)
            if origin and not (Path(origin).is_symlink() and Path(origin).resolve() == place):
                found.append((place, str(Path(origin).parent)))
    return found


def _made(data: Path) -> Made | None:
    place = data / "run" / "stores.json"
    try:
        return msgspec.json.decode(place.read_bytes(), type=Made)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        raise UnusableDataError(
            f"{place} cannot be read as JSON; restore it, or delete it if the stores are there"
        ) from None


def _first(texts: Sequence[str]) -> str:
    return next((text for text in texts if text), "")


def _new_id() -> str:
    return secrets.token_hex(16)


def _read(place: Path) -> str:
    try:
        return place.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _write(place: Path, text: str) -> None:
    """Writes a small file so that it is there whole, or as it was."""
    fresh = place.with_name(place.name + ".new")
    with fresh.open("w", encoding="utf-8") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(place)
