"""A policy that asks a model behind an API, through `dspy.LM`.

policy = open_endpoint("openai/gpt-4o-mini")
policy = open_endpoint("openai/qwen3-8b?api_base=http://127.0.0.1:8000/v1&rpm=120&images=true")

Options: `api_base` (any server that speaks OpenAI's chat protocol), `key` (the name of the variable with the key, for
an address of one's own), `threads`, `timeout` (seconds, for one turn with its retries), `retries`, `rpm`, `images`,
`seed` and `sampling` (false leaves out what a server does not take), `price_in` and `price_out` (US dollars for a
million tokens). Keys come from the environment and `.env` only, and stand in no name, version, message or state.
"""

from __future__ import annotations

import base64
import contextvars
import functools
import hashlib
import io
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from genevolve.grammar.errors import ConfigurationError, GenevolveError, ServiceError
from genevolve.grammar.suggest import closest, did_you_mean
from genevolve.interpreter.blocking import blocking
from genevolve.interpreter.keys import Secrets
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.redact import Redactor, is_secret_name, secrets_of
from genevolve.interpreter.retry import RetryPolicy
from genevolve.programs.modules.bridge import load_dspy, shortened, translate
from genevolve.programs.policies.answers import MOST_CHARACTERS, unwrapped
from genevolve.programs.policies.endpoint_engine import Address, Bounds, Engine, Tally, open_lm, price_of
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Message, Role, Stop

if TYPE_CHECKING:
    import dspy

    from genevolve.interpreter.config import Config
    from genevolve.interpreter.values import ImageHandle

PREFIX = "endpoint:"
LONGEST_SIDE = 1024
"""Pixels of the longer side of a picture that is sent; larger ones are made smaller."""


@dataclass(frozen=True)
class Options:
    """What a spec may say besides the model; see the note at the top of this module."""

    api_base: str | None = None
    key: str | None = None
    threads: int = 8
    timeout: float = 120.0
    retries: int = 3
    rpm: float | None = None
    images: bool = False
    seed: bool = True
    sampling: bool = True
    price_in: float | None = None
    price_out: float | None = None


@dataclass(frozen=True)
class Spending:
    """What a policy has cost so far.

    Attributes:
        calls: Requests that were sent, repeated ones included.
        retries: How many of them were repetitions.
        prompt_tokens: As the service counts them; calls without a count are left out.
        tokens_out: The same of what was written.
        money: In US dollars; None when no call had a known price.
    """

    calls: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    tokens_out: int = 0
    money: float | None = None


def open_endpoint(spec: str, config: Config | None = None) -> EndpointPolicy:
    """The policy of a spec, with or without `endpoint:` before it.

    Raises:
        ConfigurationError: The spec, an option, an address or a key is wrong. Messages show no values of options, as
            somebody may have written a key there.
    """
    from genevolve.interpreter.config import load_config

    settings = config if config is not None else load_config()
    model, options = parse_spec(spec)
    return EndpointPolicy(model, options, settings.secrets, settings.endpoints)


def parse_spec(spec: str) -> tuple[str, Options]:
    """The model and the options of a spec; raises `ConfigurationError`."""
    model, _, rest = spec.removeprefix(PREFIX).partition("?")
    return model, Options(**read_options(rest, READERS, "endpoint"))


def read_options(query: str, readers: Mapping[str, Callable[[str], Any]], who: str) -> dict[str, Any]:
    """The options after the question mark of a spec, each read by its reader; raises `ConfigurationError`."""
    given: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in readers:
            if is_secret_name(name):
                raise ConfigurationError(
                    f"{who}: a key does not belong into a spec; name its variable with key=NAME"
                )
            raise ConfigurationError(
                f"{who}: there is no option {name!r}{did_you_mean(closest(name, readers))}"
            )
        if name in given:
            raise ConfigurationError(f"{who}: the option {name!r} is given twice")
        try:
            given[name] = readers[name](text)
        except ValueError as error:
            raise ConfigurationError(f"{who}: the option {name!r} {error}") from None
    return given


def told_options(options: object, usual: object, names: Iterable[str]) -> list[str]:
    """The options that are not the usual ones, as a spec writes them."""
    return [
        f"{name}={quote(_written(value), safe=':/.-_')}"
        for name in names
        if (value := getattr(options, name)) != getattr(usual, name)
    ]


