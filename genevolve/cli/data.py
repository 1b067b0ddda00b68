"""Make training data: requests, what a teacher does about them, the good part of it, ground truths, disjoint splits.

genevolve data requests DIR --studio WORLD | --recipes FILE   what is asked for
genevolve data trajectories DIR --policy P --rollouts 6       what a teacher does about it
genevolve data filter DIR [--renderer R --judge J]            six dimensions, with the yields of each step
genevolve data render DIR [--renderer R --judge J]            a ground-truth picture for each request that is left
genevolve data split DIR                                      splits that share nothing, checked and reported
genevolve data stats DIR                                      figures
genevolve data export DIR --format hf --out FOLDER            for datasets, for upstream's scripts, as a benchmark

Each stage reads the one before it and writes JSON lines and the manifest. A stage that was interrupted goes on when it
is called again; one that is up to date does nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.cli.app import OK
from genevolve.cli.options import add_machine_options, machine_flags
from genevolve.cli.output import print_json, printable
from genevolve.cli.progress import Progress
from genevolve.grammar.errors import ConfigurationError

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config
    from genevolve.optimizer.data.folder import DataFolder, StageInfo
    from genevolve.optimizer.evaluation.workshop import Workshop

_PLAIN_EVERY = 30.0
_FORMATS = ("hf", "upstream", "released", "bench")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the stages."""
    commands = parser.add_subparsers(dest="action", metavar="STAGE", required=True)
    for name, add in _STAGES.items():
        sub = commands.add_parser(name, help=_HELP[name], allow_abbrev=False)
        sub.add_argument("folder", metavar="DIR", type=Path, help="the folder of the data set")
        sub.add_argument("--json", action="store_true", help="print data instead of text")
        add(sub)


def execute(arguments: argparse.Namespace) -> int:
    """Do the stage."""
    from genevolve.cli.run_batch import terminable
    from genevolve.optimizer.data.folder import DataFolder

    if arguments.action not in ("requests",) and not (arguments.folder / "manifest.json").is_file():
        from genevolve.grammar.errors import AuthorError

        raise AuthorError(f"{arguments.folder} holds no data set; 'genevolve data requests' begins one")
    with terminable(), DataFolder(arguments.folder) as data:
        return _ACTIONS[arguments.action](data, arguments)


# ---- stages ------------------------------------------------------------------------------------------


def _requests(data: DataFolder, arguments: argparse.Namespace) -> int:
    from genevolve.interpreter.config import load_config
    from genevolve.optimizer.data.recipes import ModelWriter, TemplateWriter, Writer, read_recipes
    from genevolve.optimizer.data.requests import from_recipes, from_studio

    if (arguments.studio is None) == (arguments.recipes is None):
        raise ConfigurationError(
            "where do requests come from? either --studio WORLD[/SPLIT] or --recipes FILE.jsonl"
        )
    if arguments.studio is not None:
        return _told(data, "requests", from_studio(data, arguments.studio, arguments.count), arguments)
    recipes = read_recipes(arguments.recipes)[: arguments.count]
    kind, _, model = arguments.writer.partition(":")
    writer: Writer
    if kind == "templates":
        writer = TemplateWriter()
    elif kind == "endpoint" and model:
        from genevolve.interpreter.judges.chat import VisionModel

        writer = ModelWriter(VisionModel(model, load_config(file=arguments.config)))
    else:
        raise ConfigurationError(f"--writer is templates or endpoint:MODEL, not {arguments.writer!r}")
    info = from_recipes(
        data, recipes, writer, arguments.per_recipe, arguments.seed, restart=arguments.restart
    )
    return _told(data, "requests", info, arguments)


