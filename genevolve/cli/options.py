"""Options that several commands share, and the settings they stand for."""

from __future__ import annotations

import argparse


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config", metavar="FILE", help="use this configuration file instead of searching for one"
    )


def add_library_option(parser: argparse.ArgumentParser) -> None:
    """Add `--library` and `--embedder`."""
    parser.add_argument(
        "--library",
        action="append",
        metavar="FOLDER",
        help="a folder of documents and pictures to search; repeat for several (default: the configured "
        "ones, else the sample library)",
    )
    parser.add_argument(
        "--embedder", metavar="MODEL", help='"auto", "none", or a sentence-transformers folder or id'
    )


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add everything that says where and how programs run."""
    add_config_option(parser)
    add_library_option(parser)
    parser.add_argument(
        "--renderer",
        metavar="SPEC",
        help='"storyboard", "diffusers:<folder or id>", "qwen-service:<url>", "gemini", "openai:<model>", '
        '"comfyui:<workflow.json>", …',
    )
    parser.add_argument(
        "--search",
        metavar="BACKENDS",
        help='who answers the searches, in order, such as "serper,library" (default: the library)',
    )
    bundle = parser.add_mutually_exclusive_group()
    bundle.add_argument("--record", metavar="DIR", help="keep every answer of the searches in this bundle")
    bundle.add_argument(
        "--replay-search", metavar="DIR", help="let this bundle answer the searches; nothing else is asked"
    )
    parser.add_argument("--rpm", metavar="N", help="ask a remote renderer for at most N pictures a minute")
    parser.add_argument("--runs", metavar="FOLDER", help="where run records go (default: runs/)")
    parser.add_argument("--no-record", action="store_true", help="keep no run record")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write the cache of calls")


def machine_flags(arguments: argparse.Namespace) -> dict[str, object]:
    """The settings that the options stand for, by dotted name; None where an option was not given."""
    return {
        "library.folders": arguments.library,
        "library.embedder": arguments.embedder,
        "search.backends": arguments.search,
        "search.image_backends": arguments.search,
        "search.record": arguments.record,
        "search.replay": arguments.replay_search,
        "render.renderer": arguments.renderer,
        "render.rpm": arguments.rpm,
        "runs.folder": arguments.runs,
        "runs.record": False if arguments.no_record else None,
        "cache.enabled": False if arguments.no_cache else None,
    }
