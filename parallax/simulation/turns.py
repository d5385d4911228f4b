"""One attempt of a simulated agent at a task: drawn from its model, or given by a function of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal, cast

import msgspec

from compiler.orchestration.verdicts import read_verdict
from parallax.agent_task import AgentError, Result, Said, json_of
from parallax.simulation.distributions import Distribution, clipped
from parallax.simulation.draws import Draws
from parallax.simulation.model import AgentModel, Cast, FollowsQuality
from parallax.simulation.records import TaskRecord
from parallax.simulation.works import Works, again, fields_of
from schemas.base import Model, Usage
from schemas.effects import Task
from schemas.events import SEMANTICS

TurnEnding = Literal["ok", "error", "crash", "silent", "timeout"]
_KINDS: tuple[TurnEnding | Literal["empty"], ...] = ("error", "crash", "silent", "timeout", "empty")


class Turn(Model, frozen=True, kw_only=True):
    """How an attempt goes, decided when it begins. `ms` is until it ends; of a `timeout` until never.

    After `asks_ms`, where that is set, it waits for the answer to `question`.
    """

    ending: TurnEnding
    ms: int
    usage: Usage
    result: Any = None
    confidence: float | None = None
    quality: float | None = None
    verdict: str = ""
    lied: bool = False
    changed: bool = False
    message: str = ""
    asks_ms: int | None = None
    question: str = ""


class Reply(Result):
    """What a function of the user's may return: a `Result` that also says how long it took, what it cost, and how good
    the work truly is. What is left out is drawn from the role's model."""

    __slots__ = ("cost_usd", "quality", "seconds")

    def __init__(
        self,
        value: Any = None,
        *,
        confidence: float | None = None,
        usage: Usage | None = None,
        seconds: float | None = None,
        cost_usd: float | None = None,
        quality: float | None = None,
    ) -> None:
        super().__init__(value, confidence=confidence, usage=usage)
        for name, number, most in (("seconds", seconds, None), ("cost_usd", cost_usd, None), ("quality", quality, 1.0)):
            if number is not None and not 0.0 <= number <= (float("inf") if most is None else most):
                raise AgentError(f"{name} is {number!r}, which cannot be.")
        self.seconds = seconds
        self.cost_usd = cost_usd
        self.quality = quality


class SimulatedTask:
    """A task as a function of the user's sees it: what `parallax.Task` shows, without a platform behind it."""

    __slots__ = ("attempt", "context", "execution_id", "id", "input", "role", "session", "step", "text", "workspace")

    def __init__(self, request: Task, record: TaskRecord, execution_id: str, attempt: int) -> None:
        self.id = record.task_id
        self.execution_id = execution_id
        self.attempt = attempt
        self.role = request.role
        self.step = request.step
        self.session = record.session
        self.text = request.text
        self.input = request.input
        given: Any = request.context
        told = {"attempt": attempt, **fields_of(given)}
        self.context: Any = told if given is None or isinstance(given, dict) else given
        self.workspace = None

    def progress(self, text: str) -> Said:
        """Accepts a line and forgets it."""
        del text
        return Said()


Script = Callable[[SimulatedTask], Any]
"""A function that plays an agent: gives a value or a `Result`, raises to fail. `async def` may await nothing real."""