def _trajectories(data: DataFolder, arguments: argparse.Namespace) -> int:
    from genevolve.cli.synth import policy_spec
    from genevolve.optimizer.data import trajectories
    from genevolve.optimizer.evaluation.baselines import open_contestant
    from genevolve.programs.policies.protocol import Limits
    from genevolve.programs.session import open_machine
    from genevolve.programs.synthesis.rollout import Bounds

    config = _config(data, arguments)
    turn = Limits()
    turn = Limits(
        arguments.max_tokens or turn.max_tokens,
        turn.temperature if arguments.temperature is None else arguments.temperature,
        turn.top_p if arguments.top_p is None else arguments.top_p,
    )
    policy = open_contestant(policy_spec(arguments, config), config)
    try:
        # A folder of its own: programs must not open the ground truths that lie beside the call.
        programs = data.path / "programs"
        with open_machine(config, program_folder=programs) as machine, _progress() as tell:
            info = trajectories.make(
                data,
                policy,
                machine,
                rollouts=arguments.rollouts,
                seed=arguments.seed,
                bounds=Bounds(turns=arguments.max_turns or Bounds().turns, turn=turn),
                batch=arguments.batch,
                restart=arguments.restart,
                progress=tell("requests"),
            )
    finally:
        policy.close()
    return _told(data, "trajectories", info, arguments)


def _filter(data: DataFolder, arguments: argparse.Namespace) -> int:
    from genevolve.optimizer.data.filtering import Pictures, Thresholds, filter_rows
    from genevolve.programs.session import open_environment

    config = _config(data, arguments)
    thresholds = Thresholds(dict(Thresholds().least) | dict(arguments.least), arguments.keep)
    with ExitStack() as stack:
        pictures = None
        if arguments.judge is not None:
            workshop, names = _workshop(arguments, config, stack)
            pictures = Pictures(workshop, _truths(data), names, 4 * arguments.parallel)
        tell = stack.enter_context(_progress())
        info = filter_rows(
            data,
            open_environment(config),
            thresholds,
            pictures,
            restart=arguments.restart,
            progress=tell("trajectories"),
        )
    return _told(data, "filtered", info, arguments)


def _render(data: DataFolder, arguments: argparse.Namespace) -> int:
    from genevolve.optimizer.data import truths

    config = _config(data, arguments)
    with ExitStack() as stack:
        drawing = None
        if arguments.renderer is not None:
            workshop, names = _workshop(arguments, config, stack)
            drawing = truths.Drawing(workshop, names, arguments.candidates, arguments.min_score)
        tell = stack.enter_context(_progress())
        info = truths.make(data, drawing, restart=arguments.restart, progress=tell("requests"))
    return _told(data, "truths", info, arguments)


def _split(data: DataFolder, arguments: argparse.Namespace) -> int:
    from genevolve.interpreter.library.embedder import resolve_embedder
    from genevolve.optimizer.data import splitting

    shares = dict(arguments.share) or None
    together = tuple(t for t in arguments.together.split(",") if t)
    info = splitting.make(
        data,
        shares,
        seed=arguments.seed,
        threshold=arguments.threshold,
        together=together,
        embedder=resolve_embedder(arguments.embedder),
    )
    report = splitting.read_report(data.path) or {}
    if arguments.json:
        print_json(report)
        return OK
    _told(data, "splits", info, arguments)
    for pair, found in report["overlaps"].items():
        nearest = found.get("nearest_in_meaning")
        meaning = "" if nearest is None else f", nearest in meaning {nearest['cosine']:.3f}"
        print(
            f"  {pair}: {found['equal']} equal, {found['near_duplicates']} nearly the same, "
            f"{found['shared_values']} shared values{meaning}"
        )
    return OK


def _stats(data: DataFolder, arguments: argparse.Namespace) -> int:
    from genevolve.optimizer.data.stats import stats

    found = stats(data)
    if arguments.json:
        print_json(found)
        return OK
    for name, stage in found["stages"].items():
        steps = ", ".join(f"{k} {v}" for k, v in stage["yields"].items())
        print(printable(f"{name:<14}{stage['rows']:>7} rows   {steps}"))
    if found["outdated"]:
        print(f"out of date: {', '.join(found['outdated'])}")
    for section in ("requests", "filtered"):
        for name, value in found.get(section, {}).items():
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            print(printable(f"{section:<10}{name:<14}{shown}"))
    return OK


