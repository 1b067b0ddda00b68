"""HTTP to places we do not trust (the fetcher) and to services an operator chose (the API client)."""
