"""Whether a shell command tells with its exit status how the programs in it ended.

`pytest | tail -5` ends with the status of `tail`, `pytest || true` and `pytest; echo done` always with 0: a check that
is written so passes whatever it finds. The reader knows as much of the shell's grammar as it takes to tell such
commands from those that only look alike (`! grep -q bad f`, `cat f | grep -q x`, `set -e`, `pytest; exit $?`). What it
cannot read it finds nothing wrong with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from schemas.base import Model

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})

_ALWAYS_0 = frozenset({
    "true", ":", "echo", "printf", "cat", "tail", "head", "ls", "sleep", "date", "touch", "rm", "mkdir", "tee",
    "logger", "cd", "pwd", "export", "unset", "set", "shopt", "trap", "wait", "jobs", "kill", "umask", "ulimit",
    "alias", "readonly", "local", "declare", "typeset", "read", "source", ".", "cp", "mv", "ln", "chmod", "sync",
    "clear", "env", "hash", "pushd", "popd",
})  # fmt: skip
"""Commands whose own status says nothing about a check: they only print, tidy up or set something."""

_PRINTERS = frozenset(["echo", "printf", "true", ":", "yes", "seq"])
_READERS = _PRINTERS | frozenset({
    "cat", "ls", "find", "git", "head", "tail", "sed", "awk", "grep", "egrep", "fgrep", "rg", "sort", "uniq", "wc",
    "cut", "tr", "jq", "xargs", "nl", "tac", "rev", "comm", "paste", "column", "cd", "basename", "dirname",
    "realpath", "readlink", "stat", "du", "df", "ps", "env", "date", "sha256sum", "md5sum", "sha1sum", "base64",
    "xxd", "od", "strings", "zcat",
})  # fmt: skip
"""Commands that hand on what is there. What decides is whoever reads it, if that is a command that decides."""

_PASS_ON = frozenset({
    "tail", "head", "cat", "tee", "sed", "awk", "gawk", "sort", "uniq", "less", "more", "ts", "tr", "cut", "wc",
    "nl", "fold", "fmt", "column", "tac", "rev", "logger", "pr", "xargs", "strings", "cd", "true", ":", "echo",
    "printf",
})  # fmt: skip
"""Commands at the end of a pipe whose status has nothing to do with what they read."""

_WRAPPERS = frozenset(
    ["time", "env", "timeout", "nohup", "nice", "ionice", "exec", "command", "builtin", "stdbuf", "sudo", "setsid"]
)
_ASSIGNMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\+?=")
_STATUS = re.compile(r"\$\?|\$\{?PIPESTATUS|\$\{?pipestatus")
_SUBSTITUTION = re.compile(r"\$\((?!\()|`")


class HiddenStatus(Model, frozen=True, kw_only=True):
    """A place where a status is lost. `at` and `text` are the part of the command that loses it, `hint` is the cure."""

    at: int
    text: str
    why: str
    hint: str


# -- reading -------------------------------------------------------------------------------------------------------


class _Word(msgspec.Struct, frozen=True):
    kind: Literal["word", "op", "end"]
    text: str
    at: int
    quoted: bool = False


class _Simple(msgspec.Struct, frozen=True):
    """One command with its words."""

    words: tuple[_Word, ...]
    at: int
    end: int


class _Compound(msgspec.Struct, frozen=True):
    """A group, loop, condition or case. `lists` are its parts in order; what each is for follows from the kind."""

    kind: Literal["group", "if", "loop", "case", "function"]
    lists: tuple[_List, ...]
    at: int
    end: int
    has_else: bool = False


class _Pipe(msgspec.Struct, frozen=True):
    """Commands joined by `|`."""

    parts: tuple[_Simple | _Compound, ...]
    negated: bool
    at: int
    end: int


class _Chain(msgspec.Struct, frozen=True):
    """Pipes joined by `&&` and `||`. `ending` is what stands after it: `;`, a new line, `&` or nothing."""

    pipes: tuple[_Pipe, ...]
    joins: tuple[str, ...]
    ending: str


class _List(msgspec.Struct, frozen=True):
    chains: tuple[_Chain, ...]


class _UnreadableError(Exception):
    """The text is more than this reader knows."""


_OPERATOR = re.compile(r"&&|\|\||;;&|;;|;&|\|&|&>>?|[0-9]*(?:<<<|<<-?|>>|>\||<>|[<>]&|[<>])|[|&;()]")
_PLAIN = re.compile(r"[^\s|&;()<>'\"\\$`#]+")
_BLANK = re.compile(r"(?:[ \t]|\\\n)+")


class _Scanner:
    """Cuts a command into words and operators; quotes, substitutions and here-documents stay inside their word."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._heredocs: list[tuple[str, bool]] = []

    def words(self) -> list[_Word]:
        """All of them, with one at the end."""
        found: list[_Word] = []
        while True:
            self._skip()
            if self._at >= len(self._text):
                found.append(_Word("end", "", len(self._text)))
                return found
            found.append(self._next(found))

    def _skip(self) -> None:
        while (blank := _BLANK.match(self._text, self._at)) is not None:
            self._at = blank.end()
        if self._text.startswith("#", self._at):
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end

    def _next(self, before: list[_Word]) -> _Word:
        at = self._at
        if self._text[at] == "\n":
            self._at += 1
            self._here_documents()
            return _Word("op", "\n", at)
        if (operator := _OPERATOR.match(self._text, at)) is not None:
            self._at = operator.end()
            return _Word("op", operator[0], at)
        word = self._word()
        if before and before[-1].kind == "op" and before[-1].text.lstrip("0123456789") in ("<<", "<<-"):
            self._heredocs.append((re.sub(r"['\"\\]", "", word.text), before[-1].text.endswith("-")))
        return word

    def _word(self) -> _Word:
        at, quoted = self._at, False
        while self._at < len(self._text) and not self._text[self._at].isspace():
            letter = self._text[self._at]
            if letter in "|&;()<>":
                break
            if letter in "'\"\\`":
                quoted = True
            self._piece(letter)
        return _Word("word", self._text[at : self._at], at, quoted)

    def _piece(self, letter: str) -> None:
        text = self._text
        if letter == "'":
            self._at = self._find("'", self._at + 1) + 1
        elif letter == '"':
            self._double()
        elif letter == "\\":
            self._at += 2
        elif letter == "`":
            self._at = self._find("`", self._at + 1) + 1
        elif text.startswith("$(", self._at):
            self._at = self._closing(self._at + 2)
        elif text.startswith("${", self._at):
            self._at = self._find("}", self._at + 2) + 1
        elif (plain := _PLAIN.match(text, self._at)) is not None:
            self._at = plain.end()
        else:
            self._at += 1

    def _double(self) -> None:
        self._at += 1
        while self._at < len(self._text) and self._text[self._at] != '"':
            if self._text[self._at] == "\\":
                self._at += 2
            elif self._text.startswith("$(", self._at):
                self._at = self._closing(self._at + 2)
            else:
                self._at += 1
        if self._at >= len(self._text):
            raise _UnreadableError
        self._at += 1

    def _closing(self, at: int) -> int:
        """The place after the parenthesis that closes what was opened before `at`."""
        self._at, depth = at, 1
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter in "()":
                depth += 1 if letter == "(" else -1
                self._at += 1
                if not depth:
                    return self._at
            else:
                self._piece(letter)
        raise _UnreadableError

    def _find(self, what: str, at: int) -> int:
        found = self._text.find(what, at)
        if found < 0:
            raise _UnreadableError
        return found

    def _here_documents(self) -> None:
        while self._heredocs:
            mark, tabs = self._heredocs.pop(0)
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line, self._at = self._text[self._at : end], min(end + 1, len(self._text))
                if (line.lstrip("\t") if tabs else line) == mark:
                    break