class EndpointPolicy:
    """A model behind an API. Dialogues are asked about at the same time, `threads` of them at most.

    `lm` is the `dspy.LM` that it asks, for DSPy modules that are to use the same model.
    """

    constrained = False

    def __init__(
        self,
        model: str,
        options: Options | None = None,
        secrets: Mapping[str, str] | None = None,
        endpoints: Mapping[str, str] | None = None,
        *,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.options = options or Options()
        self.address = Address(model, self.options.api_base, self.options.key)
        keys = secrets if secrets is not None else Secrets()
        bounds = Bounds(self.options.timeout, max_connections=self.options.threads)
        self._engine = Engine(self.address, bounds, keys, (endpoints or {}).get("OPENAI_BASE_URL"))
        self.lm: dspy.LM = open_lm(self._engine)
        self._redactor = Redactor(secrets_of() | frozenset(keys.values()))
        self._retry = retry or RetryPolicy(attempts=self.options.retries + 1)
        self._limiter = RateLimiter(self.options.rpm)
        self._tally = Tally()
        self._closed = threading.Event()

    # ---- what it is ----

    @property
    def name(self) -> str:
        """The spec, with the options that are not the usual ones."""
        told = told_options(self.options, Options(), READERS)
        return PREFIX + self.address.model + ("?" + "&".join(told) if told else "")

    @property
    def version(self) -> str:
        """The model and where it is served. What weights a service runs, only the service knows."""
        where = f"@{self.address.api_base.rstrip('/')}" if self.address.api_base else ""
        return f"{self.address.model}{where}"

    @property
    def takes_images(self) -> bool:
        """Whether pictures of messages are sent (`images=true`)."""
        return self.options.images

    @property
    def spending(self) -> Spending:
        """What it has cost so far."""
        count = {n: int(self._tally.get(n) or 0) for n in ("calls", "retries", "prompt_tokens", "tokens_out")}
        return Spending(**count, money=self._tally.get("money"))

    # ---- what it does ----

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """One emission for each dialogue, in order; see `Policy`."""
        work: queue.SimpleQueue[int] = queue.SimpleQueue()
        emissions: list[Emission | None] = [None] * len(dialogues)
        done = threading.Semaphore(0)
        given_up = threading.Event()
        for place in range(len(dialogues)):
            work.put(place)

        def serve() -> None:
            while not given_up.is_set():
                try:
                    place = work.get_nowait()
                except queue.Empty:
                    return
                emissions[place] = self._safely(dialogues[place], limits, given_up)
                done.release()

        # Daemon threads: a service that does not answer keeps nobody from leaving.
        for number in range(min(self.options.threads, len(dialogues))):
            context = contextvars.copy_context()
            thread = threading.Thread(
                target=context.run, args=(serve,), name=f"genevolve-endpoint-{number}", daemon=True
            )
            thread.start()
        try:
            for _ in dialogues:
                done.acquire()
        except BaseException:  # Ctrl-C: what is under way ends by itself, nothing new is begun
            given_up.set()
            raise
        return [e if e is not None else Emission("", Stop.FAILED, error="nothing came") for e in emissions]

    def release(self, ids: Sequence[str]) -> None:
        """Nothing is kept for a dialogue: the service is sent all of it each time."""

    def close(self) -> None:
        """Close the connections. Turns that are under way are not tried again."""
        self._closed.set()
        self._engine.close()

    # ---- one turn ----

    def _safely(self, dialogue: Dialogue, limits: Limits, given_up: threading.Event) -> Emission:
        try:
            return self._turn(dialogue, limits, given_up)
        except GenevolveError as error:
            return Emission("", Stop.FAILED, error=self._redactor.text(str(error)))
        except (OSError, ValueError, TypeError, RuntimeError, LookupError) as error:
            # A bug in a client library must not end the other rollouts.
            told = self._redactor.text(shortened(f"{type(error).__name__}: {error}"))
            return Emission("", Stop.FAILED, error=f"asking the model failed: {told}")

    def _turn(self, dialogue: Dialogue, limits: Limits, given_up: threading.Event) -> Emission:
        request = self._request(dialogue, limits)
        rng = random.Random(f"{dialogue.seed}:{dialogue.turn}")  # noqa: S311  # pauses, no secrets
        ends = time.monotonic() + self.options.timeout
        attempt = 0
        while True:
            attempt += 1
            blocking(self._limiter.wait(self.address.host))
            try:
                return self._emission(self._ask(request, again=attempt > 1), request)
            except ServiceError as error:
                if error.retry_after is not None:
                    self._limiter.hold_back(self.address.host, error.retry_after)
                pause = self._retry.pause(error, attempt, ends - time.monotonic(), rng)
                if pause is None or given_up.is_set() or self._closed.wait(pause):
                    tries = f" ({attempt} attempts)" if attempt > 1 else ""
                    return Emission("", Stop.FAILED, error=f"{self._redactor.text(str(error))}{tries}")

    def _ask(self, request: Any, *, again: bool) -> Any:
        """One request, one response; errors are ours."""
        dspy = load_dspy()
        self._tally.add(calls=1, retries=int(again))
        try:
            # Without history: prompts and pictures of a whole run would be kept in memory.
            with dspy.context(disable_history=True):
                return self.lm(request)
        except dspy.LMUnexpectedError as error:
            # The body was no answer of the protocol (cut off, HTML of a proxy): another attempt may bring one.
            told = self._redactor.text(shortened(str(error)))
            raise ServiceError(f"the service's answer cannot be read: {told}", retryable=True) from error
        except dspy.DSPyError as error:
            raise translate(error, self._redactor) from error

    def _emission(self, response: Any, request: Any) -> Emission:
        lm15 = load_dspy().lm15
        usage, parts = response.usage, response.message.parts
        self._count(response, request)
        counts = {"prompt_tokens": usage.input_tokens, "tokens_out": usage.output_tokens}
        refusals = [p.text for p in parts if isinstance(p, lm15.RefusalPart)]
        text = _sendable("".join(p.text for p in parts if isinstance(p, lm15.TextPart)))
        if refusals or response.finish_reason == "content_filter":
            told = self._redactor.text(shortened(" ".join(refusals)) or "its filter stopped the answer")
            return Emission("", Stop.REFUSED, error=f"the service refused: {told}", **counts)
        stop = Stop.LENGTH if response.finish_reason == "length" or len(text) > MOST_CHARACTERS else Stop.END
        if not text.strip():
            what = "a tool call" if response.tool_calls else "nothing"
            return Emission("", stop, error=f"the service answered with {what}", **counts)
        return Emission(self._taken(text, parts), stop, **counts)

    def _taken(self, text: str, parts: Sequence[Any]) -> str:
        """What of an answer is the turn. `parts` is all of it, thoughts that a server keeps apart included."""
        return unwrapped(text)

    def _count(self, response: Any, request: Any) -> None:
        read, written = response.usage.input_tokens, response.usage.output_tokens
        self._tally.add(prompt_tokens=read or 0, tokens_out=written or 0)
        if self.options.price_in is not None or self.options.price_out is not None:
            money = (read or 0) * (self.options.price_in or 0) + (written or 0) * (
                self.options.price_out or 0
            )
            self._tally.add(money=money / 1e6)
        elif (cost := price_of(self._engine, response, request)) is not None:
            self._tally.add(money=cost)

    # ---- what is sent ----

    def _request(self, dialogue: Dialogue, limits: Limits) -> Any:
        lm15 = load_dspy().lm15
        system = "\n\n".join(m.text for m in dialogue.messages if m.role is Role.SYSTEM)
        messages = tuple(self._message(m) for m in dialogue.messages if m.role is not Role.SYSTEM)
        sampling: dict[str, Any] = {}
        if self.options.sampling:
            sampling = {"temperature": limits.temperature, "top_p": limits.top_p}
        if self.options.sampling and self.options.seed:
            sampling["seed"] = seed_of(dialogue)
        config = lm15.Config(max_tokens=limits.max_tokens, **sampling)
        system = _sendable(system)
        return lm15.Request(model=self.lm.model, messages=messages, system=system or None, config=config)

    def _message(self, message: Message) -> Any:
        lm15 = load_dspy().lm15
        text = _sendable(message.text)
        if message.role is Role.ASSISTANT:
            return lm15.Message.assistant(text or " ")
        parts = [lm15.TextPart(text)] if text or not message.images else []
        if self.options.images:
            for image in message.images:
                data = encoded(image)
                parts.append(lm15.ImagePart(media_type="image/jpeg", data=data))
        return lm15.Message(role="user", parts=tuple(parts) or (lm15.TextPart(" "),))


def seed_of(dialogue: Dialogue) -> int:
    """The seed of a dialogue's next turn: of its own seed and how many turns it has had (31 bits)."""
    digest = hashlib.sha256(f"{dialogue.seed}:{dialogue.turn}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


@functools.lru_cache(maxsize=64)
def encoded(image: ImageHandle) -> str:
    """A picture as it is sent: JPEG in base64, its longer side at most `LONGEST_SIDE` pixels.

    Raises `ImageProblem` when the file is gone, changed or unreadable.
    """
    from PIL import Image

    from genevolve.interpreter.images import load_pixels

    pixels = load_pixels(image)
    if pixels.mode == "RGBA":  # JPEG has no transparency
        ground = Image.new("RGB", pixels.size, "white")
        ground.paste(pixels, mask=pixels.getchannel("A"))
        pixels = ground
    pixels.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    out = io.BytesIO()
    pixels.convert("RGB").save(out, "JPEG", quality=90)
    return base64.b64encode(out.getvalue()).decode("ascii")


def _sendable(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can spell and nothing else can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("is true or false")
    return text == "true"


def _count_from(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not least <= int(text) <= 1000:
            raise ValueError(f"is a whole number from {least} to 1000")
        return int(text)

    return read


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise ValueError("is a number that is not negative")
    return value


def _positive(text: str) -> float:
    value = _amount(text)
    if value <= 0:
        raise ValueError("is a positive number")
    return value


def _variable(text: str) -> str:
    if not (text.isascii() and text.isidentifier()) or not is_secret_name(text):
        raise ValueError("names a variable that holds a key, such as MY_SERVER_API_KEY")
    return text


READERS: Mapping[str, Callable[[str], Any]] = {
    "api_base": str,
    "key": _variable,
    "threads": _count_from(1),
    "timeout": _positive,
    "retries": _count_from(0),
    "rpm": _positive,
    "images": _flag,
    "seed": _flag,
    "sampling": _flag,
    "price_in": _amount,
    "price_out": _amount,
}
"""How each option is read from a spec."""