def _export(data: DataFolder, arguments: argparse.Namespace) -> int:
    from genevolve.optimizer.data.export import export

    environment = None
    if arguments.format == "released":
        from genevolve.interpreter.config import load_config
        from genevolve.programs.session import open_environment

        environment = open_environment(load_config())
    counts = export(data, arguments.out, arguments.format, environment)
    if arguments.json:
        print_json({"folder": str(arguments.out), "format": arguments.format, "rows": counts})
    else:
        told = ", ".join(f"{n} {name}" for name, n in counts.items())
        print(printable(f"{arguments.out}: {arguments.format}, {told}"))
    return OK


_ACTIONS: dict[str, Callable[[DataFolder, argparse.Namespace], int]] = {
    "requests": _requests,
    "trajectories": _trajectories,
    "filter": _filter,
    "render": _render,
    "split": _split,
    "stats": _stats,
    "export": _export,
}


# ---- what stages share -------------------------------------------------------------------------------


def _config(data: DataFolder, arguments: argparse.Namespace) -> Config:
    """The settings; requests of a studio are looked up in their own world, by words."""
    from genevolve.interpreter.config import load_config

    flags = machine_flags(arguments)
    config = load_config(file=arguments.config, flags=flags)
    info = data.info("requests")
    world = None if info is None else info.settings.get("world")
    library = config.library
    if isinstance(world, str) and not flags["library.folders"]:
        library = library._replace(folders=(Path(world) / "library",))
        if not flags["library.embedder"]:
            library = library._replace(embedder="none")
    from dataclasses import replace

    return replace(config, library=library, runs=config.runs._replace(record=False))


def _workshop(
    arguments: argparse.Namespace, config: Config, stack: ExitStack
) -> tuple[Workshop, Mapping[str, str]]:
    """Where pictures are drawn and judged, closed with the stack; and the names of who does it."""
    from genevolve.interpreter.judges.catalog import open_judge
    from genevolve.interpreter.renderers.catalog import open_renderer
    from genevolve.optimizer.evaluation.workshop import Loop, Processes, is_local

    spec = arguments.renderer or config.render.renderer
    renderer = open_renderer(spec, config)
    judge = None if arguments.judge is None else open_judge(arguments.judge, config)
    workshop: Workshop
    if is_local(spec, arguments.judge):
        workshop = Processes(spec, arguments.judge, arguments.parallel)
    else:
        workshop = Loop(judge, arguments.parallel, renderer)
    stack.callback(workshop.close)
    names = {"renderer": f"{renderer.name} {renderer.version}"}
    return workshop, names if judge is None else names | {"judge": f"{judge.name} {judge.version}"}


def _truths(data: DataFolder) -> Callable[[Mapping[str, Any]], Path | None]:
    """Where the ground truth of a studio's trajectory lies, drawn when it is needed; None for others."""
    info = data.require("requests")
    world = info.settings.get("world")
    if not isinstance(world, str):
        return lambda row: None
    from genevolve.interpreter.studio.folder import ground_truth
    from genevolve.interpreter.studio.requests import Request

    requests = {row["id"]: row for row in data.rows("requests")}

    def truth(row: Mapping[str, Any]) -> Path | None:
        return ground_truth(Path(world), Request.from_dict(requests[row["request_id"]]))

    return truth


class _Teller:
    """A progress line for a stage."""

    def __init__(self) -> None:
        self._progress = Progress(sys.stderr, every=_PLAIN_EVERY)

    def __enter__(self) -> Callable[[str], Callable[[int, int], None]]:
        self._progress.__enter__()
        return lambda what: lambda done, total: self._progress.update(what, done, total)

    def __exit__(self, *end: Any) -> None:
        self._progress.__exit__(*end)


def _progress() -> _Teller:
    return _Teller()


