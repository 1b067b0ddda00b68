"""The memory of distilled experiences: what the best program did that the worst did not.

bundle, experience   what is remembered; `admission` (with `wording`) what may be
store                `ExperienceStore`: all that a caller needs
database, schema     the SQLite file, which is the truth; `records` its rows
index, vectors       FAISS and a memory-mapped file beside it, made from the truth; `live` keeps them up to date
retrieval, history   nearest request behind a gate, and how often that finds something; `calibrate` proposes the gate
space                the embedding model, and proof that it is the store's
upkeep, verifying, recovery   what an operator does to a whole store
"""
