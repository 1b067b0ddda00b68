"""The user's own documents and images, indexed for hybrid search."""
