"""Renderers: what draws a picture from z."""
