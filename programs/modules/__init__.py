"""DSPy modules that write programs, abstract experiences and judge programs."""
