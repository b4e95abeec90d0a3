"""`export` from the outside: what it writes, when it refuses, and what the same line does again. No optional tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith import exporting, rendering, store
from bertsmith.cli import run
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.exporting import export
from bertsmith.exports import huggingface, sentence_transformers, tools
from bertsmith.exports.outputs import answer
from bertsmith.exports.probes import line_sequences
from bertsmith.models.folder import save_model
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.forward import batches
from bertsmith.tasks.trained import TaskSettings, load_trained, write_settings
from tests.disks import mounted
from tests.stories import tiny_model, tiny_tokenizer
from tests.tiny_models import HEADS_OF_TASKS
from tests.tiny_models import tiny_model as random_model
from tests.tiny_tasks import FAMILIES, write_start


@pytest.fixture(autouse=True)
def without_their_tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading sentence-transformers takes seconds: one file of tests has it."""
    monkeypatch.setattr(sentence_transformers, "is_installed", lambda name: False)


def with_settings(folder: Path, **config: Any) -> Path:
    """The folder as a model fine-tuned for similarity."""
    write_settings(folder, TaskSettings("sentence-pairs", "similarity", (), ("spearman",), TaskConfig(**config)))
    return folder


def outputs(path: Path) -> list[torch.Tensor]:
    trained = load_trained(path)
    found = [answer(trained.model, batch) for _, batch in batches(_lines(trained), torch.device("cpu"))]
    return [tensor for several in found for tensor in several]


def _lines(trained: Any) -> Any:
    return line_sequences(trained.tokenizer, trained.max_length)