def _told(data: DataFolder, stage: str, info: StageInfo, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json({"folder": str(data.path), "stage": stage, **asdict(info)})
        return OK
    steps = ", ".join(f"{k} {v}" for k, v in info.yields.items())
    print(printable(f"{data.path}: {info.rows} {stage} ({steps})"))
    return OK


# ---- options -----------------------------------------------------------------------------------------


def _add_requests(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--studio", metavar="WORLD[/SPLIT]", help="requests of a studio world (default split: train)"
    )
    parser.add_argument("--recipes", metavar="FILE.jsonl", type=Path, help="recipes, worded by the writer")
    parser.add_argument(
        "--writer", metavar="SPEC", default="templates", help='"templates" (default) or "endpoint:<model>"'
    )
    parser.add_argument(
        "--per-recipe", metavar="N", type=_count, default=1, help="requests a recipe (default: 1)"
    )
    parser.add_argument("--count", metavar="N", type=_count, help="only the first N requests or recipes")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the wording (default: 0)")
    parser.add_argument("--config", metavar="FILE", help="use this configuration file")
    _add_restart(parser)


def _add_trajectories(parser: argparse.ArgumentParser) -> None:
    from genevolve.cli.synth import add_policy_options

    parser.add_argument(
        "--rollouts", metavar="N", type=_count, default=1, help="of each request (default: 1)"
    )
    parser.add_argument(
        "--batch", metavar="N", type=_count, default=16, help="requests shown together (default: 16)"
    )
    add_policy_options(parser)
    add_machine_options(parser)
    _add_restart(parser)


def _add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--least",
        metavar="DIMENSION=X",
        type=_threshold,
        action="append",
        default=[],
        help="the least that passes, such as picture=0.75; repeat for several",
    )
    parser.add_argument(
        "--keep", metavar="N", type=_count, default=2, help="trajectories a request at most (default: 2)"
    )
    _add_drawing(parser)


def _add_render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--candidates", metavar="N", type=_count, default=1, help="pictures of a request (default: 1)"
    )
    parser.add_argument(
        "--min-score", metavar="X", type=float, default=0.5, help="the least score of a truth (default: 0.5)"
    )
    _add_drawing(parser)


def _add_drawing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--judge", metavar="SPEC", help='"inspector", "kscore:<model>", "sufficiency", …')
    parser.add_argument(
        "--parallel", metavar="N", type=_count, default=2, help="pictures at the same time (default: 2)"
    )
    add_machine_options(parser)
    _add_restart(parser)


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--share",
        metavar="SPLIT=X",
        type=_share,
        action="append",
        default=[],
        help="train=0.8, validation=0.05 and heldout=0.15 by default; they add up to 1",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the order (default: 0)")
    parser.add_argument(
        "--threshold",
        metavar="X",
        type=_unit,
        default=0.8,
        help="texts this much alike stay together (default: 0.8)",
    )
    parser.add_argument(
        "--together",
        metavar="FIELDS",
        default="entities",
        help="equal values stay together (default: entities)",
    )
    parser.add_argument("--embedder", metavar="MODEL", default="none", help="also compare splits by meaning")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=_FORMATS, required=True, help="what to write")
    parser.add_argument("-o", "--out", metavar="FOLDER", type=Path, required=True, help="a new folder")


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    """Figures need nothing besides the folder."""


def _add_restart(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--restart", action="store_true", help="drop what an interrupted call left, begin anew"
    )


_STAGES: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "requests": _add_requests,
    "trajectories": _add_trajectories,
    "filter": _add_filter,
    "render": _add_render,
    "split": _add_split,
    "stats": _add_nothing,
    "export": _add_export,
}
_HELP = {
    "requests": "begin a data set with requests",
    "trajectories": "have a teacher answer the requests",
    "filter": "keep the trajectories that are worth learning from",
    "render": "draw ground truths",
    "split": "deal requests to splits that share nothing",
    "stats": "figures of a data set",
    "export": "write a data set for others",
}


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _unit(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return number


def _threshold(text: str) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("is written DIMENSION=X")
    return name.strip(), _unit(number)


def _share(text: str) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("is written SPLIT=X")
    return name.strip(), _unit(number)
