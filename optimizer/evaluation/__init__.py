"""Benchmarks: suites of requests, policies run on them, pictures judged, results compared and shown."""
