"""The language: grammar, syntax tree, parser, types, checker, diagnostics, formatter, diff and elaboration.

Knows nothing of tools, models or files.
"""
