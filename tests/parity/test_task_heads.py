"""The same task heads as transformers' classes on the same weights, in both directions, and their losses."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from bertsmith.batch import Batch, Target
from bertsmith.models.config import EncoderConfig, TaskHead, TaskKind
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.model import Model
from bertsmith.models.task_labels import automatic_class
from bertsmith.objectives.labelled import LABELLED, Labelled
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from tests.parity.comparing import assert_equal, flat, padded
from tests.parity.theirs import their_model
from tests.tiny_models import FAMILIES, HEADS_OF_TASKS, padding_of, random_batch, tiny_model

KINDS = {
    "BertFor": "bert",
    "AlbertFor": "albert",
    "RobertaFor": "roberta",
    "DistilBertFor": "distilbert",
    "XLMRobertaFor": "roberta",
    "CamembertFor": "roberta",
}
CLASSES: dict[TaskKind, str] = {
    "sequence": "SequenceClassification",
    "tokens": "TokenClassification",
    "span": "QuestionAnswering",
    "choice": "MultipleChoice",
}
CHOICES = 2
ALL_OF_OURS = [
    (family, task)
    for family, task in product(FAMILIES, HEADS_OF_TASKS)
    if family in ("bert", "albert", "roberta", "distilbert") or task == "labels"
]
ALL_OF_THEIRS = [
    (prefix, kind)
    for prefix, kind in product(KINDS, CLASSES)
    if prefix not in ("XLMRobertaFor", "CamembertFor") or kind == "sequence"
]


def batch_for(config: EncoderConfig) -> Batch:
    """Sequences of unequal lengths without the id of padding; two by two they are choices."""
    batch = random_batch((3, 17, 24, 1, 9, 5), config)
    batch.token_ids[batch.token_ids <= padding_of(config)] += 4
    return replace(batch, groups=torch.arange(6) // CHOICES)


def their_logits(theirs: Any, batch: Batch, config: EncoderConfig, kind: TaskKind) -> Tensor:
    """What their class makes of the batch, shaped as Model.task_logits."""
    inputs = padded(batch, padding_of(config))
    if config.token_types < 2:
        inputs.pop("token_type_ids")
    if kind == "choice":
        inputs = {name: grid.view(-1, CHOICES, grid.shape[1]) for name, grid in inputs.items()}
    outputs = theirs(**inputs)
    if kind == "span":
        return flat(torch.stack([outputs.start_logits, outputs.end_logits], 2), batch)
    if kind == "tokens":
        return flat(outputs.logits, batch)
    return outputs.logits.flatten() if kind == "choice" else outputs.logits


def assert_same(ours: Model, theirs: Any) -> None:
    assert ours.task is not None
    batch = batch_for(ours.config)
    assert_equal(ours.task_logits(ours(batch), batch), their_logits(theirs, batch, ours.config, ours.task.kind))


# --- ours read by them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "task"), ALL_OF_OURS)
def test_ours_read_by_them(tmp_path: Path, family: str, task: str) -> None:
    config, head = FAMILIES[family], HEADS_OF_TASKS[task]
    ours = tiny_model((), config, task=head).eval()
    save_model(ours, tmp_path, pad_token_id=padding_of(config))
    automatic = getattr(transformers, automatic_class(head))
    theirs, info = automatic.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert type(theirs).__name__ == ours.family.task_class(head.kind)
    assert_same(ours, theirs.eval())
    if head.labels:
        assert theirs.config.id2label == dict(enumerate(head.labels))
        assert theirs.config.label2id == {label: number for number, label in enumerate(head.labels)}
        assert theirs.num_labels == len(head.labels)
    wanted = {"sequence": "regression" if head.regression else "single_label_classification"}
    assert theirs.config.problem_type == wanted.get(head.kind)
    again = load_model(tmp_path)
    assert again.task == head and again.config == ours.config and again.trained_heads == ()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in ours.state_dict().items())


def test_they_train_our_heads_with_the_dropout_that_we_do(tmp_path: Path) -> None:
    for name, keys in {
        "albert": ["classifier_dropout_prob"],
        "distilbert": ["seq_classif_dropout", "qa_dropout"],
    }.items():
        config = replace(FAMILIES[name], dropout=0.25)
        save_model(tiny_model((), config, task=HEADS_OF_TASKS["span"]), tmp_path, pad_token_id=0)
        theirs = transformers.AutoConfig.from_pretrained(tmp_path)
        assert [getattr(theirs, key) for key in keys] == [0.25] * len(keys)


# --- theirs read by us ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prefix", "kind"), ALL_OF_THEIRS)
def test_theirs_read_by_us_and_written_again(tmp_path: Path, prefix: str, kind: TaskKind) -> None:
    labels = {"sequence": ("no", "yes", "perhaps"), "tokens": ("O", "B-X", "I-X")}.get(kind, ())
    named = {"id2label": dict(enumerate(labels)), "label2id": {x: n for n, x in enumerate(labels)}} if labels else {}
    theirs = their_model(prefix + CLASSES[kind], 2, **named)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    assert ours.config.family == KINDS[prefix] and ours.task == TaskHead(kind, labels)
    assert_same(ours, theirs)

    (tmp_path / "ours").mkdir()
    save_model(ours, tmp_path / "ours", pad_token_id=theirs.config.pad_token_id)
    automatic = getattr(transformers, f"AutoModelFor{CLASSES[kind]}")
    again, info = automatic.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values())
    written = again.state_dict()
    assert all(torch.equal(expected, written[name]) for name, expected in theirs.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({}, TaskHead("sequence", ("LABEL_0", "LABEL_1"))),
        ({"num_labels": 5}, TaskHead("sequence", tuple(f"LABEL_{number}" for number in range(5)))),
        ({"num_labels": 1}, TaskHead("sequence", ("LABEL_0",), regression=True)),
        ({"num_labels": 1, "problem_type": "regression"}, TaskHead("sequence", ("LABEL_0",), regression=True)),
    ],
)
def test_labels_that_nobody_named(tmp_path: Path, changes: dict[str, Any], task: TaskHead) -> None:
    theirs = their_model("BertForSequenceClassification", 2, **changes)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    assert ours.task == task
    assert_same(ours, theirs)


# --- losses -----------------------------------------------------------------------------------------------------

TARGETS = {
    "labels": Target(torch.arange(6), torch.tensor([0, 1, 2, 2, 1, 0])),
    "number": Target(torch.arange(6), torch.tensor([0.0, 1.5, -2.0, 3.0, 0.25, 5.0])),
    "tags": Target(torch.arange(59), torch.arange(59) % 3),
    "span": Target(torch.arange(6), torch.tensor([[0, 2], [5, 16], [0, 0], [0, 0], [8, 8], [2, 4]])),
    "choice": Target(torch.arange(3), torch.tensor([1, 0, 1])),
}


def their_loss(theirs: Any, batch: Batch, config: EncoderConfig, kind: TaskKind, labels: Tensor) -> Tensor:
    """The mean over the batch, as their class computes it; alone only a span has several sequences' tokens at once."""
    inputs = padded(batch, padding_of(config))
    if kind == "choice":
        inputs = {name: grid.view(-1, CHOICES, grid.shape[1]) for name, grid in inputs.items()}
    if kind == "span":
        return theirs(**inputs, start_positions=labels[:, 0], end_positions=labels[:, 1]).loss
    if kind == "tokens":
        rows = torch.nn.utils.rnn.pad_sequence(
            list(labels.split(batch.lengths.tolist())), batch_first=True, padding_value=-100
        )
        return theirs(**inputs, labels=rows).loss
    return theirs(**inputs, labels=labels).loss


