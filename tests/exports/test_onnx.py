"""ONNX files through ONNX Runtime. The exporter takes seconds for the smallest model, so tests share what it wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from bertsmith.data.sequences import single
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.exporting import export
from bertsmith.exports import onnx as writer
from bertsmith.exports import quantization, runtime
from bertsmith.exports.onnx import FILE, QUANTIZED
from bertsmith.exports.outputs import outputs_of
from bertsmith.exports.probes import line_sequences
from bertsmith.exports.runtime import OnnxModel, verify
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.folder import save_model
from bertsmith.models.model import Model
from bertsmith.tasks.evaluation import task_scores
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.trained import TaskSettings, load_trained, write_settings
from bertsmith.tasks.vectors import text_vectors
from tests.stories import tiny_tokenizer
from tests.tiny_models import FAMILIES, HEADS_OF_TASKS, heads_of
from tests.tiny_models import tiny_model as random_model
from tests.tiny_tasks import texts

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
LABELS = ("bad", "good")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two labels, as a table of the user taught them; and that table, labelled as the model would."""
    folder = tmp_path_factory.mktemp("classifier") / "model"
    folder.mkdir()
    tokenizer = tiny_tokenizer()
    config = EncoderConfig(
        "albert", tokenizer.vocab_size, 32, 12, layers=2, heads=2, max_positions=32, sharing="all", init_std=0.3
    )
    save_model(random_model((), config.resolved(), task=TaskHead("sequence", LABELS)), folder, pad_token_id=0)
    tokenizer.save(folder, 32)
    config = TaskConfig(max_length=32)
    write_settings(folder, TaskSettings("table", "classification", LABELS, ("accuracy",), config))
    trained = load_trained(folder)
    rows = ["text,label"]
    for example in texts(40):
        ids = tokenizer.encode_with_offsets(example.first)[0].astype(np.int64)
        (scores,) = task_scores(trained.model, [single(ids, tokenizer.special)])
        rows.append(f"{example.first},{LABELS[int(scores.argmax())]}")
    (folder.parent / "data.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def exported(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("exported") / "out"
    return out, export(pretrained, "onnx", out, int8=True)


@pytest.fixture(scope="module")
def judged(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("judged") / "out"
    return out, export(classifier, "onnx", out, int8=True, data=classifier.parent / "data.csv", max_loss=50)


def test_files_stand_beside_config_and_tokenizer(exported: tuple[Path, dict[str, Any]]) -> None:
    out, result = exported
    assert set(result["files"]) >= {"config.json", "tokenizer.json", "tokenizer_config.json", "README.md", FILE}
    assert result["largest_difference"] <= runtime.TOLERANCE
    assert json.loads((out / "config.json").read_text())["architectures"] == ["BertForPreTraining"]
    assert str(Path.cwd()).encode() not in (out / FILE).read_bytes()


def test_names_and_sizes_are_those_that_other_tools_expect(exported: tuple[Path, dict[str, Any]]) -> None:
    session = onnxruntime.InferenceSession(str(exported[0] / FILE))
    assert [given.name for given in session.get_inputs()] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [given.shape for given in session.get_inputs()] == [["batch", "length"]] * 3
    names = [output.name for output in session.get_outputs()]
    assert names == ["logits", "seq_relationship_logits"]
    assert session.get_outputs()[0].shape[:2] == ["batch", "length"]


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 32), (7, 3)])
def test_any_batch_and_length(exported: tuple[Path, dict[str, Any]], rows: int, length: int) -> None:
    session = onnxruntime.InferenceSession(str(exported[0] / FILE))
    ids = np.ones((rows, length), dtype=np.int64)
    logits, pairs = session.run(None, {"input_ids": ids, "attention_mask": ids, "token_type_ids": 0 * ids})
    assert logits.shape[:2] == (rows, length) and pairs.shape == (rows, 2)


def matrices(folder: Path, out: Path) -> tuple[int, int]:
    """Numbers in the matrices of a model, and in those of its file."""
    own = sum(weight.numel() for weight in load_trained(folder).model.parameters() if weight.dim() == 2)
    written = [weight.dims for weight in onnx.load(out / FILE).graph.initializer if len(weight.dims) == 2]
    return own, sum(int(np.prod(dims)) for dims in written)


def test_the_tied_decoder_is_written_once(pretrained: Path, exported: tuple[Path, dict[str, Any]]) -> None:
    own, written = matrices(pretrained, exported[0])
    assert own == written


@pytest.mark.slow
def test_shared_layers_are_written_once(classifier: Path, judged: tuple[Path, dict[str, Any]]) -> None:
    own, written = matrices(classifier, judged[0])
    assert own == written


