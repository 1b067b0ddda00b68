"""Types of fields that hold text of the language, for DSPy signatures.

program: Gprog = dspy.OutputField(desc="the whole program")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


class Gprog(str):
    """A whole program: what an adapter takes for it has been parsed and checked."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Signatures are Pydantic models; to them it is a text."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())


class GprogTurn(Gprog):
    """Some statements: one turn of a policy. Whoever executes them says what is wrong with them."""

    __slots__ = ()
