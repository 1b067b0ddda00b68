"""The studio: an invented world, requests over it with ground truth, and a generator that fails as generators do."""
