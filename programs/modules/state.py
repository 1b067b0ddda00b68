"""What a DSPy module has learned (instructions and demos), as a JSON file without secrets.

A file is written whole or not at all. It holds no language model: which model is asked, at which address and with which
key, is decided where the module is used. Texts are searched for keys of the environment and of the module's own models
before they are written. Pickles are neither written nor read: loading one runs whatever is in it.
"""

from __future__ import annotations

import copy
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import dspy

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.redact import Redactor, is_secret_name, secrets_of
from genevolve.interpreter.run import version

SCHEMA = "genevolve.module/1"
_FAMILY = "genevolve.module/"
MAX_BYTES = 32 * 1024 * 1024
_HIDDEN = frozenset(
    {"lm", "api_base", "base_url", "headers", "extra_headers", "model_list", "azure_ad_token_provider"}
)
"""Names that are left out of states wherever they stand."""


def save_module(module: Any, path: str | Path) -> Path:
    """Write what a module has learned.

    Args:
        module: A `dspy.Module`.
        path: A `.json` file; its folder exists. A file that is there is replaced, in one step.

    Returns:
        The file.

    Raises:
        AuthorError: The path does not end in `.json`, or a demo holds what JSON cannot.
        StorageError: The file cannot be written; one that was there before is as it was.
    """
    target = Path(path)
    if target.suffix != ".json":
        raise AuthorError(f"the state of a module is saved as .json, not {target.name!r}")
    redactor = Redactor(secrets_of() | _keys_of(module))
    states = {name: _without_secrets(_learned(p)) for name, p in module.named_predictors()}
    data = {
        "schema": SCHEMA,
        "module": type(module).__name__,
        "genevolve": version(),
        "dspy": dspy.__version__,
        "predictors": redactor.data(states),
    }
    try:
        text = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        encoded = text.encode()
    except (TypeError, ValueError) as error:
        raise AuthorError(f"the module holds what JSON cannot: {error}") from error
    if len(encoded) > MAX_BYTES:
        raise AuthorError(f"the module's state is larger than {MAX_BYTES:,} bytes; it has too many demos")
    _replace(target, encoded)
    return target


def load_module(module: Any, path: str | Path) -> None:
    """Give a module what a file of `save_module` holds; its language models stay as they are.

    Raises:
        AuthorError: The file is not there, is a pickle, or is no state of a module like this one. The module is as it
            was.
        StorageError: The file cannot be read.
    """
    source = Path(path)
    if source.suffix in (".pkl", ".pickle"):
        raise AuthorError(f"{source}: pickles are not loaded, as they run what is in them; save it as .json")
    states = _read_states(source, type(module).__name__)
    predictors = dict(module.named_predictors())
    if set(states) != set(predictors):
        missing, unknown = sorted(set(predictors) - set(states)), sorted(set(states) - set(predictors))
        raise AuthorError(f"{source}: the predictors differ (missing {missing}, unknown {unknown})")
    loaded = {n: _checked(states[n], p, f"{source}: {n}") for n, p in predictors.items()}
    for name, predictor in predictors.items():
        model = predictor.lm
        predictor.load_state(loaded[name])
        predictor.lm = model


class Saved:
    """`save` and `load` for a `dspy.Module`, instead of DSPy's, which may pickle and keep addresses."""

    def save(self, path: str | Path, save_program: bool = False, modules_to_serialize: Any = None) -> Path:
        """See `save_module`. Whole programs (pickles) are not written: `AuthorError`."""
        if save_program or modules_to_serialize:
            raise AuthorError(
                "only what a module has learned is saved, as .json; save_program writes a pickle"
            )
        return save_module(self, path)

    def load(self, path: str | Path, allow_pickle: bool = False, allow_unsafe_lm_state: bool = False) -> None:
        """See `load_module`; what would be unsafe stays refused."""
        if allow_pickle or allow_unsafe_lm_state:
            raise AuthorError("pickles and saved language models are not loaded")
        load_module(self, path)


# ---- writing -----------------------------------------------------------------------------------------


def _learned(predictor: Any) -> dict[str, Any]:
    """The state of a predictor without its language model, which need not be of a kind that can be saved."""
    bare = copy.copy(predictor)
    bare.lm = None
    state: dict[str, Any] = bare.dump_state()
    return state


def _keys_of(module: Any) -> frozenset[str]:
    """Keys that the module's language models were given."""
    found: set[str] = set()
    models = [p.lm for _, p in module.named_predictors()] + [dspy.settings.lm]
    for model in models:
        options = getattr(model, "kwargs", None) or {}
        for name, value in options.items():
            if is_secret_name(str(name)) or name in _HIDDEN:
                found.update(_texts(value))
    return frozenset(found)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        yield value.removeprefix("Bearer ")
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)


def _without_secrets(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {
            str(k): _without_secrets(v)
            for k, v in data.items()
            if str(k) not in _HIDDEN and not is_secret_name(str(k))
        }
    if isinstance(data, list | tuple):
        return [_without_secrets(v) for v in data]
    if isinstance(data, str):  # a text of the language is a text to JSON
        return str(data)
    return data


def _replace(target: Path, data: bytes) -> None:
    """Write beside the file, then rename: readers see the old state or the new one."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as out:
            if target.exists():  # who may read it stays as it was
                part.chmod(target.stat().st_mode & 0o777)
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# ---- reading -----------------------------------------------------------------------------------------


def _read_states(source: Path, kind: str) -> dict[str, Any]:
    try:
        with source.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise AuthorError(f"there is no file {source}") from error
    except OSError as error:
        raise StorageError(f"{source} cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise AuthorError(f"{source} is larger than {MAX_BYTES:,} bytes; it is no state of a module")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{source} is no JSON, so it is no state of a module") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        if isinstance(schema, str) and schema.startswith(_FAMILY):
            raise AuthorError(
                f"{source} was written by another version of genevolve ({schema!r:.40}); this one reads {SCHEMA}"
            )
        raise AuthorError(f"{source} is no state of a module that genevolve saved")
    if data.get("module") != kind:
        raise AuthorError(f"{source} is the state of a {data.get('module')!r:.60}, not of a {kind}")
    states = data.get("predictors")
    if not isinstance(states, dict) or not all(isinstance(s, dict) for s in states.values()):
        raise AuthorError(f"{source}: predictors are missing")
    return states


def _checked(state: Mapping[str, Any], predictor: Any, where: str) -> dict[str, Any]:
    """The parts of a predictor's state that are used, each of the right kind."""
    demos, signature = state.get("demos"), state.get("signature")
    if not isinstance(demos, list) or not all(isinstance(d, dict) for d in demos):
        raise AuthorError(f"{where}: demos must be a list of objects")
    if not isinstance(signature, dict) or not isinstance(signature.get("instructions"), str):
        raise AuthorError(f"{where}: there are no instructions")
    fields = signature.get("fields")
    if not isinstance(fields, list) or len(fields) != len(predictor.signature.fields):
        raise AuthorError(f"{where}: it was saved for other fields")
    for field in fields:
        if not isinstance(field, dict) or not all(
            isinstance(field.get(k), str) for k in ("prefix", "description")
        ):
            raise AuthorError(f"{where}: a field has no prefix and description")
    kept = {"instructions": signature["instructions"], "fields": fields}
    return {"demos": demos, "signature": kept, "traces": [], "train": [], "lm": None}
