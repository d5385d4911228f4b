"""A message as it came from the server, before anybody has read its body."""

from __future__ import annotations


class RawMessage:
    """Subject, reply subject, headers and payload. A status (404, 408, 503, …) is the server's own word."""

    __slots__ = ("headers", "payload", "reply", "subject")

    def __init__(self, subject: str, reply: str, headers: dict[str, str] | None, payload: bytes) -> None:
        self.subject = subject
        self.reply = reply
        self.headers = headers or {}
        self.payload = payload

    @property
    def status(self) -> int:
        """The status code, or 0 for an ordinary message."""
        code = self.headers.get("Status", "")
        return int(code) if code.isdigit() else 0

    @property
    def status_text(self) -> str:
        """The words after the status code."""
        return self.headers.get("Description", "")

    def header(self, name: str) -> str:
        """The value of a header by its exact name, or an empty text."""
        return self.headers.get(name, "")