def test_products_keep_a_weight_that_is_used_several_times(tmp_path: Path) -> None:
    """Twice as a linear map and once as an embedding, with a bias and without."""
    helper, weight = onnx.helper, np.arange(9, dtype=np.float32).reshape(3, 3) / 7
    nodes = [
        helper.make_node("Gather", ["weight", "ids"], ["rows"]),
        helper.make_node("Gemm", ["rows", "weight", "bias"], ["middle"], transB=1),
        helper.make_node("Gemm", ["middle", "weight"], ["out"], transB=1),
    ]
    values = {"weight": weight, "bias": np.array([1, 2, 3], dtype=np.float32)}
    initial = [onnx.numpy_helper.from_array(array, name) for name, array in values.items()]
    ids = helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["rows"])
    out = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["rows", 3])
    graph = helper.make_graph(nodes, "shared", [ids], [out], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", writer.OPSET)], ir_version=10)

    def answers() -> Any:
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return session.run(None, {"ids": np.array([0, 2])})[0]

    before = answers()
    quantization._as_products(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Gather", "MatMul", "Add", "MatMul"]
    assert np.allclose(answers(), before, atol=1e-6)


def test_8_bits_are_smaller_and_near(pretrained: Path, exported: tuple[Path, dict[str, Any]]) -> None:
    out, result = exported
    int8 = result["int8"]
    assert int8["file"] == QUANTIZED and (out / QUANTIZED).is_file()
    assert int8["megabytes"] < int8["megabytes_before"]
    assert 0 < int8["largest_difference"] < 1 and int8["agreement"] > 0.8 and int8["loss"] is None


@pytest.mark.slow
def test_8_bits_of_shared_layers_and_what_they_lose(classifier: Path, judged: tuple[Path, dict[str, Any]]) -> None:
    int8 = judged[1]["int8"]
    assert int8["loss"]["metric"] == "accuracy" and int8["loss"]["before"] == 1.0 and int8["loss"]["examples"] == 40
    assert int8["loss"]["lost"] == pytest.approx(100 * (1 - int8["loss"]["after"])) and int8["loss"]["after"] > 0.8
    assert int8["agreement"] > 0.5


@pytest.mark.slow
def test_too_great_a_loss_is_refused_and_leaves_nothing(
    classifier: Path, judged: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_export", lambda model, file: file.write_bytes((judged[0] / FILE).read_bytes()))
    monkeypatch.setattr(OnnxModel, "task_logits", lambda self, encoded, batch: -encoded.hidden_states)
    with pytest.raises(BertsmithError, match=r"lose 100\.00 points \(accuracy 1\.0000 before, 0\.0000 in 8 bits"):
        export(classifier, "onnx", tmp_path / "out", int8=True, data=classifier.parent / "data.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_differs_is_refused_and_leaves_nothing(
    pretrained: Path, exported: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized = (exported[0] / QUANTIZED).read_bytes()
    monkeypatch.setattr(writer, "_export", lambda model, file: file.write_bytes(quantized))
    with pytest.raises(BertsmithError, match="differs from ours by up to"):
        export(pretrained, "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_one_line(pretrained: Path, exported: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_bytes((exported[0] / FILE).read_bytes()[:1000])
    with pytest.raises(BertsmithError, match="ONNX Runtime cannot load it"):
        verify(file, load_trained(pretrained).model, 32)


def test_an_export_is_no_model_to_export(exported: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no weights"):
        export(exported[0], "huggingface", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_of_a_model_without_a_task(pretrained: Path, classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        export(pretrained, "onnx", tmp_path / "out", int8=True, data=classifier.parent / "data.csv")


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [("x86_64", "avx2", True), ("x86_64", "avx2 avx512_vnni", False), ("aarch64", "", False)],
)
def test_7_bits_where_products_overflow(
    machine: str, flags: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantization.platform, "machine", lambda: machine)
    monkeypatch.setattr(quantization.Path, "read_text", lambda *_: f"flags : {flags}")
    assert quantization.saturates() is expected


def test_vectors_of_a_file_are_those_of_the_model(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    model = random_model((), replace(FAMILIES["roberta"], vocab_size=tokenizer.vocab_size, layers=1)).eval()
    writer._export(model, tmp_path / FILE)
    sequences = line_sequences(tokenizer, 20)
    found = text_vectors(cast(Model, OnnxModel(tmp_path / FILE, model)), sequences, "mean")
    assert np.abs(found - text_vectors(model, sequences, "mean")).max() < 1e-5


def check(model: Model, folder: Path) -> None:
    writer._export(model, folder / FILE)
    assert verify(folder / FILE, model, model.config.max_positions) <= 1e-5
    quantization.quantize(folder / FILE, folder / QUANTIZED)
    assert len(OnnxModel(folder / QUANTIZED, model).session.get_outputs()) == len(outputs_of(model))


@pytest.mark.slow
@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_every_family(config: EncoderConfig, tmp_path: Path) -> None:
    model = random_model(heads_of(config), config).eval()
    model.trained_heads = heads_of(config)
    check(model, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "albert", "roberta", "distilbert"])
@pytest.mark.parametrize("task", [*HEADS_OF_TASKS.values(), None], ids=[*HEADS_OF_TASKS, "encoder"])
def test_every_task_head(family: str, task: TaskHead | None, tmp_path: Path) -> None:
    check(random_model((), FAMILIES[family], task=task).eval(), tmp_path)