@pytest.mark.parametrize("family", FAMILIES)
def test_huggingface_folder_is_the_same_model(family: str, tmp_path: Path) -> None:
    start = write_start(tmp_path / "start", family)
    result = export(start, "huggingface", tmp_path / "out")
    assert result["largest_difference"] <= 1e-5
    assert set(result["files"]) >= {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    for one, other in zip(outputs(start), outputs(tmp_path / "out"), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_huggingface_folder_has_all_heads_and_says_how_it_is_loaded(pretrained: Path, tmp_path: Path) -> None:
    export(pretrained, "huggingface", tmp_path / "out")
    assert load_trained(tmp_path / "out").model.trained_heads == ("masked_lm", "pair")
    assert "AutoModelForMaskedLM" in (tmp_path / "out" / "README.md").read_text()
    assert export(tmp_path / "out", "huggingface", tmp_path / "again")["files"]


def test_task_heads_settings_and_card_go_with_the_model(tmp_path: Path) -> None:
    start, tokenizer = tmp_path / "start", tiny_tokenizer()
    start.mkdir()
    model = random_model((), tiny_model(tokenizer).config, task=HEADS_OF_TASKS["labels"])
    save_model(model, start, pad_token_id=0)
    tokenizer.save(start, 32)
    labels = HEADS_OF_TASKS["labels"].labels
    write_settings(start, TaskSettings("table", "classification", labels, ("accuracy",), TaskConfig(max_length=16)))
    (start / "README.md").write_text("# Mine\n")
    export(start, "huggingface", tmp_path / "out")
    trained = load_trained(tmp_path / "out")
    assert trained.settings == load_trained(start).settings and trained.model.task == HEADS_OF_TASKS["labels"]
    assert (tmp_path / "out" / "README.md").read_text() == "# Mine\n"


def test_the_same_line_again_finds_what_is_there(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = export(pretrained, "huggingface", tmp_path / "out")
    monkeypatch.setattr(exporting, "_write", None)  # nothing is written again
    assert export(pretrained, "huggingface", tmp_path / "out") == first


def test_another_line_wants_another_folder(pretrained: Path, tmp_path: Path) -> None:
    export(pretrained, "huggingface", tmp_path / "out")
    with pytest.raises(UsageError, match="--to huggingface"):
        export(pretrained, "sentence-transformers", tmp_path / "out")
    with pytest.raises(UsageError, match="another model"):
        export(write_start(tmp_path / "other"), "huggingface", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty and holds no export"):
        export(pretrained, "huggingface", tmp_path / "full")
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_damaged_export_is_named(pretrained: Path, tmp_path: Path) -> None:
    export(pretrained, "huggingface", tmp_path / "out")
    weights = tmp_path / "out" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    for again in (lambda: export(pretrained, "huggingface", tmp_path / "out"), lambda: load_trained(tmp_path / "out")):
        with pytest.raises(BertsmithError, match=r"model\.safetensors: damaged"):
            again()
    with pytest.raises(BertsmithError, match=r"model\.safetensors: damaged"):
        export(tmp_path / "out", "sentence-transformers", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("to", ["huggingface", "sentence-transformers"])
def test_what_differs_is_refused_and_leaves_nothing(
    to: Any, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = huggingface.save_model

    def spoiled(model: Any, folder: Path, **values: Any) -> None:
        with torch.no_grad():
            kept = model.encoder.embeddings.words.weight.clone()
            model.encoder.embeddings.words.weight *= 1.1
            save(model, folder, **values)
            model.encoder.embeddings.words.weight.copy_(kept)

    monkeypatch.setattr(huggingface, "save_model", spoiled)
    with pytest.raises(BertsmithError, match="differs by"):
        export(pretrained, to, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(pretrained: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "180k") as place:
        (place / "ballast").write_bytes(bytes(60_000))
        with pytest.raises(BertsmithError, match="No space left|MB are free"):
            export(pretrained, "huggingface", place / "out")
        assert [file.name for file in place.iterdir()] == ["ballast"]


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", False), ("mean", True), ("cls", False), ("cls", True)])
def test_sentence_transformers_layout_says_how_vectors_are_made(pooling: str, normalize: bool, tmp_path: Path) -> None:
    start = with_settings(write_start(tmp_path / "start"), pooling=pooling, normalize=normalize)
    result = export(start, "sentence-transformers", tmp_path / "out")
    assert result["largest_difference"] <= 1e-5
    modules = json.loads((tmp_path / "out" / "modules.json").read_text())
    kinds = [module["type"] for module in modules]
    names = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    assert kinds == [f"sentence_transformers.models.{name}" for name in names]
    assert [module["path"] for module in modules] == ["", "1_Pooling", "2_Normalize"][: len(modules)]
    pooled = json.loads((tmp_path / "out" / "1_Pooling" / "config.json").read_text())
    assert pooled == {
        "word_embedding_dimension": 32,
        "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean",
    }
    read = json.loads((tmp_path / "out" / "sentence_bert_config.json").read_text())
    assert read == {"max_seq_length": 24, "do_lower_case": False, "model_args": {"add_pooling_layer": False}}


def test_sentence_transformers_folder_is_an_encoder_alone(pretrained: Path, tmp_path: Path) -> None:
    export(pretrained, "sentence-transformers", tmp_path / "out")
    trained = load_trained(tmp_path / "out")
    assert trained.model.trained_heads == () and trained.model.encoder.pooler is not None
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == ["BertModel"]
    assert "model_args" not in json.loads((tmp_path / "out" / "sentence_bert_config.json").read_text())


def test_wrong_pooling_in_the_layout_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = with_settings(write_start(tmp_path / "start"), pooling="cls")
    write = sentence_transformers._write_layout
    monkeypatch.setattr(sentence_transformers, "_write_layout", lambda t, f, pooling, n: write(t, f, "mean", n))
    with pytest.raises(BertsmithError, match="vectors differ by"):
        export(start, "sentence-transformers", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_tools_are_named_with_the_line_that_installs_them(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    with pytest.raises(BertsmithError, match=r"onnx, onnxscript, onnxruntime are not installed .*bertsmith\[onnx\]"):
        export(pretrained, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--to", "huggingface", "--int8"], "--int8: is for --to onnx"),
        (["--to", "onnx", "--data", "x.csv"], "--data: is what --int8 is judged by"),
        (["--to", "onnx", "--int8", "--data", "x.csv", "--max-loss", "nan"], "--max-loss nan"),
        (["--to", "pickle"], "pickle"),
        (["--to", "onnx", "--training.steps", "3"], "export takes no fields of a recipe"),
    ],
)
def test_wrong_usage_is_one_line(
    more: list[str], message: str, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(pretrained), "--out", str(tmp_path / "out"), *more]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and "\n" not in said
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(pretrained: Path, tmp_path: Path) -> None:
    with store.writing(tmp_path / "out", "export", {}), pytest.raises(BertsmithError, match="in use"):
        export(pretrained, "huggingface", tmp_path / "out")


def test_json_has_what_was_written(pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(["export", str(pretrained), "--to", "huggingface", "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"format", "folder", "files", "megabytes", "largest_difference"}
    assert all((out / name).is_file() for name in result["files"])


def test_what_was_written_is_shown() -> None:
    loss = {"metric": "accuracy", "before": 0.9, "after": 0.899, "lost": 0.1, "examples": 1000}
    int8 = {"file": "model_quantized.onnx", "megabytes_before": 17.6, "megabytes": 8.0, "largest_difference": 0.05}
    result = {"format": "onnx", "folder": "out", "files": ["a", "b"], "megabytes": 25.6, "largest_difference": 4.8e-6}
    shown = rendering.export({**result, "int8": {**int8, "agreement": 0.998, "loss": loss}})
    for part in ("a, b", "4.8e-06", "8.0 of 17.6 MB", "99.8%", "0.9000, in 8 bits 0.8990 (1,000 examples)"):
        assert part in shown, part
    bare = rendering.export({**result, "int8": {**int8, "agreement": None, "loss": None}})
    assert "choices" not in bare and "examples" not in bare
