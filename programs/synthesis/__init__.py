"""Synthesis: a policy fills the holes of a sketch while its calls are executed as they are written.

from genevolve.programs.synthesis.fill import Task, fill, fill_many
from genevolve.programs.synthesis.rollout import Bounds, Outcome, Rollout, TurnRecord
"""
