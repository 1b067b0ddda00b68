"""The `diffusers:` renderer: pictures from real models, any pipeline folder or hub repository."""

from genevolve.interpreter.renderers.diffusers.capabilities import Capabilities, inspect_pipeline
from genevolve.interpreter.renderers.diffusers.options import Options
from genevolve.interpreter.renderers.diffusers.renderer import DiffusersRenderer
from genevolve.interpreter.renderers.diffusers.source import PipelineSource, resolve_class

__all__ = [
    "Capabilities",
    "DiffusersRenderer",
    "Options",
    "PipelineSource",
    "inspect_pipeline",
    "resolve_class",
]
