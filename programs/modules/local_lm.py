"""Policies of this process as language models of DSPy.

    lm = LocalLM(open_policy("smollm2"))
    with dspy.context(lm=lm):
        agent(request="A stamp of a lighthouse.")

DSPy 3.4 takes models of one's own as engines of `dspy.LM` (its older way, a `forward` of `dspy.BaseLM`, goes with 3.5),
so `LocalLM` is a `dspy.LM`, which is a `dspy.BaseLM`, over an engine that asks the policy for a turn.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import dspy
from dspy import lm15

from genevolve.programs.policies.endpoint_engine import AsyncEngine
from genevolve.programs.policies.protocol import Dialogue, Limits, Message, Policy, Role, Stop

_ROLES = {"user": Role.USER, "developer": Role.USER, "tool": Role.USER, "assistant": Role.ASSISTANT}
_REMEMBERED = 4096


class PolicyEngine:
    """Asks a policy for one turn of a dialogue that DSPy wrote.

    The seed is the request's own, or is made of the request. A request that comes again gets another seed, so that
    several candidates of one call differ; the same requests in the same order get the same answers.
    """

    def __init__(self, policy: Policy, seed: int = 0) -> None:
        self.policy = policy
        self.seed = seed
        self._lock = threading.Lock()  # a policy acts in one thread at a time
        self._asked: dict[str, int] = {}
        self._count = 0

    def complete(self, request: Any) -> Any:
        """One answer: a `dspy.lm15.Request` to a `Response`.

        Raises:
            dspy.lm15.ServerError: The policy failed; the message tells how.
        """
        messages = _messages(request)
        config = request.config
        usual = Limits()
        limits = Limits(
            max_tokens=config.max_tokens or usual.max_tokens,
            temperature=usual.temperature if config.temperature is None else config.temperature,
            top_p=usual.top_p if config.top_p is None else config.top_p,
        )
        with self._lock:
            self._count += 1
            name = f"dspy-{id(self)}-{self._count}"
            dialogue = Dialogue(name, self._seed(messages, limits, config.seed), messages)
            try:
                (emission,) = self.policy.act([dialogue], limits)
            finally:
                self.policy.release([name])
        if emission.stop is Stop.FAILED:
            raise lm15.ServerError(emission.error or "the policy failed", provider="local")
        part = lm15.TextPart(emission.text)
        if emission.stop is Stop.REFUSED:
            part = lm15.RefusalPart(emission.error or "refused")
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant(part),
            finish_reason="length" if emission.stop is Stop.LENGTH else "stop",
            usage=lm15.Usage(input_tokens=emission.prompt_tokens, output_tokens=emission.tokens_out),
        )

    def _seed(self, messages: tuple[Message, ...], limits: Limits, given: int | None) -> int:
        said = [[m.role.value, m.text] for m in messages]
        told = json.dumps([self.seed, given, limits.temperature, limits.top_p, limits.max_tokens, said])
        key = hashlib.sha256(told.encode()).hexdigest()
        times = self._asked.pop(key, 0)
        if len(self._asked) >= _REMEMBERED:
            del self._asked[next(iter(self._asked))]
        self._asked[key] = times + 1
        return int(hashlib.sha256(f"{key}:{times}".encode()).hexdigest()[:8], 16) >> 1

    def stream(self, request: Any) -> Iterator[Any]:
        """The answer as DSPy's events, all at once when it is complete."""
        return iter(lm15.response_to_events(self.complete(request)))

    def close(self) -> None:
        """The policy is closed by whoever opened it."""

    def __deepcopy__(self, memo: dict[int, object]) -> PolicyEngine:
        """Copies of a module share the policy and its weights."""
        return self

    def dump_state(self) -> dict[str, Any]:
        """What a saved DSPy module keeps: the spec that opens the policy again."""
        return {"spec": self.policy.name, "seed": self.seed}

    @classmethod
    def load_state(cls, state: Mapping[str, Any]) -> PolicyEngine:
        """The engine of a saved module; raises `ConfigurationError` when the policy cannot be opened."""
        from genevolve.programs.policies.catalog import open_policy

        return cls(open_policy(str(state["spec"])), int(state.get("seed", 0)))


class AsyncPolicyEngine(AsyncEngine):
    """A `PolicyEngine` for callers on an event loop."""

    @classmethod
    def load_state(cls, state: Mapping[str, Any]) -> AsyncPolicyEngine:
        """The engine of a saved module."""
        return cls(PolicyEngine.load_state(state["engine"]))


class LocalLM(dspy.LM):  # type: ignore[misc]  # dspy has no types that mypy follows
    """A policy as a language model of DSPy; nothing is cached.

    Args:
        policy: Whose turns answer. It is not closed with the model.
        seed: Other seeds give other answers.
        **defaults: What calls are sampled with unless they say otherwise: `temperature`, `max_tokens`, `top_p`.
    """

    def __init__(self, policy: Policy, seed: int = 0, **defaults: Any) -> None:
        engine = PolicyEngine(policy, seed)
        options = {"cache": False, "num_retries": 0, **defaults}
        super().__init__(
            f"local/{policy.version}", engine=engine, async_engine=AsyncPolicyEngine(engine), **options
        )
        self.policy = policy

    @classmethod
    def load_state(cls, state: Mapping[str, Any], *, allow_custom_lm_class: bool = False) -> LocalLM:
        """The model of a saved DSPy module, its policy opened again by its spec."""
        engine = PolicyEngine.load_state(state["engine"]["state"])
        names = ("temperature", "max_tokens", "top_p")
        return cls(engine.policy, engine.seed, **{n: state[n] for n in names if state.get(n) is not None})

    def __deepcopy__(self, memo: dict[int, object]) -> LocalLM:
        """A copy with a history of its own over the same policy."""
        return self.copy()  # type: ignore[no-any-return]  # dspy has no types that mypy follows


def _messages(request: Any) -> tuple[Message, ...]:
    system = request.system
    if system is not None and not isinstance(system, str):
        system = "".join(part.text for part in system if isinstance(part, lm15.TextPart))
    opening = (Message(Role.SYSTEM, system),) if system else ()
    return (*opening, *(Message(_ROLES.get(m.role, Role.USER), _text(m)) for m in request.messages))


def _text(message: Any) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, lm15.TextPart))