_STARTS: dict[str, str] = {"{": "}", "(": ")"}
_RESERVED_ENDS = frozenset({"}", "then", "else", "elif", "fi", "do", "done", "esac"})


class _Parser:
    """Reads words as lists of commands, by recursive descent as the shell's own grammar does."""

    def __init__(self, words: list[_Word]) -> None:
        self._words = words
        self._at = 0

    def whole(self) -> _List:
        """The command. Raises _UnreadableError for what is not understood."""
        found = self._list()
        if self._now.kind != "end":
            raise _UnreadableError
        return found

    @property
    def _now(self) -> _Word:
        return self._words[self._at]

    def _take(self) -> _Word:
        word = self._now
        self._at += word.kind != "end"
        return word

    def _is(self, *texts: str) -> bool:
        return self._now.kind != "end" and not self._now.quoted and self._now.text in texts

    def _expect(self, *texts: str) -> _Word:
        if not self._is(*texts):
            raise _UnreadableError
        return self._take()

    def _list(self) -> _List:
        chains: list[_Chain] = []
        while True:
            while self._is(";", "\n"):
                self._take()
            if self._now.kind == "end" or self._is(")", ";;", ";&", ";;&") or self._is(*_RESERVED_ENDS):
                return _List(tuple(chains))
            chains.append(self._chain())

    def _chain(self) -> _Chain:
        pipes, joins = [self._pipe()], list[str]()
        while self._is("&&", "||"):
            joins.append(self._take().text)
            while self._is("\n"):
                self._take()
            pipes.append(self._pipe())
        ending = self._take().text if self._is(";", "\n", "&") else ""
        return _Chain(tuple(pipes), tuple(joins), ending)

    def _pipe(self) -> _Pipe:
        at, negated = self._now.at, False
        while self._is("!"):
            self._take()
            negated = not negated
        parts = [self._command()]
        while self._is("|", "|&"):
            self._take()
            while self._is("\n"):
                self._take()
            parts.append(self._command())
        return _Pipe(tuple(parts), negated, at, parts[-1].end)

    def _command(self) -> _Simple | _Compound:
        at = self._now.at
        if self._is("{", "("):
            closing = _STARTS[self._take().text]
            inner = (self._list(),)
            return self._ended("group", inner, at, self._expect(closing))
        if self._is("if"):
            return self._if(at)
        if self._is("while", "until"):
            self._take()
            condition = self._list()
            return self._body("loop", (condition,), at)
        if self._is("for", "select"):
            while not self._is("do"):
                if self._now.kind == "end":
                    raise _UnreadableError
                self._take()
            return self._body("loop", (), at)
        if self._is("case"):
            return self._case(at)
        if self._is("[[", "((", "function"):
            return self._bracketed(at)
        return self._simple(at)

    def _ended(
        self, kind: Literal["group", "loop", "case"], lists: tuple[_List, ...], at: int, last: _Word
    ) -> _Compound:
        end = last.at + len(last.text)
        while self._now.kind == "op" and re.search(r"[<>]", self._now.text):
            self._take()
            end = self._now.at + len(self._now.text)
            self._take()
        return _Compound(kind, lists, at, end)

    def _body(self, kind: Literal["loop"], before: tuple[_List, ...], at: int) -> _Compound:
        self._expect("do")
        body = self._list()
        return self._ended(kind, (*before, body), at, self._expect("done"))

    def _if(self, at: int) -> _Compound:
        self._take()
        lists, has_else = [self._list()], False
        self._expect("then")
        lists.append(self._list())
        while self._is("elif"):
            self._take()
            lists.append(self._list())
            self._expect("then")
            lists.append(self._list())
        if self._is("else"):
            self._take()
            has_else = True
            lists.append(self._list())
        last = self._expect("fi")
        ended = self._ended("group", tuple(lists), at, last)
        return _Compound("if", ended.lists, at, ended.end, has_else)

    def _case(self, at: int) -> _Compound:
        self._take()
        self._take()
        while self._is("\n"):
            self._take()
        self._expect("in")
        lists: list[_List] = []
        while not self._is("esac"):
            while not self._is(")", "esac"):
                if self._now.kind == "end":
                    raise _UnreadableError
                self._take()
            if self._is(")"):
                self._take()
                lists.append(self._list())
                while self._is(";;", ";&", ";;&", "\n"):
                    self._take()
        return self._ended("case", tuple(lists), at, self._expect("esac"))

    def _bracketed(self, at: int) -> _Simple:
        words = [self._take()]
        if words[0].text == "function":
            raise _UnreadableError
        while not self._is("]]", "))"):
            if self._now.kind == "end":
                raise _UnreadableError
            words.append(self._take())
        words.append(self._take())
        return _Simple((_Word("word", "[[", at),), at, words[-1].at + 2)

    def _simple(self, at: int) -> _Simple | _Compound:
        words: list[_Word] = []
        end = at
        while self._now.kind == "word" or (self._now.kind == "op" and re.search(r"[<>]", self._now.text)):
            word = self._take()
            end = word.at + len(word.text)
            if word.kind == "word":
                words.append(word)
            elif self._now.kind == "word":
                target = self._take()
                end = target.at + len(target.text)
        if self._is("(") and len(words) == 1:  # a function: what it does is judged where it is called, as unknown
            self._take()
            self._expect(")")
            while self._is("\n"):
                self._take()
            self._command()
            return _Compound("function", (), at, self._words[self._at - 1].at + 1)
        if not words and end == at:
            raise _UnreadableError
        return _Simple(tuple(words), at, end)


