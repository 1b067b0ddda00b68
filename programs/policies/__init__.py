"""Policies: who fills the holes of a sketch, one turn at a time."""
