"""ComfyUI workflows as templates: a file in API format, and names for the inputs that a program fills."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.interpreter.images import read_regular

NUMBERS = ("seed", "steps", "guidance", "width", "height")
TEXTS = ("prompt", "negative")
NAMES = (*TEXTS, *NUMBERS, "references")
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """An input of a node."""

    node: str
    input: str

    def __str__(self) -> str:
        return f"{self.node}.{self.input}"


@dataclass(frozen=True)
class Template:
    """A workflow whose named inputs were found.

    `places` maps the names of `NAMES` but `references` to one place or more, which all get the same value; `references`
    are in the order of the program's. `output` is the node whose picture counts, None for the only one that saves.
    """

    name: str
    digest: str
    nodes: Mapping[str, Any]
    places: Mapping[str, tuple[Place, ...]]
    references: tuple[Place, ...]
    output: str | None

    @classmethod
    def load(cls, file: Path, inputs: Mapping[str, object], output: object = None) -> Template:
        """Read a workflow and find its inputs.

        Args:
            file: a workflow in API format.
            inputs: names to places such as `6.text`; a list where one value goes to several, or for the references.
            output: the id of the node whose picture counts.

        Raises:
            ConfigurationError: the file or a place in it is not as it must be. The message names both.
        """
        data, nodes = _read(file)
        for name in inputs:
            if name not in NAMES:
                hint = did_you_mean(closest(str(name), NAMES)) or f"; known are {listed(NAMES)}"
                raise ConfigurationError(f"[render.comfyui] inputs: unknown name {name}{hint}")
        if "prompt" not in inputs:
            raise ConfigurationError(
                '[render.comfyui] inputs: name at least where the prompt goes, such as prompt = "6.text"'
            )
        where = f"{file.name}"
        places = {
            name: tuple(_place(text, name, nodes, where) for text in _texts(inputs[name], name))
            for name in inputs
            if name != "references"
        }
        references = tuple(
            _place(text, "references", nodes, where)
            for text in _texts(inputs.get("references", ()), "references")
        )
        return cls(
            file.name,
            hashlib.sha256(data).hexdigest(),
            nodes,
            places,
            references,
            _output(output, nodes, where),
        )

    def filled(self, values: Mapping[str, object], references: Sequence[str]) -> dict[str, Any]:
        """The workflow with its inputs set; names that it has no place for are left out."""
        nodes: dict[str, Any] = copy.deepcopy(dict(self.nodes))
        for name, places in self.places.items():
            if name in values:
                for place in places:
                    nodes[place.node]["inputs"][place.input] = values[name]
        for place, file in zip(self.references, references, strict=True):
            nodes[place.node]["inputs"][place.input] = file
        return nodes


def _read(file: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        data = read_regular(file, _MAX_BYTES)
        nodes = json.loads(data)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no workflow {file}") from None
    except OverflowError as error:
        raise ConfigurationError(f"{file}: the workflow is too large: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file}: not valid JSON: {error or 'nested too deeply'}") from error
    if isinstance(nodes, dict) and isinstance(nodes.get("nodes"), list):
        raise ConfigurationError(
            f"{file}: this is a workflow as the editor saves it; export it in API format instead"
        )
    if not isinstance(nodes, dict) or not nodes:
        raise ConfigurationError(f"{file}: not a workflow in API format")
    for name, node in nodes.items():
        if not (
            isinstance(node, dict)
            and isinstance(node.get("class_type"), str)
            and isinstance(node.get("inputs"), dict)
        ):
            raise ConfigurationError(
                f"{file}: not a workflow in API format: node {name[:40]} lacks class_type or inputs"
            )
    return data, nodes


def _texts(given: object, name: str) -> tuple[str, ...]:
    items = (given,) if isinstance(given, str) else given
    if not isinstance(items, list | tuple) or not all(isinstance(i, str) for i in items):
        raise ConfigurationError(
            f'[render.comfyui] inputs: {name}: expected a place such as "6.text", or a list of places'
        )
    if not items and name != "references":
        raise ConfigurationError(f"[render.comfyui] inputs: {name}: the list is empty; leave it out")
    return tuple(str(i) for i in items)


def _place(text: str, name: str, nodes: Mapping[str, Any], where: str) -> Place:
    node, dot, field = text.strip().partition(".")
    told = f"[render.comfyui] inputs: {name}"
    if not dot or not node or not field:
        raise ConfigurationError(f'{told}: {text!r} is not a node and its input, such as "6.text"')
    if node not in nodes:
        raise ConfigurationError(f"{told}: {where} has no node {node!r}{did_you_mean(closest(node, nodes))}")
    inputs, kind = nodes[node]["inputs"], nodes[node]["class_type"]
    if field not in inputs:
        hint = did_you_mean(closest(field, inputs)) or f"; it has {listed(sorted(inputs)) or 'none'}"
        raise ConfigurationError(f"{told}: node {node} ({kind}) of {where} has no input {field!r}{hint}")
    value = inputs[field]
    if isinstance(value, list):
        raise ConfigurationError(
            f"{told}: {text} ({kind}) of {where} is linked to node {value[0] if value else '?'}; "
            "name the input where the value is written"
        )
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if (number if name in NUMBERS else isinstance(value, str)) is False:
        wanted = "a number" if name in NUMBERS else "a text"
        raise ConfigurationError(f"{told}: {text} ({kind}) of {where} holds {value!r:.40}, not {wanted}")
    return Place(node, field)


def _output(output: object, nodes: Mapping[str, Any], where: str) -> str | None:
    if output is None:
        return None
    node = str(output)
    if not isinstance(output, str | int) or node not in nodes:
        raise ConfigurationError(
            f"[render.comfyui] output: {where} has no node {node[:40]!r}{did_you_mean(closest(node, nodes))}"
        )
    return node