# -- judging -------------------------------------------------------------------------------------------------------


class _Judge:
    """Walks through the lists of a command and notes where a status is lost."""

    def __init__(self, text: str, *, errexit: bool, pipefail: bool) -> None:
        self._text = text
        self._errexit = errexit
        self._pipefail = pipefail
        self.found: list[HiddenStatus] = []

    def list_(self, given: _List, *, decides: bool = True) -> None:
        """A list: the status of all but the last command is dropped, unless something sees to it."""
        chains = given.chains
        for number, chain in enumerate(chains):
            self._options(chain)
            last = number == len(chains) - 1
            after = chains[number + 1] if not last else None
            rest = chains[number + 1 :]
            if chain.ending == "&":
                if all(self._tells_nothing(one) for one in rest):
                    self._note(chain.pipes[-1], chain, "runs in the background and its exit status is dropped", _WAIT)
                continue
            self._chain(chain, decides=decides and last, tested=after is not None and self._mentions_status(after))
            if last or self._tells_nothing(chain) or (after is not None and self._mentions_status(after)):
                continue
            if self._is_enforced(chain) or self._always_leaves(chain):
                continue
            if all(self._tells_nothing(one) for one in rest):
                why = f"is followed by `{self._shown(rest[-1])}`, which ends with 0 whatever came before"
            else:
                why = "is not the last command, so its exit status is dropped"
            self._note(chain.pipes[0], chain, why, _AND)

    def _chain(self, chain: _Chain, *, decides: bool, tested: bool) -> None:
        for pipe in chain.pipes:
            self._pipe(pipe, decides=decides, tested=tested)
        for number, join in enumerate(chain.joins):
            saved = chain.pipes[number + 1 :]
            if join == "||" and not tested and self._ends_well(_Chain(saved, chain.joins[number + 1 :], "")):
                meant = [pipe for pipe in chain.pipes[: number + 1] if not self._nothing(pipe)]
                if meant:
                    lost = f"|| {self._text[saved[0].at : saved[-1].end]}"
                    self._add(saved[0].at - 3, lost, "turns every exit status into 0", _WITHOUT)
                return

    def _pipe(self, pipe: _Pipe, *, decides: bool, tested: bool) -> None:
        for part in pipe.parts:
            if isinstance(part, _Compound):
                self._compound(part, decides=decides)
            else:
                self._inner_shell(part)
        if len(pipe.parts) > 1 and not self._pipefail and not tested and self._loses(pipe):
            lost = f"| {self._text[pipe.parts[-1].at : pipe.parts[-1].end]}"
            self._add(pipe.parts[-1].at, lost, "gives the pipe its own exit status", _PIPEFAIL)

    def _loses(self, pipe: _Pipe) -> bool:
        names = [_name(part) for part in pipe.parts]
        allowed = _PRINTERS if names[-1] in _PASS_ON else _READERS
        return any(name not in allowed for name in names[:-1])

    def _compound(self, part: _Compound, *, decides: bool) -> None:
        before = self._errexit, self._pipefail
        if part.kind == "if":
            self._condition(part, decides=decides)
        elif part.kind == "loop":
            self._loop(part)
        else:
            for inner in part.lists:
                self.list_(inner, decides=decides)
        if self._text[part.at : part.at + 1] == "(":
            self._errexit, self._pipefail = before

    def _condition(self, part: _Compound, *, decides: bool) -> None:
        branches = part.lists[1::2] + ((part.lists[-1],) if part.has_else else ())
        for branch in branches:
            self.list_(branch, decides=decides)
        meant = [one for one in part.lists[0].chains if not self._tells_nothing(one)]
        if not decides or not meant or any(self._always_fails(one) for one in part.lists[1::2]):
            return
        if not part.has_else or not self._can_fail(part.lists[-1]):
            self._add(part.at, self._text[part.at : part.end], "ends with 0 where its condition does not hold", _ELSE)

    def _loop(self, part: _Compound) -> None:
        body = part.lists[-1]
        self.list_(body, decides=False)
        if self._errexit or not body.chains:
            return
        last = body.chains[-1]
        if self._tells_nothing(last) or self._is_enforced(last) or self._always_leaves(last):
            return
        if any(self._mentions_status(chain) for chain in body.chains):
            return
        self._note(last.pipes[0], last, "is run in a loop, of which only the last round gives its exit status", _LOOP)

    def _inner_shell(self, part: _Simple) -> None:
        words = [_unquoted(word.text) for word in part.words]
        while words and (_ASSIGNMENT.match(words[0]) or words[0] in _WRAPPERS):
            words = words[1:]
        if len(words) > 2 and words[0].rpartition("/")[2] in _SHELLS:
            inner = hidden_status(words)
            if inner is not None:
                self._add(part.at, inner.text, inner.why, inner.hint)

    def _options(self, chain: _Chain) -> None:
        for pipe in chain.pipes:
            for part in pipe.parts:
                words = [_unquoted(word.text) for word in part.words] if isinstance(part, _Simple) else []
                if words[:1] == ["set"]:
                    self._errexit, self._pipefail = _set_options(words[1:], self._errexit, self._pipefail)
                elif words[:1] == ["trap"] and any(re.search(r"\bexit 0\b", word) for word in words[1:]):
                    self._add(part.at, self._text[part.at : part.end], "ends the command with 0", _WITHOUT)

    # -- what commands are like ----------------------------------------------------------------------------------------

    def _nothing(self, pipe: _Pipe) -> bool:
        """Whether the status of a pipe says nothing about a check."""
        return all(self._part_tells_nothing(part) for part in pipe.parts)

    def _part_tells_nothing(self, part: _Simple | _Compound) -> bool:
        if isinstance(part, _Compound):
            return part.kind == "function" or all(self._tells_nothing(c) for one in part.lists for c in one.chains)
        name = _name(part)
        if name == "wait" and len(part.words) > 1:
            return False
        if name in ("", *_ALWAYS_0):
            inner = any(_SUBSTITUTION.search(word.text) for word in part.words)
            return not inner or name in ("cd", "kill", "wait", "export")
        return name in ("exit", "return")

    def _tells_nothing(self, chain: _Chain) -> bool:
        return all(self._nothing(pipe) for pipe in chain.pipes)

    def _mentions_status(self, chain: _Chain) -> bool:
        return _STATUS.search(self._text[chain.pipes[0].at : chain.pipes[-1].end]) is not None

    def _is_enforced(self, chain: _Chain) -> bool:
        """Whether `set -e` ends the command where the chain fails: for a chain of `&&` only by its last part."""
        if not self._errexit or chain.pipes[-1].negated:
            return False
        return all(self._nothing(pipe) for pipe in chain.pipes[:-1]) or "&&" not in chain.joins

    def _always_leaves(self, chain: _Chain) -> bool:
        """`… || exit 1`: a failure ends the command."""
        return bool(chain.joins) and chain.joins[-1] == "||" and self._pipe_fails(chain.pipes[-1])

    def _ends_well(self, chain: _Chain) -> bool:
        """Whether what stands right of `||` ends with 0 in any case."""
        return not any(self._pipe_fails(pipe) for pipe in chain.pipes) and self._tells_nothing(chain)

    def _pipe_fails(self, pipe: _Pipe) -> bool:
        part = pipe.parts[-1]
        if isinstance(part, _Compound):
            return part.kind == "group" and any(self._always_fails(one) for one in part.lists)
        words = [_unquoted(word.text) for word in part.words]
        if words[:1] == ["false"]:
            return True
        return words[:1] in (["exit"], ["return"], ["break"]) and words[1:2] != ["0"]

    def _always_fails(self, given: _List) -> bool:
        return any(self._pipe_fails(chain.pipes[-1]) for chain in given.chains)

    def _can_fail(self, given: _List) -> bool:
        return self._always_fails(given) or not all(self._tells_nothing(chain) for chain in given.chains)

    # -- words ---------------------------------------------------------------------------------------------------------

    def _shown(self, chain: _Chain) -> str:
        return self._text[chain.pipes[0].at : chain.pipes[-1].end][:60]

    def _note(self, pipe: _Pipe, chain: _Chain, why: str, hint: str) -> None:
        self._add(pipe.at, self._shown(chain), why, hint)

    def _add(self, at: int, text: str, why: str, hint: str) -> None:
        shown = " ".join(text.split())
        self.found.append(HiddenStatus(at=max(0, at), text=shown[:80], why=why, hint=hint))


