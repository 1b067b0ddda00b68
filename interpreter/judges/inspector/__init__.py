"""The inspector: looks at pixels only, and measures what it can measure."""

from genevolve.interpreter.judges.inspector.inspector import Inspector

__all__ = ["Inspector"]
