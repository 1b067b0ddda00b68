"""What tests of judges share: small pictures, settings, answers of a vision model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from genevolve.interpreter.config import Config, load_config
from genevolve.interpreter.judges.protocol import Case

GRADES: dict[str, Any] = {
    "hard_constraints": ["three red kites", "the word HARBOUR"],
    "faithfulness": 1,
    "visual_correctness": 0.5,
    "text_accuracy_na": False,
    "text_accuracy": 1.0,
    "aesthetics": 0.5,
    "rationale": "One kite is missing.",
}


def config(tmp_path: Path, address: str, **flags: Any) -> Config:
    """Settings with a server for judges; keys of the process are not seen."""
    return load_config(
        start=tmp_path,
        environment={"JUDGE_BASE_URL": address, "JUDGE_API_KEY": "a-secret-key-of-a-judge"},
        flags={"cache.folder": str(tmp_path / "cache"), "judge.retries": 1, "judge.timeout": 5.0, **flags},
        user_file=tmp_path / "none",
    )


def case(request: str = "three red kites and HARBOUR", colour: str = "red") -> Case:
    return Case(request, Image.new("RGB", (64, 48), colour), Image.new("RGB", (64, 48), "white"), id="one")


def completion(content: object, **more: Any) -> dict[str, Any]:
    """What a server of chat completions answers."""
    text = content if isinstance(content, str) else json.dumps(content)
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": more.pop("finish_reason", "stop")}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    return {"choices": [choice], "usage": usage, **more}