@pytest.mark.parametrize("name", HEADS_OF_TASKS)
def test_losses_and_gradients_are_theirs(tmp_path: Path, name: str) -> None:
    config = replace(FAMILIES["bert"], dropout=0.0, attention_dropout=0.0)
    head, target = HEADS_OF_TASKS[name], TARGETS[name]
    ours = tiny_model((), config, task=head)
    save_model(ours, tmp_path, pad_token_id=0)
    theirs = getattr(transformers, automatic_class(head)).from_pretrained(tmp_path)
    batch = replace(batch_for(config), targets={LABELLED: target})
    if name == "span":  # theirs softmaxes over padding too; equally long sequences have none
        batch = replace(random_batch((24,) * 6, config), targets={LABELLED: target})
    score = Labelled(head).score(ours, ours(batch), batch)
    (score.loss / score.count).backward()
    expected = their_loss(theirs, batch, config, head.kind, target.labels)
    expected.backward()
    assert score.loss.item() / score.count == pytest.approx(expected.item(), rel=1e-5)
    last = [
        parameter.grad
        for name, parameter in theirs.named_parameters()
        if name in ("classifier.weight", "qa_outputs.weight")
    ]
    first = theirs.get_parameter("bert.embeddings.word_embeddings.weight").grad
    assert_equal(ours.get_parameter(f"heads.{head.kind}.output.weight").grad, last[0])
    assert_equal(ours.get_parameter("encoder.embeddings.words.weight").grad, first)


# --- the whole folder -------------------------------------------------------------------------------------------


def test_a_pipeline_names_our_labels(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "card", "has", "not", "come"]
    tokenizer = WordPieceTokenizer(words, lowercase=True)
    config = replace(FAMILIES["bert"], vocab_size=len(words))
    for head in (HEADS_OF_TASKS["labels"], HEADS_OF_TASKS["tags"]):
        folder = tmp_path / head.kind
        folder.mkdir()
        save_model(tiny_model((), config, task=head), folder, pad_token_id=0)
        tokenizer.save(folder, 24)
    classify: Any = transformers.pipeline("text-classification", str(tmp_path / "sequence"), top_k=None)
    (found,) = classify(["the card has not come"])
    assert {each["label"] for each in found} == set(HEADS_OF_TASKS["labels"].labels)
    assert sum(each["score"] for each in found) == pytest.approx(1.0)
    tag: Any = transformers.pipeline("token-classification", str(tmp_path / "tokens"), ignore_labels=[])
    assert {each["entity"] for each in tag("the card has not come")} <= set(HEADS_OF_TASKS["tags"].labels)


def test_a_shared_albert_that_they_trained_on_is_read_as_trained(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("albert, attention", "albert, ffn in groups", "albert, wide"):
        (tmp_path / name / "theirs").mkdir(parents=True)
        folder = tmp_path / name
        save_model(tiny_model((), FAMILIES[name], task=HEADS_OF_TASKS["labels"]), folder, pad_token_id=0)
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).train()
        batch = batch_for(FAMILIES[name])
        optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
        F.cross_entropy(their_logits(theirs, batch, FAMILIES[name], "sequence"), torch.arange(6) % 3).backward()
        optimizer.step()
        theirs.save_pretrained(folder / "theirs")
        assert "trained apart" not in capsys.readouterr().err
        ours = load_model(folder / "theirs")
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and "has been trained apart" in said[0]
        wide = name == "albert, wide"
        assert ours.config.sharing == ("all" if wide else "none")
        assert ours.config.has_mapping
        assert ours.task == HEADS_OF_TASKS["labels"]
        assert_same(ours, theirs.eval())
