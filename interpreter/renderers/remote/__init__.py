"""Renderers that ask a service: hosted ones, and ones that somebody runs on a machine of their own."""
