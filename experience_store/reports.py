"""What the store answers: results of adding and removing, snapshots, figures, findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from genevolve.experience_store.admission import Refused


@dataclass(frozen=True, slots=True)
class AddResult:
    """What became of an experience that was added.

    Attributes:
        status: "added"; "known": exactly this one is stored; "merged": nearly this one is; "refused".
        id: The id of the experience that is stored now; of the refused one when nothing is.
        generation: The store's generation afterwards; 0 for a refused one.
        replaced: The id of the experience with the smaller gap whose place this one took.
        evicted: Ids of experiences that went to keep the capacity.
        refusal: Why it was refused.
    """

    status: str
    id: str
    generation: int = 0
    replaced: str | None = None
    evicted: tuple[str, ...] = ()
    refusal: Refused | None = None

    @property
    def stored(self) -> bool:
        """Whether the store has this experience, or nearly the same."""
        return self.status != "refused"


@dataclass(frozen=True, slots=True)
class Change:
    """What removing, restoring or rolling back changed: ids, those that were not there, the generation afterwards."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    generation: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A generation with a name, which compacting keeps."""

    name: str
    generation: int
    live: int
    created: float


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Figures of a store.

    Attributes:
        live: Experiences that can be found.
        removed: Experiences that are kept for rolling back.
        capacity: At most so many live ones; None is unbounded.
        generation: Number of the latest change.
        history: The oldest generation that can be rolled back to.
        embedder: The model's name; None in a store that never had an experience.
        dimension: Numbers in a vector, 0 without a model.
        index: "flat", "ivf", "scan" while that of a large store is made again, or "none" when this process has not
            searched yet.
        index_outgrown: Whether compacting would make searches faster.
        bytes: Sizes on disk by file.
        categories, policies, skills, slots: How many live experiences of each.
        counters: What happened since the store was made: added, merged, known, evicted, removed, refused.<code>.
        gaps: Smallest, median and largest gap; None in an empty store.
        longest_write: Seconds of this process's longest transaction under the write lock.
    """

    live: int
    removed: int
    capacity: int | None
    generation: int
    history: int
    embedder: str | None
    dimension: int
    index: str
    index_outgrown: bool
    bytes: Mapping[str, int]
    categories: Mapping[str, int]
    policies: Mapping[str, int]
    skills: Mapping[str, int]
    slots: Mapping[str, int]
    counters: Mapping[str, int]
    gaps: tuple[float, float, float] | None
    longest_write: float

    def to_dict(self) -> dict[str, object]:
        """Plain JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Distributions:
    """Values of all live experiences, in the order of their arrival, for histograms."""

    gaps: tuple[float, ...]
    created: tuple[float, ...]
    steps: tuple[int, ...]
    slots: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a store.

    Attributes:
        code: "database", "body", "columns", "vector", "count", "log", "index", "vector-file".
        message: A sentence.
        repaired: Whether it has been put right.
        lost: Id of the experience that could not be saved.
    """

    code: str
    message: str
    repaired: bool = False
    lost: str | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What verifying found: how much was looked at, and what is wrong."""

    experiences: int
    generation: int
    problems: tuple[Problem, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong (any more)."""
        return all(p.repaired for p in self.problems)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON data."""
        return {**asdict(self), "ok": self.ok}