class Crew:
    """The agents of one run."""

    def __init__(self, cast_of: Cast, scripts: Mapping[str, Script], key: tuple[object, ...], works: Works) -> None:
        self._cast = cast_of
        self._scripts = scripts
        self._key = key
        self._works = works

    def turn(self, request: Task, record: TaskRecord, execution_id: str) -> Turn:
        """How the attempt of a task that begins now goes."""
        model = self._cast.model(request.role, request.step)
        draws = Draws(*self._key, "turn", record.path or record.task_id, record.role, record.attempts)
        script = self._scripts.get(request.role) or self._scripts.get("default")
        if script is None:
            return self._asking(self._drawn(model, draws, request, record), model, record)
        return self._played(
            script, model, draws, request, SimulatedTask(request, record, execution_id, record.attempts), record
        )

    def _asking(self, turn: Turn, model: AgentModel, record: TaskRecord) -> Turn:
        """The turn with a question in it, if the agent has one. Whoever answers a question asks none."""
        if model.asks <= 0 or record.kind == "answer" or turn.ending != "ok":
            return turn
        draws = Draws(*self._key, "question", record.path, record.attempts)
        if not draws.chance(model.asks):
            return turn
        asks_ms, question = round(turn.ms * draws.uniform()), draws.one_of(model.questions)
        return msgspec.structs.replace(turn, asks_ms=asks_ms, question=question)

    # -- drawn --------------------------------------------------------------------------------------------------------

    def _drawn(self, model: AgentModel, draws: Draws, request: Task, record: TaskRecord) -> Turn:
        ms, usage = milliseconds(model.seconds, draws), _usage(model, draws)
        failure, threshold = draws.uniform(), 0.0
        ending: Any = "ok"
        for kind in _KINDS:
            threshold += float(getattr(model.failure, kind))
            if failure < threshold:
                ending = kind
                break
        if ending in ("error", "crash", "silent"):
            share = draws.uniform()
            return Turn(ending=ending, ms=round(ms * share), usage=part_of(usage, share), message=_WORDS[ending])
        if ending == "timeout":
            return Turn(ending="timeout", ms=0, usage=usage)
        if record.kind == "verdict":
            turn = self._verdict(model, draws, request, record.path, ms, usage)
        else:
            turn = self._work(model, draws, request, record.path, ms, usage)
        return turn if ending == "ok" else _emptied(turn)

    def _work(self, model: AgentModel, draws: Draws, request: Task, path: str, ms: int, usage: Usage) -> Turn:
        quality = self._quality(model, draws, request, path)
        good = quality >= self._cast.agents.good
        lied = draws.chance(model.lying) and not good
        confidence = clipped(model.lie.sample(draws)) if lied else _confidence(model, draws, quality)
        others = model.results[1:]
        away = draws.chance(model.disagreement) if good else True
        result = draws.one_of(others) if away and others else model.results[0]
        changed = draws.chance(model.changes)
        return Turn(
            ending="ok",
            ms=ms,
            usage=usage,
            result=result,
            confidence=None if model.confidence is None else confidence,
            quality=quality,
            lied=lied and model.confidence is not None,
            changed=changed,
        )

    def _quality(self, model: AgentModel, draws: Draws, request: Task, path: str) -> float:
        fresh = clipped(model.quality.sample(draws))
        why = again(request)
        before = self._works.before(request, path) if why else None
        if before is None:
            return fresh
        if why == "escalation":
            return max(fresh, before)
        return clipped(before + (1.0 - before) * clipped(model.improvement.sample(draws)))

    def _verdict(self, model: AgentModel, draws: Draws, request: Task, path: str, ms: int, usage: Usage) -> Turn:
        quality = self._works.judged(request, path)
        good = quality is None or quality >= self._cast.agents.good
        objects = draws.chance(1.0 - model.review.specificity if good else model.review.sensitivity)
        rejects = draws.chance(model.review.reject)
        word = ("reject" if rejects else "revise") if objects else "approve"
        confidence = _confidence(model, draws, clipped(model.quality.sample(draws)))
        result: dict[str, Any] = {"verdict": word, "critique": "This does not do what was asked." if objects else ""}
        if confidence is not None:
            result["confidence"] = confidence
        return Turn(
            ending="ok",
            ms=ms,
            usage=usage,
            result=result,
            confidence=confidence,
            quality=quality,
            verdict=word,
        )

    # -- played -------------------------------------------------------------------------------------------------------

    def _played(
        self,
        script: Script,
        model: AgentModel,
        draws: Draws,
        request: Task,
        task: SimulatedTask,
        record: TaskRecord,
    ) -> Turn:
        ms, usage = milliseconds(model.seconds, draws), _usage(model, draws)
        drawn, changed = clipped(model.quality.sample(draws)), draws.chance(model.changes)
        try:
            said = script(task)
            value = _driven(cast("Coroutine[Any, Any, Any]", said)) if inspect.iscoroutine(said) else said
            given = value if isinstance(value, Result) else Result(value)
            result = json_of(given.value)
        except AgentError as error:
            return Turn(ending="error", ms=ms, usage=usage, message=str(error))
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - what a function raises is the task's failure, as with a real agent
            return Turn(ending="error", ms=ms, usage=usage, message=f"{type(error).__name__}: {error}")
        quality: float | None = drawn
        if isinstance(given, Reply):
            ms = ms if given.seconds is None else round(given.seconds * 1000)
            quality = drawn if given.quality is None else given.quality
            if given.cost_usd is not None:
                usage = _costing(usage, given.cost_usd)
        word = ""
        if record.kind == "verdict":
            word, quality = read_verdict(result, SEMANTICS).word, self._works.judged(request, record.path)
        return Turn(
            ending="ok",
            ms=ms,
            usage=given.usage or usage,
            result=result,
            confidence=given.confidence,
            quality=quality,
            verdict=word,
            changed=changed and record.kind == "work",
        )


_WORDS = {
    "error": "The agent says that it failed.",
    "crash": "its process ended",
    "silent": "",
}


def _driven(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that waits for nothing. Raises AgentError for one that waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    except RuntimeError as error:
        if "event loop" not in str(error):
            raise
    coroutine.close()
    raise AgentError("A function in a simulation cannot wait for anything: time there is not real.")


def _emptied(turn: Turn) -> Turn:
    return Turn(ending="ok", ms=turn.ms, usage=turn.usage, quality=turn.quality, verdict="none" if turn.verdict else "")


def _confidence(model: AgentModel, draws: Draws, quality: float) -> float | None:
    match model.confidence:
        case None:
            return None
        case FollowsQuality(bias=bias, noise=noise):
            around = (draws.uniform() + draws.uniform() + draws.uniform() - 1.5) * 2.0
            return clipped(quality + bias + noise * around)
        case spread:
            return clipped(spread.sample(draws))


def milliseconds(seconds: Distribution, draws: Draws) -> int:
    """A time that is drawn in seconds, in whole milliseconds."""
    return max(0, round(seconds.sample(draws) * 1000))


def _usage(model: AgentModel, draws: Draws) -> Usage:
    return Usage(
        input_tokens=max(0, round(model.input_tokens.sample(draws))),
        output_tokens=max(0, round(model.output_tokens.sample(draws))),
        cost_usd=max(0.0, round(model.cost_usd.sample(draws), 4)),
        turns=1,
    )


def part_of(usage: Usage, share: float) -> Usage:
    """What was used of it when an attempt ended early."""
    return Usage(
        input_tokens=round(usage.input_tokens * share),
        output_tokens=round(usage.output_tokens * share),
        cost_usd=round(usage.cost_usd * share, 4),
        turns=1,
    )


def _costing(usage: Usage, cost_usd: float) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cost_usd=cost_usd, turns=usage.turns
    )
