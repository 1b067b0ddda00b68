"""The storyboard: a deterministic flat illustration of what a program says, drawn with Pillow in milliseconds."""

from __future__ import annotations

from genevolve.interpreter.renderers.storyboard.renderer import StoryboardRenderer

__all__ = ["StoryboardRenderer"]
