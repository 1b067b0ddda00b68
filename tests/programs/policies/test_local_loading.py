"""Models from disk: what is loaded, and what is said of what cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from local_models import model, tokenizer

from genevolve.grammar.errors import ConfigurationError
from genevolve.programs.policies.local.loading import load, weights_digest
from genevolve.programs.policies.local.options import LocalOptions

CPU = LocalOptions(device="cpu", offline=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in Hugging Face format."""
    path = tmp_path_factory.mktemp("models") / "tiny"
    model("llama").save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def refused(location: object, said: str, options: LocalOptions = CPU) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load(str(location), options)


def test_a_folder(folder: Path) -> None:
    loaded = load(str(folder), CPU)
    assert (loaded.device, loaded.dtype, loaded.processor) == ("cpu", "float32", None)
    assert not loaded.model.training
    want = model("llama").state_dict()
    assert all(torch.equal(v, want[k]) for k, v in loaded.model.state_dict().items())
    assert loaded.tokenizer.chat_template == tokenizer().chat_template
    half = load(str(folder), LocalOptions(device="cpu", dtype="bfloat16", attention="eager"))
    assert half.model.dtype == torch.bfloat16
    assert half.model.config._attn_implementation == "eager"


def test_a_digest_follows_the_weights_and_nothing_else(folder: Path, copy: Path) -> None:
    one, two = load(str(folder), CPU).model, load(str(copy), CPU).model
    assert weights_digest(one) == weights_digest(two)
    with torch.no_grad():
        two.model.layers[1].mlp.up_proj.weight.mul_(1.0001)
    assert weights_digest(one) != weights_digest(two)


def test_places_where_there_is_nothing(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "there is no file or folder")
    refused("./nowhere", "there is no file or folder")
    refused(tmp_path / "nowhere.gguf", "there is no file or folder")
    refused(tmp_path, "no config.json")
    (tmp_path / "weights.gguf").write_bytes(b"GGUF")
    refused(tmp_path, r"name the one to load, as in .*weights\.gguf")
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "a model is a folder, a GGUF file or a hub id")
    refused("genevolve-tests/no-such-model", "offline=true forbids")


def test_damaged_gguf_files(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"PK\x03\x04" + b"0" * 100)
    refused(file, "no GGUF file")
    for rest in (
        b"",
        b"\x03\x00\x00\x00",
        b"\x03\x00\x00\x00" + b"\xff" * 64,
        b"\x03\x00\x00\x00" + b"\x00" * 64,
    ):
        file.write_bytes(b"GGUF" + rest)
        refused(file, r"x\.gguf cannot be read as a GGUF file")


def test_what_is_no_causal_language_model(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    for kind in ("bert", "t5", "vit"):
        (copy / "config.json").write_text(json.dumps({"model_type": kind}))
        refused(copy, f"a {kind} model, which is not a causal language model")
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "something_new"}))
    refused(copy, "cannot load")
    (copy / "config.json").write_text("{")
    refused(copy, "cannot load")


def test_code_of_strangers_is_not_run(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "code.py").write_text("import pathlib\npathlib.Path('ran').write_text('')\n")
    refused(copy, "trust_remote_code=true")
    assert not Path("ran").exists()


def test_weights_that_are_missing_cut_or_pickled(copy: Path) -> None:
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refused(copy, "cannot load")
    weights.unlink()
    refused(copy, "no .safetensors file")
    torch.save(model("llama").state_dict(), copy / "pytorch_model.bin")
    refused(copy, "pickle files, which can carry code")
    loaded = load(str(copy), LocalOptions(device="cpu", offline=True, pickle=True))
    assert weights_digest(loaded.model) == weights_digest(model("llama"))


def test_a_missing_tokenizer(copy: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        (copy / name).unlink(missing_ok=True)
    refused(copy, "no usable tokenizer")


def test_devices_and_formats(folder: Path) -> None:
    refused(folder, "is not a device", LocalOptions(device="gpu0"))
    if not torch.cuda.is_available():
        refused(folder, "no such CUDA device", LocalOptions(device="cuda"))


@pytest.fixture(scope="module")
def adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of the model."""
    import warnings

    from peft import LoraConfig, get_peft_model

    path = tmp_path_factory.mktemp("adapters") / "lora"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        torch.manual_seed(3)
        made: Any = get_peft_model(
            model("llama"), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        )
        made.save_pretrained(path)
    config = json.loads((path / "adapter_config.json").read_text())
    (path / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(folder)}))
    return path


def test_adapters_by_option_by_folder_and_with_another_base(folder: Path, adapter: Path, copy: Path) -> None:
    plain = load(str(folder), CPU).model
    by_option = load(str(folder), LocalOptions(device="cpu", offline=True, adapter=str(adapter)))
    by_folder = load(str(adapter), CPU)
    rebased = load(str(adapter), LocalOptions(device="cpu", offline=True, base=str(copy)))
    assert by_folder.location == str(folder)
    assert rebased.location == str(copy)
    assert by_folder.tokenizer.chat_template == tokenizer().chat_template
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        logits = [m(ids).logits for m in (plain, by_option.model, by_folder.model, rebased.model)]
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)
    assert torch.equal(logits[1], logits[2])
    assert torch.equal(logits[1], logits[3])


def test_adapters_that_cannot_be_used(folder: Path, adapter: Path, tmp_path: Path) -> None:
    refused(folder, "is not an adapter", LocalOptions(device="cpu", adapter=str(tmp_path)))
    refused(folder, "base names the model under an adapter", LocalOptions(device="cpu", base=str(folder)))
    broken = Path(shutil.copytree(adapter, tmp_path / "broken"))
    (broken / "adapter_model.safetensors").rename(broken / "adapter_model.bin")
    refused(broken, "no adapter_model.safetensors")
    (broken / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    refused(broken, "names no base model")
    (broken / "adapter_config.json").write_text("[")
    refused(broken, "cannot be read")
    other = tmp_path / "other"
    model("gpt2").save_pretrained(other)
    tokenizer().save_pretrained(other)
    refused(adapter, "does not fit the model", LocalOptions(device="cpu", base=str(other)))


def test_options_as_text() -> None:
    read = LocalOptions.parse("device=cpu&dtype=bfloat16&constrained=no&threads=2&kv_gib=0.5&adapter=a%2Fb")
    assert read == LocalOptions("cpu", "bfloat16", "a/b", constrained=False, threads=2, kv_gib=0.5)
    assert read.merged({"dtype": None, "threads": 1}).dtype == "bfloat16"
    for text, said in (
        ("devise=cpu", "did you mean"),
        ("dtype=float8", "dtype is one of"),
        ("constrained=maybe", "true or false"),
        ("threads=many", "is a number"),
        ("threads=0", "from 1 to 1024"),
        ("kv_gib=-1", "kv_gib"),
        ("images=99", "images"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            LocalOptions.parse(text)
