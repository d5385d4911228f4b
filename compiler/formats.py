"""The `format` keyword of JSON Schema, strictly: each format is what its standard says, and nothing that looks like it.

The checkers of `jsonschema` were considered: those that need no further packages take `"@"` for an email and any text
for a time, and the packages behind the others are not kept up. These give what the JSON Schema test suite expects.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date as calendar_date
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from compiler.regular_expressions import BadExpression, compiled

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))")
_DURATION = re.compile(
    r"P(?!$)(?:[0-9]+W|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)?"
    r"(?:T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S))?)"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~])*"')
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_URI_TEXT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]|%[0-9A-Fa-f]{2})*")
_USER = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*")
_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
_FUTURE = re.compile(r"[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+")
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")


def has_format(name: str, value: str) -> bool:
    """Whether a text has a format of `FORMATS`."""
    return _CHECKS[name](value)


def is_date(value: str) -> bool:
    """RFC 3339 `full-date`: a day that the calendar has."""
    if _DATE.fullmatch(value) is None:
        return False
    try:
        calendar_date(int(value[:4]) or 4, int(value[5:7]), int(value[8:]))  # there is a year 0, a leap year
    except ValueError:
        return False
    return True


def is_time(value: str) -> bool:
    """RFC 3339 `full-time`: with an offset; a second 60 only where the minute is the last one of a day in UTC."""
    found = _TIME.fullmatch(value)
    if found is None:
        return False
    hour, minute, second = int(found[1]), int(found[2]), int(found[3])
    away_hours, away_minutes = int(found[5] or 0), int(found[6] or 0)
    if hour > 23 or minute > 59 or second > 60 or away_hours > 23 or away_minutes > 59:
        return False
    if second < 60:
        return True
    away = (away_hours * 60 + away_minutes) * (-1 if found[4] == "-" else 1)
    return (hour * 60 + minute - away) % 1440 == 1439


def is_date_time(value: str) -> bool:
    """RFC 3339 `date-time`: a date, `T`, and a time with an offset."""
    return value[10:11] in {"T", "t"} and is_date(value[:10]) and is_time(value[11:])


def is_hostname(value: str) -> bool:
    """RFC 1123: labels of letters, digits and inner hyphens, 63 at most, 253 in all; `xn--` labels decode."""
    labels = value.split(".")
    return len(value) <= 253 and all(_LABEL.fullmatch(label) and _decodes(label) for label in labels)


def _decodes(label: str) -> bool:
    if label[:4].lower() != "xn--":
        return True
    try:
        return bool(label[4:]) and not label[4:].encode().decode("punycode").isascii()
    except UnicodeError:
        return False


def is_ipv4(value: str) -> bool:
    """Four decimal numbers without leading zeros."""
    try:
        IPv4Address(value)
    except AddressValueError:
        return False
    return value.isascii()


def is_ipv6(value: str) -> bool:
    """RFC 4291, without a zone."""
    try:
        IPv6Address(value)
    except AddressValueError:
        return False
    return value.isascii() and "%" not in value


def is_email(value: str) -> bool:
    """RFC 5321 `Mailbox`: an atom or a quoted text, at most 64 characters, and a host or a bracketed address."""
    local, at, domain = value.rpartition("@")
    if not at or len(local) > 64 or not (_ATOM.fullmatch(local) or _QUOTED.fullmatch(local)):
        return False
    if domain.startswith("[") and domain.endswith("]"):
        inner = domain[1:-1]
        return is_ipv6(inner[5:]) if inner[:5].lower() == "ipv6:" else is_ipv4(inner)
    return is_hostname(domain)


def is_uri(value: str) -> bool:
    """RFC 3986 `URI`: with a scheme, and every character one that a URI may hold."""
    scheme, colon, rest = value.partition(":")
    return bool(colon) and _SCHEME.fullmatch(scheme) is not None and is_uri_reference(f"x:{rest}")


def is_uri_reference(value: str) -> bool:
    """RFC 3986 `URI-reference`: a URI, or what is relative to one."""
    before, hash_, fragment = value.partition("#")
    path, _, query = before.partition("?")
    scheme, colon, rest = path.partition(":")
    if colon and _SCHEME.fullmatch(scheme):
        path = rest
    elif colon and "/" not in scheme:
        return False
    if path.startswith("//"):
        authority, slash, path = path[2:].partition("/")
        path = slash + path
        if not _is_authority(authority):
            return False
    parts = [path, query, *([fragment] if hash_ else [])]
    return all(_URI_TEXT.fullmatch(part) and not {"[", "]", "#"} & set(part) for part in parts)


def _is_authority(text: str) -> bool:
    user, at, host = text.rpartition("@")
    if at and not _USER.fullmatch(user):
        return False
    if host.startswith("["):
        inner, bracket, port = host[1:].partition("]")
        fits = bool(bracket) and (is_ipv6(inner) or _FUTURE.fullmatch(inner) is not None)
        return fits and (not port or (port[0] == ":" and (port[1:].isdigit() or port == ":") and port.isascii()))
    name, colon, port = host.partition(":")
    return _HOST.fullmatch(name) is not None and (not colon or not port or (port.isascii() and port.isdigit()))


def _is_regex(value: str) -> bool:
    try:
        compiled(value)
    except BadExpression:
        return False
    return True


_CHECKS: dict[str, Callable[[str], bool]] = {
    "date": is_date,
    "date-time": is_date_time,
    "time": is_time,
    "duration": lambda value: _DURATION.fullmatch(value) is not None,
    "email": is_email,
    "hostname": is_hostname,
    "uri": is_uri,
    "uri-reference": is_uri_reference,
    "uuid": lambda value: _UUID.fullmatch(value) is not None,
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "json-pointer": lambda value: _POINTER.fullmatch(value) is not None,
    "regex": _is_regex,
}

FORMATS = tuple(_CHECKS)
"""The formats that are checked. Another one is refused when a pattern is read."""
