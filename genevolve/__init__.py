"""Image requests as typed programs."""

from pathlib import Path as _Path

# In a checkout, Python started from the repository's root finds this folder before the installed package; the
# layers then lie beside it, not inside it. Both ways of importing must see the same package.
_beside = _Path(__file__).resolve().parent.parent
if not (_Path(__file__).parent / "grammar").is_dir() and (_beside / "grammar" / "gprog.lark").is_file():
    __path__.append(str(_beside))
