"""A renderer behind HTTP: `genevolve serve renderer`."""
