"""The model card of a compiled policy: where it comes from, what it was trained on, what the gate measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.optimizer.compiling import durable
from genevolve.optimizer.compiling.folder import identity_of
from genevolve.optimizer.compiling.guidance import guide_text_of

if TYPE_CHECKING:
    from genevolve.optimizer.compiling.versions import Version

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_KNOWN_LICENCES = {"smollm2": "apache-2.0", "mini": "none of a base: it was made from nothing"}
_TOLD = ("policy", "rollouts", "reward", "memory", "training", "distillation", "cold_start", "gate")


def model_card(folder: Path, name: str) -> str:
    """The card of a version of a run, as Markdown with a head in YAML.

    Raises:
        AuthorError: The folder holds no run, or no such version.
    """
    from genevolve.optimizer.compiling.versions import Versions

    identity, versions = identity_of(folder), Versions(folder)
    version = versions.get(name)
    settings: Mapping[str, Any] = identity.get("settings") or {}
    spec = str((settings.get("policy") or {}).get("policy", ""))
    lines = [
        *_head(spec, settings),
        "# A policy compiled by genevolve",
        "",
        f"Version {version.name}, after {version.step} steps of visual experience distillation. It writes image "
        "requests as typed programs; it is no model for conversation, and what it writes outside of the requests it "
        "was trained on was not measured.",
        "",
        "```sh",
        'genevolve synth "a harbour at dawn" --policy local:THIS-FOLDER',
        "```",
        "",
        "## Where it comes from",
        "",
        *_origin(identity, spec, settings, folder),
        "",
        "## What was measured",
        "",
        *_measured(folder, versions.all(), version),
        "",
        "## Settings",
        "",
        *_settings(settings),
        "",
        "## Licence",
        "",
        _licence(spec, settings),
    ]
    return "\n".join(lines) + "\n"


def _head(spec: str, settings: Mapping[str, Any]) -> list[str]:
    location = spec.partition("?")[0].removeprefix("local:")
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation", "tags: [genevolve, trl]"]
    if location == "smollm2":
        lines.append("base_model: HuggingFaceTB/SmolLM2-135M-Instruct")
    elif _HUB.fullmatch(location) and not Path(location).exists():
        lines.append(f"base_model: {location}")
    licence = str((settings.get("output") or {}).get("licence", ""))
    if re.fullmatch(r"[a-z0-9.-]{1,40}", licence):
        lines.append(f"license: {licence}")
    elif location == "smollm2":
        lines.append("license: apache-2.0")
    return [*lines, "---", ""]


def _origin(identity: Mapping[str, Any], spec: str, settings: Mapping[str, Any], folder: Path) -> list[str]:
    policy, suite = identity.get("policy") or {}, identity.get("suite") or {}
    validation = identity.get("validation")
    libraries = identity.get("libraries") or {}
    rows = [
        ("base", f"`{_name(spec)}` ({_cell(policy.get('version', 'unknown'))})"),
        ("weights", _weights(settings)),
        ("learned on", _suite(suite)),
        ("validated on", "nothing" if not validation else _suite(validation)),
        ("pictures by", _cell(identity.get("renderer"))),
        ("judged by", _cell(identity.get("judge"))),
        ("seed", _cell((settings.get("training") or {}).get("seed"))),
        ("began", _cell(identity.get("created"))),
        ("made with", _cell(", ".join(f"{k} {v}" for k, v in libraries.items()))),
    ]
    cold = folder / "cold_start.json"
    if cold.is_file():
        found = durable.read_json(cold)
        told = ", ".join(f"{k} {v:.4g}" for k, v in found.items() if isinstance(v, int | float))
        rows.insert(2, ("cold start", _cell(told)))
    return ["| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]


def _measured(folder: Path, versions: list[Version], version: Version) -> list[str]:
    lines = []
    found = version.validation or {}
    if found.get("kscore") is not None:
        lines.append(
            f"On {found['requests']} validation requests: KScore {found['kscore']:.4f}, reward "
            f"{found['reward']:.4f}; {found['unscored']} could not be scored."
        )
    else:
        lines.append("It was not measured: there was no validation suite.")
    if (folder / "start_guide.json").is_file():
        guide = durable.read_json(folder / "start_guide.json")
        if isinstance(guide.get("difference"), int | float):
            lines += ["", f"{guide_text_of(guide).capitalize()}."]
    lines += ["", "| version | step | accepted | KScore | difference to the best then | 95 % interval |"]
    lines.append("|---|---|---|---|---|---|")
    for v in versions:
        score = (v.validation or {}).get("kscore")
        gate = v.gate or {}
        mean, low, high = (gate.get(n) for n in ("mean", "low", "high"))
        told = "-" if mean is None else f"{mean:+.4f}"
        interval = "-" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
        shown = "-" if score is None else f"{score:.4f}"
        lines.append(
            f"| {v.name} | {v.step} | {'yes' if v.accepted else 'no'} | {shown} | {told} | {interval} |"
        )
    return lines


def _settings(settings: Mapping[str, Any]) -> list[str]:
    lines = ["```toml"]
    for section in _TOLD:
        values = settings.get(section)
        if isinstance(values, Mapping):
            lines += [f"[{section}]", *(f"{k} = {_toml(k, v)}" for k, v in values.items()), ""]
    return [*lines[:-1], "```"]


def _toml(key: str, value: object) -> str:
    import json

    return json.dumps(_name(value) if key in ("policy", "teacher") and isinstance(value, str) else value)


def _licence(spec: str, settings: Mapping[str, Any]) -> str:
    given = str((settings.get("output") or {}).get("licence", "")).strip()
    known = given or _KNOWN_LICENCES.get(spec.partition("?")[0], "")
    if known:
        return (
            f"The base's weights: {_cell(known)}. These weights are derived from them and from programs that they "
            "wrote; the licence of the requests and of the library that was searched may matter, too."
        )
    return (
        "The licence of the base's weights is not known to genevolve: look at the base, and set output.licence. Its "
        "terms hold for these weights, too."
    )


def _suite(facts: Mapping[str, Any]) -> str:
    return f"`{_name(facts.get('name'))}`, {facts.get('rows')} requests, digest `{facts.get('digest')}`"


def _weights(settings: Mapping[str, Any]) -> str:
    rank = (settings.get("policy") or {}).get("lora_rank")
    return f"a LoRA adapter of rank {rank}" if rank else "all of them"


def _name(value: object) -> str:
    """A spec without the folders before its last two parts: a card that is shared tells nobody's paths."""
    text = _cell(value)
    head, colon, rest = text.partition(":")
    path, mark, query = (rest if colon else head).partition("?")
    if path.startswith(("/", "~", ".")) or path.count("/") > 1:
        path = "/".join(Path(path).parts[-2:]).lstrip("/")
    return f"{head}{colon}{path}{mark}{query}" if colon else f"{path}{mark}{query}"


def _cell(value: object) -> str:
    """A text that stays inside of its cell, whatever it says."""
    text = " ".join(str(value).split())
    return "".join(c if c.isprintable() and c not in "|`<>" else "_" for c in text)[:400]
