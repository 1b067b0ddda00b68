"""Filling the holes of sketches: policies write turns, the interpreter answers, budgets are kept here."""
