"""The library: folders of the user's own documents and pictures, indexed for search by words and by meaning.

walk      what lies in the folders, by name, size and time
readers   documents to passages (with `html` and `pdf`); `captions` finds what a picture shows
store     the index: SQLite, one writer, consistent readers
indexer   brings the index up to date, reading only what changed
embedding the model that turns texts into vectors
ranking   BM25, cosine, their fusion, and what counts as an answer
library   `Library`: all of it together
"""

from genevolve.interpreter.library.indexer import IndexReport
from genevolve.interpreter.library.library import Library, LibraryStats
from genevolve.interpreter.library.readers import ReadLimits

__all__ = ["IndexReport", "Library", "LibraryStats", "ReadLimits"]
