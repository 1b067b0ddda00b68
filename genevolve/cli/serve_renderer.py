"""Put a renderer behind HTTP.

genevolve serve renderer --renderer diffusers:Qwen/Qwen-Image-Edit-2511
genevolve serve renderer --renderer storyboard --port 8001

Listens on loopback. To listen wider, set GENEVOLVE_SERVICE_KEY and give --host 0.0.0.0. docs/serving.md tells more.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

from genevolve.cli.app import OK, SERVICE_FAILED
from genevolve.cli.options import add_config_option

_MIB = 1024 * 1024


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; the modules behind them are loaded when the service starts."""
    parser.add_argument("--renderer", metavar="SPEC", help="what draws (default: the configured renderer)")
    parser.add_argument("--devices", metavar="LIST", help="for diffusers: cuda:0,cuda:1 (default: all)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8001, help="port, 0 for any (default 8001)")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="a further name in Host headers, as behind a proxy; repeat for several",
    )  # fmt: skip
    numbers = (
        ("--queue", _whole, 16, "requests that may wait (default 16)"),
        ("--max-batch", _whole, 4, "text-to-image requests drawn in one call (default 4)"),
        ("--max-pixels", _whole, 2048 * 2048, "area of a picture (default 4194304)"),
        ("--max-steps", _whole, 100, "sampling steps (default 100)"),
        ("--max-images", _whole, 5, "reference images of a request (default 5)"),
        ("--max-image-pixels", _whole, 64_000_000, "area of a reference image (default 64000000)"),
        ("--max-prompt", _whole, 20_000, "characters of a prompt (default 20000)"),
        ("--max-body", _whole, 64, "MiB of a request (default 64)"),
        ("--body-timeout", _seconds, 60.0, "seconds for a request to arrive (default 60)"),
        ("--timeout", _seconds, 1800.0, "seconds of one render (default 1800)"),
        ("--grace", _seconds, 30.0, "seconds to finish what was accepted when told to stop (default 30)"),
    )
    for name, kind, default, text in numbers:
        parser.add_argument(name, type=kind, default=default, metavar="N", help=text)
    parser.add_argument("--warm-up", action="store_true", help="draw a small picture before taking requests")
    parser.add_argument("-v", "--verbose", action="store_true", help="log prompts and health checks, too")
    add_config_option(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Serve until a signal; 0 when everything that was accepted was finished."""
    from genevolve.interpreter.config import load_config
    from genevolve.interpreter.service.auth import KEY_VARIABLE
    from genevolve.interpreter.service.limits import Limits
    from genevolve.interpreter.service.server import ServerSettings, run_server

    config = load_config(file=arguments.config, flags={"render.renderer": arguments.renderer})
    settings = ServerSettings(
        renderer=config.render.renderer,
        devices=tuple(d.strip() for d in (arguments.devices or "").split(",") if d.strip()),
        host=arguments.host,
        port=arguments.port,
        key=config.secrets.get(KEY_VARIABLE),
        names=tuple(arguments.allow_host),
        queue=arguments.queue,
        most_together=arguments.max_batch,
        grace=arguments.grace,
        warm_up=arguments.warm_up,
        limits=Limits(
            body_bytes=arguments.max_body * _MIB,
            body_seconds=arguments.body_timeout,
            images=arguments.max_images,
            image_pixels=arguments.max_image_pixels,
            pixels=arguments.max_pixels,
            steps=arguments.max_steps,
            prompt=arguments.max_prompt,
            render_seconds=arguments.timeout,
        ),
        config=config,
    )
    _log_to_stderr(verbose=arguments.verbose)
    ending = run_server(
        settings,
        lambda url: print(f"genevolve: {config.render.renderer} on {url}", file=sys.stderr, flush=True),
    )
    code = SERVICE_FAILED if ending.given_up else OK
    if ending.stuck:
        # A render that cannot be stopped holds a thread; ending the interpreter around it can crash.
        sys.stderr.flush()
        os._exit(code)
    return code


def _log_to_stderr(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours = logging.getLogger("genevolve.service")
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG if verbose else logging.INFO)
    ours.propagate = False
    server = logging.getLogger("uvicorn.error")
    server.addHandler(handler)
    server.setLevel(logging.WARNING)
    server.propagate = False


def _whole(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10**9:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("must be 0 to 65535")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 10**6:
        raise argparse.ArgumentTypeError("must be above 0")
    return number
