"""Task heads on encoders: what a folder says it has is read strictly, what a task needs is taken over or made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.deepening import deepen
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.importing import load_published
from bertsmith.models.model import Model, count_parameters, parameter_parts
from bertsmith.models.task_models import RAW, Scale, new_task_model, raw_scores, start_task_model
from tests.tiny_models import (
    BOTH_HEADS,
    FAMILIES,
    HEADS_OF_TASKS,
    TINY,
    heads_of,
    padding_of,
    random_batch,
    tiny_model,
)

FOUR = pytest.mark.parametrize("family", ["bert", "albert", "roberta", "distilbert"])
EACH = pytest.mark.parametrize("task", HEADS_OF_TASKS)
LABELS = HEADS_OF_TASKS["labels"]


def written(folder: Path, task: TaskHead | None = LABELS, config: EncoderConfig = TINY, **model: object) -> Path:
    folder.mkdir(exist_ok=True)
    heads = () if task else heads_of(config)
    save_model(tiny_model(heads, config, task=task), folder, pad_token_id=padding_of(config))
    return folder


def change(folder: Path, tensors: Callable[[dict[str, Tensor]], object] = lambda _: None, **values: object) -> Path:
    """Change keys of config.json (None removes one) and the tensors of a folder."""
    path = folder / "config.json"
    found = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))
    weights = load_file(folder / "model.safetensors")
    tensors(weights)
    save_file({name: tensor.clone() for name, tensor in weights.items()}, folder / "model.safetensors")
    return folder


def same(model: Model, other: Model, part: str = "") -> bool:
    mine, theirs = dict(model.named_parameters()), dict(other.named_parameters())
    names = [name for name in mine if name.startswith(part)]
    return bool(names) and all(torch.equal(mine[name], theirs[name]) for name in names)


# --- reading ----------------------------------------------------------------------------------------------------


@FOUR
@EACH
def test_saved_and_loaded_is_the_same(tmp_path: Path, family: str, task: str) -> None:
    head, config = HEADS_OF_TASKS[task], FAMILIES[family]
    folder = written(tmp_path, head, config)
    loaded, expected = load_model(folder), tiny_model((), config, task=head)
    assert (loaded.task, loaded.trained_heads, tuple(loaded.heads)) == (head, (), (head.kind,))
    assert list(loaded.state_dict()) == list(expected.state_dict()) and same(expected, loaded)
    again = load_model(folder, tuple(expected.heads))
    assert again.task == head and same(expected, again), "by the names of its heads, as a checkpoint is read"
    encoder = load_model(folder, ())
    assert encoder.task is None and not len(encoder.heads) and same(encoder, expected)


@FOUR
def test_one_name_for_many_heads_is_told_apart_by_the_class(tmp_path: Path, family: str) -> None:
    """A classifier of tokens and one of sequences are the same tensors in BERT; in the others some are missing."""
    folder = written(tmp_path, HEADS_OF_TASKS["tags"], FAMILIES[family])
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    change(folder, architectures=[name.replace("TokenClass", "SequenceClass")])
    if family in ("bert", "albert"):
        with pytest.raises(BertsmithError, match=r"pooler.* is missing"):
            load_model(folder)
    else:
        with pytest.raises(BertsmithError, match="no part of|is missing"):
            load_model(folder)


def test_logits_have_a_row_for_each_sequence_or_token() -> None:
    batch = random_batch((5, 9, 2))
    shapes = {"labels": (3, 3), "number": (3, 1), "tags": (16, 3), "span": (16, 2), "choice": (3,)}
    for name, shape in shapes.items():
        model = new_task_model(TINY, HEADS_OF_TASKS[name], 0)
        assert model.task_logits(model(batch), batch).shape == shape


@pytest.mark.parametrize(
    ("tensors", "values", "words"),
    [
        (lambda tensors: None, {"architectures": None}, "classifier.bias, classifier.weight: no part of a bert model"),
        (lambda tensors: None, {"architectures": ["BertForMaskedLM"]}, "(config.json names BertForMaskedLM)"),
        (lambda tensors: None, {"architectures": ["Bert\nFor"]}, r"(config.json names Bert\nFor)"),
        (lambda tensors: None, {"architectures": ["BertForMultipleChoice"]}, "classifier.weight has shape (3, 32)"),
        (lambda tensors: None, {"architectures": ["BertForQuestionAnswering"]}, "classifier.bias, classifier.weight"),
        (lambda tensors: None, {"problem_type": "multi_label_classification"}, "problem_type 'multi_label_class"),
        (lambda tensors: tensors.pop("classifier.weight"), {}, "classifier.weight is missing"),
        (lambda tensors: tensors.pop("bert.pooler.dense.bias"), {}, "bert.pooler.dense.bias is missing"),
        (lambda tensors: tensors.update({"crf.weight": torch.zeros(2)}), {}, "crf.weight: no part of"),
        (lambda tensors: tensors.update({"a\nb": torch.zeros(2)}), {}, r"a\nb: no part of"),
        (lambda tensors: tensors.update({"classifier.bias": torch.full((3,), torch.nan)}), {}, "not finite"),
        (
            lambda tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("classifier")],
            {},
            "classifier.weight is missing",
        ),
    ],
)
def test_folders_that_are_not_what_they_say(
    tmp_path: Path, tensors: Callable[[dict[str, Tensor]], object], values: dict[str, object], words: str
) -> None:
    folder = change(written(tmp_path), tensors, **values)
    with pytest.raises(BertsmithError) as raised:
        load_model(folder)
    assert words in str(raised.value) and str(folder) in str(raised.value) and "\n" not in str(raised.value)


def test_a_task_head_in_a_pickled_file(tmp_path: Path) -> None:
    folder = written(tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    loaded = load_published(folder)
    assert loaded.task == LABELS and same(tiny_model((), task=LABELS), loaded)


def test_a_pooler_that_the_head_does_not_read_comes_along(tmp_path: Path) -> None:
    """Folders of tagged text that older versions of transformers wrote have one."""
    pooler = {f"bert.pooler.dense.{end}": torch.ones(32, 32)[0] for end in ("bias",)}
    pooler["bert.pooler.dense.weight"] = torch.ones(32, 32)
    folder = change(written(tmp_path, HEADS_OF_TASKS["tags"]), lambda tensors: tensors.update(pooler))
    loaded = load_model(folder)
    assert loaded.encoder.pooler is not None
    assert start_task_model(folder, HEADS_OF_TASKS["tags"], 0).encoder.pooler is None


# --- starting ---------------------------------------------------------------------------------------------------


@FOUR
@EACH
def test_new_models_depend_on_the_seed_alone(family: str, task: str) -> None:
    first, second, other = (new_task_model(FAMILIES[family], HEADS_OF_TASKS[task], seed) for seed in (1, 1, 2))
    assert same(first, second) and first.training and first.task == HEADS_OF_TASKS[task]
    kind = HEADS_OF_TASKS[task].kind
    assert not torch.equal(*(model.get_parameter(f"heads.{kind}.output.weight") for model in (first, other)))


@FOUR
@EACH
def test_started_from_pretraining(tmp_path: Path, family: str, task: str, capsys: pytest.CaptureFixture) -> None:
    head, config = HEADS_OF_TASKS[task], FAMILIES[family]
    folder = written(tmp_path, None, config)
    started, new = start_task_model(folder, head, 3), new_task_model(config, head, 3)
    assert same(load_model(folder, ()), started, "encoder.embeddings")
    assert same(load_model(folder, ()), started, "encoder.layers")
    assert same(new, started, "heads.") and started.training and started.task == head
    if started.encoder.pooler is not None:
        assert same(load_model(folder), started, "encoder.pooler")
    said = capsys.readouterr().err
    assert said == f"{folder} has no task head: the {head.kind} head starts from random weights\n"
    save_model(started, tmp_path, pad_token_id=padding_of(config))
    assert load_model(tmp_path).task == head


def test_a_pooler_that_is_missing_is_new(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    save_model(tiny_model(("masked_lm",)), tmp_path, pad_token_id=0)
    started = start_task_model(tmp_path, LABELS, 3)
    assert same(new_task_model(TINY, LABELS, 3), started, "encoder.pooler")
    assert "has no pooler: it starts from random weights" in capsys.readouterr().err


@FOUR
@EACH
def test_a_head_for_the_same_labels_is_taken_over(
    tmp_path: Path, family: str, task: str, capsys: pytest.CaptureFixture
) -> None:
    head, config = HEADS_OF_TASKS[task], FAMILIES[family]
    started = start_task_model(written(tmp_path, head, config), replace(head, labels=head.labels[::-1]), 3).eval()
    assert capsys.readouterr().err == f"{tmp_path}: its trained {head.kind} head is taken over\n"
    given, batch = load_model(tmp_path), random_batch((4, 9), config)
    expected, found = (model.task_logits(model(batch), batch) for model in (given, started))
    assert torch.equal(found, expected if not head.labels else expected.flip(-1))


@pytest.mark.parametrize(
    ("has", "wanted", "words"),
    [
        (LABELS, TaskHead("sequence", ("yes", "no")), "has a sequence head for no, yes, perhaps, which decides"),
        (LABELS, TaskHead("tokens", LABELS.labels), "the tokens head starts from random weights"),
        (LABELS, HEADS_OF_TASKS["number"], "which decides something else"),
        (HEADS_OF_TASKS["span"], HEADS_OF_TASKS["choice"], "has a span head, which decides something else"),
        (TaskHead("sequence", ("a\nb", "c", "d", "e")), LABELS, r"for a\nb, c, d, ..., which"),
    ],
)
def test_a_head_for_something_else_is_not(
    tmp_path: Path, has: TaskHead, wanted: TaskHead, words: str, capsys: pytest.CaptureFixture
) -> None:
    started = start_task_model(written(tmp_path, has), wanted, 3)
    assert same(new_task_model(TINY, wanted, 3), started, "heads.")
    said = capsys.readouterr().err.splitlines()
    assert words in said[-1] and len(said) <= 2


def test_a_number_is_a_number_whatever_its_name(tmp_path: Path) -> None:
    folder = written(tmp_path, TaskHead("sequence", ("LABEL_0",), regression=True))
    started = start_task_model(folder, HEADS_OF_TASKS["number"], 3)
    assert same(load_model(folder), started) and started.task == HEADS_OF_TASKS["number"]


def test_a_scale_is_taken_off_inside_and_comes_back_bit_for_bit(tmp_path: Path) -> None:
    folder = written(tmp_path, TaskHead("sequence", ("score",), regression=True))
    raw, scaled = (start_task_model(folder, HEADS_OF_TASKS["number"], 3, scale=s) for s in (RAW, Scale(7.0, 3.0)))
    batch = random_batch((4, 2))
    before = {name: parameter.detach().clone() for name, parameter in scaled.named_parameters()}
    logits = [model.eval().task_logits(model(batch), batch) for model in (raw, scaled)]
    torch.testing.assert_close(logits[1] * 3 + 7, logits[0])
    with raw_scores(scaled, Scale(7.0, 3.0)):
        torch.testing.assert_close(scaled.task_logits(scaled(batch), batch), logits[0])
    assert all(torch.equal(parameter, before[name]) for name, parameter in scaled.named_parameters())


@pytest.mark.parametrize(
    ("tensors", "values"),
    [
        (lambda tensors: None, {"architectures": None}),
        (lambda tensors: None, {"architectures": ["BertForEverything"]}),
        (lambda tensors: None, {"problem_type": "multi_label_classification"}),
        (lambda tensors: tensors.update({"crf.transitions": torch.zeros(3, 3)}), {"architectures": ["BertCrf"]}),
        (lambda tensors: tensors.update({"a\nb": torch.zeros(2)}), {"architectures": ["BertCrf"]}),
    ],
)
def test_foreign_heads_are_left_behind_and_said(
    tmp_path: Path,
    tensors: Callable[[dict[str, Tensor]], object],
    values: dict[str, object],
    capsys: pytest.CaptureFixture,
) -> None:
    folder = change(written(tmp_path), tensors, **values)
    started = start_task_model(folder, HEADS_OF_TASKS["choice"], 3)
    assert same(tiny_model((), task=LABELS), started, "encoder.")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "of a head not known here are left out" in said[0] and "has no task head" in said[1]


def test_a_class_with_a_head_whose_weights_are_not_there(tmp_path: Path) -> None:
    def without(tensors: dict[str, Tensor]) -> None:
        for name in ("classifier.weight", "classifier.bias"):
            tensors.pop(name)

    started = start_task_model(change(written(tmp_path), without), LABELS, 3)
    assert same(new_task_model(TINY, LABELS, 3), started, "heads.")


@pytest.mark.parametrize("name", ["bert.encoder.layer.7.output.dense.weight", "bert.extra", "bert.pooler.more"])
def test_strange_parts_of_the_encoder_are_never_left_out(tmp_path: Path, name: str) -> None:
    folder = change(written(tmp_path), lambda tensors: tensors.update({name: torch.zeros(2)}))
    with pytest.raises(BertsmithError, match="no part of a bert model"):
        start_task_model(folder, LABELS, 0)


def test_labels_are_checked_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two"):
        start_task_model(written(tmp_path), TaskHead("sequence", ("only",)), 0)


# --- dropout, depth, counts -------------------------------------------------------------------------------------


@FOUR
@EACH
def test_dropout_of_heads_is_seeded_and_acts_in_training_only(family: str, task: str) -> None:
    head = HEADS_OF_TASKS[task]
    model, batch = tiny_model((), FAMILIES[family], task=head), random_batch((9, 20), FAMILIES[family])
    encoded = model.eval()(batch)
    model.train()

    def logits(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return model.task_logits(encoded, batch)

    published = task != "span" or family == "distilbert"
    assert torch.equal(logits(1), logits(1))
    assert torch.equal(logits(1), logits(2)) != published, "BERT's head of spans drops nothing"
    model.eval()
    assert torch.equal(logits(1), logits(2))


def test_a_dropout_of_its_own(tmp_path: Path) -> None:
    folder = written(tmp_path, None, replace(TINY, dropout=0.0, attention_dropout=0.0))
    started = start_task_model(folder, LABELS, 0, dropout=0.2)
    assert started.config.dropout == started.config.attention_dropout == 0.2
    assert start_task_model(folder, LABELS, 0).config.dropout == 0.0
    encoded = started(random_batch((9, 20)))
    assert not torch.equal(encoded.hidden_states, started(random_batch((9, 20))).hidden_states)


def test_a_deeper_model_keeps_its_task() -> None:
    deeper = deepen(tiny_model(BOTH_HEADS, task=LABELS), 4)
    assert deeper.task == LABELS and same(tiny_model(BOTH_HEADS, task=LABELS), deeper, "heads.")


def test_parameters_of_a_task_head_are_counted() -> None:
    model = new_task_model(FAMILIES["roberta"], LABELS, 0)
    assert parameter_parts(model)["task_head"] == 32 * 32 + 32 + 3 * 32 + 3
    counted = count_parameters(FAMILIES["roberta"], (), LABELS)
    assert counted["parts"] == parameter_parts(model)
    assert counted["total"] == sum(parameter.numel() for parameter in model.parameters())
