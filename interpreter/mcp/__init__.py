"""Tools of MCP servers as typed tools of the language."""
