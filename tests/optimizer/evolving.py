"""A studio world to evolve in: requests, a machine, a workshop, and steps that are made with a line each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experience_samples import PlainEmbedder
from tiny_policies import Dubbed, local

from genevolve.experience_store.store import ExperienceStore
from genevolve.interpreter.config import load_config
from genevolve.interpreter.judges.catalog import open_judge
from genevolve.interpreter.renderers.catalog import open_renderer
from genevolve.optimizer.evaluation.suites import open_suite
from genevolve.optimizer.evaluation.workshop import Loop, Wanted
from genevolve.optimizer.evolution import Evolution, Request, Settings
from genevolve.optimizer.rows import encoder
from genevolve.programs.opened import OpenedMachine
from genevolve.programs.policies.context import as_sketch
from genevolve.programs.policies.local.policy import LocalPolicy
from genevolve.programs.policies.oracle import open_oracle
from genevolve.programs.program import Program
from genevolve.programs.session import open_machine

MISTAKES = "wrong_query=0.4&skipped_skill=0.5&wrong_image=0.4&vague_layout=0.5&missing_count=0.5"
END = 2
TEACHING = (4, 3, 5, 2)
"""Rows on which three siblings of seed 1 differ enough to teach something; the last is one on which they do not."""


@dataclass
class Ground:
    """Where evolution happens. `judge` and `renderer` may be exchanged before a step."""

    folder: Path
    machine: OpenedMachine
    requests: list[Request]
    local: LocalPolicy
    judge: Any = field(default_factory=lambda: open_judge("inspector:no-ocr"))
    text_judge: Any = field(default_factory=lambda: open_judge("sufficiency"))

    def oracle(self, mistakes: str = MISTAKES) -> Any:
        """The oracle of the world, which makes mistakes by chance, as if the local policy spoke."""
        return Dubbed(open_oracle(f"{self.folder}?{mistakes}"), self.local)

    @contextmanager
    def evolution(
        self, policy: Any, store: ExperienceStore | None, settings: Settings, **more: Any
    ) -> Iterator[Evolution]:
        """Evolution with a workshop of its own, unless one is given."""
        given = more.pop("workshop", None)
        workshop = given or Loop(self.judge, 2)
        try:
            yield Evolution(
                policy,
                encoder(self.local),
                self.machine,
                workshop,
                self.text_judge,
                store,
                settings,
                **{"end_token": END, "judge_name": "inspector+sufficiency"} | more,
            )
        finally:
            if given is None:
                workshop.close()

    def step(self, policy: Any, store: Any, settings: Settings, *, requests: Any = None, **more: Any) -> Any:
        """One step."""
        number = more.pop("number", 1)
        with self.evolution(policy, store, settings, **more) as evolution:
            return evolution.step(self.requests if requests is None else requests, number)


@contextmanager
def ground(world: Path, cache: Path, requests: int) -> Iterator[Ground]:
    """The ground of a world, with so many requests."""
    flags: dict[str, object] = {
        "library.folders": [str(world / "library")],
        "library.embedder": "none",
        "cache.enabled": False,
        "cache.folder": str(cache),
        "runs.record": False,
    }
    suite = open_suite(f"studio:{world}/train")
    wanted = [
        Wanted(r.request, r.id, r.category, r.constraints, suite.truth_path(r))
        for r in (suite.rows[i] for i in TEACHING[:requests])
    ]
    sketches = [Request(Program.parse(as_sketch(w.request)), w) for w in wanted]
    with open_machine(load_config(flags=flags), renderer=open_renderer("studio")) as machine:
        yield Ground(world, machine, sketches, local())


def memory(folder: Path) -> ExperienceStore:
    """An empty store."""
    return ExperienceStore.open(folder, embedder=PlainEmbedder(), durable=False)