_PIPEFAIL = 'Leave the pipe out, or use bash with pipefail: run: [bash, -o, pipefail, -c, "…"].'
_AND = "Join the commands with &&, or begin with `set -e`."
_WITHOUT = "Leave it out: the exit status is what the check says."
_WAIT = "Leave the `&` out, or `wait` for that process by its id as the last command."
_ELSE = "Add an `else` that fails, or write the check without the condition."
_LOOP = "Add `|| exit 1` in the loop, or begin with `set -e`."


def _name(part: _Simple | _Compound) -> str:
    """The program of a command, past assignments and the likes of `env` and `timeout 5`. Empty: there is none."""
    if isinstance(part, _Compound):
        return f"({part.kind})"
    words = [_unquoted(word.text) for word in part.words]
    while words:
        if _ASSIGNMENT.match(words[0]):
            if _SUBSTITUTION.search(words[0]) and len(words) == 1:
                return "$("
            words = words[1:]
        elif words[0] in _WRAPPERS and len(words) > 1:
            words = words[1:]
            while words and (words[0].startswith("-") or re.fullmatch(r"[0-9.]+[smhd]?", words[0])):
                words = words[1:]
        else:
            return words[0].rpartition("/")[2]
    return ""


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _set_options(words: Sequence[str], errexit: bool, pipefail: bool) -> tuple[bool, bool]:
    for number, word in enumerate(words):
        on = word.startswith("-")
        if not on and not word.startswith("+"):
            continue
        errexit = on if "e" in word[1:] and not word.startswith("--") else errexit
        if "o" in word[1:]:
            name = words[number + 1] if number + 1 < len(words) else ""
            pipefail = on if name == "pipefail" else pipefail
            errexit = on if name == "errexit" else errexit
    return errexit, pipefail


def hidden_status(run: str | Sequence[str]) -> HiddenStatus | None:
    """The first place where a command loses the exit status of a check. None: it tells how it ended, as far as is seen.

    A list of words hides nothing, unless it is a shell with a script of its own after `-c`.
    """
    errexit = pipefail = False
    text = run if isinstance(run, str) else ""
    if not isinstance(run, str):
        words = list(run)
        if not words or words[0].rpartition("/")[2] not in _SHELLS:
            return None
        at = next((n for n, word in enumerate(words) if re.fullmatch(r"-[a-z]*c[a-z]*", word)), None)
        if at is None or at + 1 >= len(words):
            return None
        before = [word.replace("c", "") if number == at else word for number, word in enumerate(words[1 : at + 1], 1)]
        errexit, pipefail = _set_options(before, errexit=False, pipefail=False)
        text = next((word for word in words[at + 1 :] if not word.startswith("-")), "")
    judge = _Judge(text, errexit=errexit, pipefail=pipefail)
    try:
        judge.list_(_Parser(_Scanner(text).words()).whole())
    except (_UnreadableError, IndexError, RecursionError):
        return None
    return judge.found[0] if judge.found else None
