"""Many programs, or one program for many rows: run once each, resumable, with results in one folder."""
