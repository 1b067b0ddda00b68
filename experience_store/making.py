"""Making the index of a large store beside the work, with a connection of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from genevolve.grammar.errors import StorageError

_log = logging.getLogger("genevolve")
_T = TypeVar("_T")


class Unwanted(Exception):
    """Nobody wants the index any more."""


class Making(Generic[_T]):
    """A thread that makes one thing.

    Args:
        make: Makes it; it calls what it is given now and then, which raises when nobody wants the thing any more.
    """

    def __init__(self, make: Callable[[Callable[[], None]], _T]) -> None:
        self._make = make
        self._unwanted = threading.Event()
        self._result: _T | None = None
        self._thread = threading.Thread(target=self._run, name="experience-store-index", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still being made. In a child of this process it never is."""
        return self._thread.is_alive()

    def result(self) -> _T | None:
        """Waits for it. None when that failed, which was logged."""
        self._thread.join()
        return self._result

    def give_up(self) -> None:
        """Nobody wants it: the thread ends as soon as it can. Does not wait."""
        self._unwanted.set()

    def _run(self) -> None:
        try:
            self._result = self._make(self._go_on)
        except Unwanted:
            return
        except (StorageError, MemoryError, RuntimeError) as error:
            _log.warning("the index of the experience store could not be made beside the work: %s", error)

    def _go_on(self) -> None:
        if self._unwanted.is_set():
            raise Unwanted
