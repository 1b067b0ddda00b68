"""Train a policy on what its own rollouts teach: visual experience distillation into weights.

genevolve compile --policy mini --suite studio:world/train --out compiled            begin (preset: laptop)
genevolve compile --policy local:FOLDER --suite S --preset paper --plan              show plan and cost, do nothing
genevolve compile --out compiled --resume                                            go on after a kill or a stop
genevolve compile rollback compiled v001                                             make an accepted version the best
genevolve compile versions compiled                                                  what the gate said of each version

In each step the policy answers requests several times, pictures are drawn and judged, the best and the worst attempt
give an experience, and the weights are moved by GRPO and towards what the policy itself says under the experiences'
advice. At a gate, new weights replace the best ones if they earn more on validation. Ctrl-C and kills lose nothing but
the steps since the last checkpoint.
The result is DIR/policy, a folder for --policy local:DIR/policy, with a model card.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genevolve.cli.app import OK
from genevolve.cli.output import print_json, printable
from genevolve.grammar.errors import ConfigurationError

if TYPE_CHECKING:
    from genevolve.optimizer.compiling.loop import Listener
    from genevolve.optimizer.compiling.run import Compiled, Prepared
    from genevolve.optimizer.compiling.settings import CompileSettings
    from genevolve.optimizer.compiling.versions import Version

ACTIONS = {"rollback": ("DIR", "VERSION"), "versions": ("DIR",)}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", metavar="ACTION", nargs="?", choices=tuple(ACTIONS), help=argparse.SUPPRESS)
    parser.add_argument("arguments", metavar="DIR [VERSION]", nargs="*", help="after rollback or versions")
    data = parser.add_argument_group("what is compiled")
    data.add_argument(
        "--policy",
        metavar="P",
        help="whose weights: mini (made from nothing), smollm2, local:FOLDER, a .gguf file, a hub id, an adapter",
    )
    data.add_argument(
        "--suite",
        metavar="S",
        help="requests to learn on, as `genevolve bench` takes them: studio:DIR/train, …",
    )
    data.add_argument("--requests", metavar="FILE", help="the same from a .jsonl file with a request a line")
    data.add_argument(
        "--validation", metavar="S", help="suite of the gate (default: the same studio world's validation)"
    )
    data.add_argument("--sketch", metavar="FILE", help="a .gprog that each request is filled into")
    data.add_argument("-o", "--out", metavar="DIR", type=Path, help="the run folder")
    numbers = parser.add_argument_group("settings")
    numbers.add_argument(
        "--preset", choices=("laptop", "paper"), help="numbers to begin with (default: laptop)"
    )
    numbers.add_argument("--config", metavar="FILE", type=Path, help="a TOML file of the settings below")
    numbers.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="one setting; repeat for several",
    )
    numbers.add_argument(
        "--project", metavar="FILE", help="genevolve.toml of the machine, instead of searching for it"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--plan", action="store_true", help="show the plan and what it costs, and stop")
    how.add_argument(
        "--probe", action="store_true", help="with --plan: make a few rollouts to measure the time"
    )
    how.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    how.add_argument("--yes", action="store_true", help="agree to services that may cost money")
    how.add_argument("--json", action="store_true", help="print data instead of text")
    parser.epilog = _epilog()


def execute(arguments: argparse.Namespace) -> int:
    """Compile, or do the action."""
    if arguments.action is not None:
        return _act(arguments.action, arguments.arguments, as_json=arguments.json)
    if arguments.arguments:
        raise ConfigurationError(f"what is {arguments.arguments[0]!r}? actions are {', '.join(ACTIONS)}")
    return _compile(arguments)


# ---- a run -------------------------------------------------------------------------------------------


def _compile(arguments: argparse.Namespace) -> int:
    from genevolve.cli.run_batch import terminable
    from genevolve.interpreter.config import load_config
    from genevolve.optimizer.compiling.folder import check
    from genevolve.optimizer.compiling.run import prepare, run

    if arguments.out is None:
        raise ConfigurationError("a run needs a folder: --out DIR")
    if not arguments.plan:
        check(arguments.out, resume=arguments.resume)
    settings = _settings(arguments)
    prepared = prepare(settings, arguments.out, load_config(file=arguments.project))
    for id, why in prepared.data.skipped[:10]:
        print(printable(f"genevolve: request {id} cannot be used: {why}"), file=sys.stderr)
    with terminable():
        if arguments.plan:
            return _show_plan(prepared, probe=arguments.probe, as_json=arguments.json)
        print(printable(prepared.plan.to_text()), file=sys.stderr)
        with _screen(sys.stderr) as screen:
            found = run(prepared, resume=arguments.resume, agreed=arguments.yes, listener=screen)
    _tell(found, as_json=arguments.json)
    return OK


def _settings(arguments: argparse.Namespace) -> CompileSettings:
    from genevolve.optimizer.compiling.run import choose_settings

    values = {
        "policy.policy": arguments.policy,
        "data.suite": arguments.suite,
        "data.requests": arguments.requests,
        "data.validation": arguments.validation,
        "data.sketch": arguments.sketch,
    }
    return choose_settings(
        arguments.out, arguments.preset, arguments.config, arguments.set, values, resume=arguments.resume
    )


def _show_plan(prepared: Prepared, *, probe: bool, as_json: bool) -> int:
    from dataclasses import replace

    plan = prepared.plan
    if probe:
        plan = replace(plan, seconds=_probed(prepared))
    if as_json:
        print_json({**plan.to_dict(), "settings": prepared.settings.to_dict()})
    else:
        print(printable(plan.to_text()))
    return OK


def _probed(prepared: Prepared) -> float:
    import tempfile

    from genevolve.optimizer.compiling.ground import Ground
    from genevolve.optimizer.compiling.plan import measure
    from genevolve.optimizer.compiling.start import open_base

    if prepared.spec.mini:
        raise ConfigurationError(
            "a mini policy does not exist before its cold start; there is nothing to probe"
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        Ground(prepared.settings, prepared.data, prepared.config, prepared.specs, Path(folder)) as ground,
    ):
        policy = open_base(prepared.spec, prepared.settings.policy)
        try:
            return measure(ground, policy, prepared.settings)
        finally:
            policy.close()


def _tell(found: Compiled, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "folder": str(found.folder),
                "policy": str(found.policy),
                "best": found.best,
                "step": found.step,
                "reason": found.reason,
                "report": None if found.report is None else str(found.report),
            }
        )
        return
    ended = f"ended after step {found.step}: {found.reason}" if found.reason else f"{found.step} steps"
    print(printable(f"{ended}; the best version is {found.best}"))
    print(printable(f"{found.policy}: use it as --policy local:{found.policy}"))
    if found.report is not None:
        print(printable(f"{found.report}"))


# ---- actions -----------------------------------------------------------------------------------------


def _act(action: str, given: Sequence[str], *, as_json: bool) -> int:
    wanted = ACTIONS[action]
    if len(given) != len(wanted):
        raise ConfigurationError(f"compile {action} takes {' '.join(wanted)}")
    folder = Path(given[0])
    if action == "rollback":
        from genevolve.optimizer.compiling.versions import rollback

        version = rollback(folder, given[1])
        if as_json:
            print_json({"best": version.name, "policy": str(folder / "policy")})
        else:
            print(printable(f"{folder / 'policy'} is {version.name} now, from step {version.step}"))
        return OK
    return _versions(folder, as_json=as_json)


def _versions(folder: Path, *, as_json: bool) -> int:
    from genevolve.grammar.errors import AuthorError
    from genevolve.optimizer.compiling.durable import read_json
    from genevolve.optimizer.compiling.folder import identity_of
    from genevolve.optimizer.compiling.versions import Versions

    identity_of(folder)
    best = None
    with suppress(AuthorError):
        best = read_json(folder / "state.json").get("best") if (folder / "state.json").exists() else None
    found = Versions(folder).all()
    if as_json:
        print_json({"best": best, "versions": [v.to_dict() for v in found]})
        return OK
    for version in found:
        mark = "*" if version.name == best else " "
        print(printable(f"{mark} {version_text(version)}"))
    return OK


def version_text(version: Version) -> str:
    """A line about a version."""
    found = version.validation or {}
    score = "" if found.get("kscore") is None else f"  KScore {found['kscore']:.4f}"
    accepted = "accepted" if version.accepted else "kept aside"
    return f"{version.name}  step {version.step:<5}{accepted}{score}  {version.why}"


# ---- live progress -----------------------------------------------------------------------------------


FIGURES = (
    ("reward", "reward/mean", ".3f"),
    ("gap", "reward/gap", ".3f"),
    ("hits", "memory/hit_rate", ".0%"),
    ("SDL", "sdl/loss", ".4f"),
    ("KL", "kl", ".4f"),
    ("entropy", "entropy", ".3f"),
    ("tokens/s", "tokens_per_second", ".0f"),
)
"""What is shown of a step: heading, name of the figure, format."""


def step_text(step: int, steps: int, figures: Mapping[str, float], seconds: float) -> str:
    """A line about a step; figures that it has not are left out."""
    told = [f"{name} {figures[key]:{form}}" for name, key, form in FIGURES if key in figures]
    each = figures.get("seconds/step", 0.0)
    left = f"{_duration(each * (steps - step))} left" if step < steps else f"after {_duration(seconds)}"
    return f"step {step}/{steps}  {'  '.join(told)}  {each:.1f} s, {left}"


class _Screen(Protocol):
    def __enter__(self) -> Listener: ...

    def __exit__(self, *_: object) -> None: ...


def _screen(stream: Any) -> _Screen:
    return _Live(stream) if stream.isatty() else _Lines(stream)


class _Lines:
    """A line for each thing that happens: for files and pipes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to take down."""

    def phase(self, text: str) -> None:
        """What is begun now."""
        self._print(text)

    def step(self, step: int, steps: int, figures: Mapping[str, float], seconds: float) -> None:
        """A step was made."""
        self._print(step_text(step, steps, figures, seconds))

    def version(self, version: Version) -> None:
        """A version was measured."""
        self._print(version_text(version))

    def _print(self, text: str) -> None:
        print(printable(text), file=self._stream, flush=True)


class _Live:
    """A bar with the figures of the last steps under it, on a terminal; versions stay above."""

    ROWS = 8

    def __init__(self, stream: Any) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._rows: list[tuple[str, ...]] = []
        self._phase = ""
        self._at = (0, 0, 0.0)

    def __enter__(self) -> _Live:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def phase(self, text: str) -> None:
        """What is begun now."""
        self._phase = printable(text)
        self._draw()

    def step(self, step: int, steps: int, figures: Mapping[str, float], seconds: float) -> None:
        """A step was made."""
        shown = (format(figures[key], form) if key in figures else "-" for _, key, form in FIGURES)
        self._rows = [*self._rows, (str(step), *shown, f"{figures.get('seconds/step', 0.0):.1f}")][
            -self.ROWS :
        ]
        self._at = (step, steps, figures.get("seconds/step", 0.0))
        self._phase = "evolving"
        self._draw()

    def version(self, version: Version) -> None:
        """A version was measured."""
        from rich.text import Text

        self._console.print(Text(printable(version_text(version))))

    def _draw(self) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        step, steps, each = self._at
        left = f"  {_duration(each * (steps - step))} left" if steps else ""
        parts: list[Any] = [Text(f"{self._phase}  {f'{step}/{steps}' if steps else ''}{left}")]
        if steps:
            line = Table.grid()  # a bar alone does not end its line
            line.add_row(ProgressBar(total=steps, completed=step, width=50))
            parts.append(line)
            table = Table(box=None, pad_edge=False)
            for name in ("step", *(name for name, _, _ in FIGURES), "seconds"):
                table.add_column(name, justify="right")
            for row in self._rows:
                table.add_row(*row)
            parts.append(table)
        self._live.update(Group(*parts))


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _epilog() -> str:
    """All settings with their defaults: what a file and --set take."""
    from genevolve.optimizer.compiling.settings import all_settings

    lines = [
        "settings, for --config and --set, with the values of the preset paper (laptop's where it differs):"
    ]
    section = ""
    for setting in all_settings():
        name = setting.name.partition(".")[0]
        if name != section:
            lines += ["", f"[{name}]"]
            section = name
        other = f"; laptop: {_value(setting.laptop)}" if setting.laptop != setting.paper else ""
        choices = f" ({', '.join(setting.range.choices)})" if setting.range.choices else ""
        lines.append(f"  {setting.name.partition('.')[2]} = {_value(setting.paper)}{other}")
        lines.append(f"      {setting.range.about}{choices}")
    return "\n".join(lines)


def _value(value: object) -> str:
    import json

    return json.dumps(list(value) if isinstance(value, tuple) else value)
