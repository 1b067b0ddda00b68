"""Who answers the searches: the library, services on the web, recordings, and several of them in order."""
