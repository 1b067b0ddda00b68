"""Judges: who says how good a picture is."""
