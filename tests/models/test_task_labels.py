"""Labels of task heads: checked before a head is made, and read with care from a config.json of anyone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.config import MAX_LABELS, TaskHead
from bertsmith.models.families import FAMILIES
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.task_labels import automatic_class, task_from_json, task_to_json
from bertsmith.models.untrusted import LARGEST_CONFIG
from tests.tiny_models import HEADS_OF_TASKS, tiny_model

PATH = Path("here/config.json")
CLASSES = {
    "sequence": "BertForSequenceClassification",
    "tokens": "RobertaForTokenClassification",
    "span": "AlbertForQuestionAnswering",
    "choice": "DistilBertForMultipleChoice",
}


def read(kind: str = "sequence", **values: Any) -> TaskHead | None:
    return task_from_json({"architectures": [CLASSES[kind]], **values}, PATH)


def ids(*labels: object) -> dict[str, object]:
    return {str(number): label for number, label in enumerate(labels)}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
@pytest.mark.parametrize("name", HEADS_OF_TASKS)
def test_written_is_read(family: Any, name: str) -> None:
    head = HEADS_OF_TASKS[name]
    written = json.loads(json.dumps(task_to_json(head, family, 0.1), sort_keys=True))
    assert task_from_json(written, PATH) == head
    assert written["architectures"][0].endswith(automatic_class(head).removeprefix("AutoModel"))


def test_labels_stand_in_the_order_of_their_ids() -> None:
    names = [f"label {number}" for number in range(12)]
    shuffled = {str(number): names[number] for number in (11, 2, 10, 0, 1, 3, 4, 9, 5, 6, 7, 8)}
    assert read("tokens", id2label=shuffled) == TaskHead("tokens", tuple(names))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, TaskHead("sequence", ("LABEL_0", "LABEL_1"))),
        ({"id2label": None, "num_labels": 3}, TaskHead("sequence", ("LABEL_0", "LABEL_1", "LABEL_2"))),
        ({"id2label": ids("a", "b"), "num_labels": 3}, TaskHead("sequence", ("a", "b"))),
        ({"id2label": ids("a", "b"), "label2id": {"a": 7}}, TaskHead("sequence", ("a", "b"))),
        ({"id2label": ids("a", "b"), "label2id": "nonsense"}, TaskHead("sequence", ("a", "b"))),
        ({"id2label": ids("a")}, TaskHead("sequence", ("a",), regression=True)),
        ({"id2label": ids("a"), "problem_type": "regression"}, TaskHead("sequence", ("a",), regression=True)),
        ({"id2label": ids("a", "b"), "problem_type": "regression"}, None),
        ({"id2label": ids("a", "b"), "problem_type": "multi_label_classification"}, None),
        ({"id2label": ids("a", "b"), "problem_type": ["single_label_classification"]}, None),
        ({"architectures": ["BertForMaskedLM"]}, None),
        ({"architectures": []}, None),
        ({"architectures": None}, None),
        ({"architectures": "BertForSequenceClassification"}, None),
        ({"architectures": [["BertForSequenceClassification"]]}, None),
        ({"architectures": [3, "BertForSequenceClassification"]}, None),
        ({"architectures": ["TFBertForTokenClassification"]}, TaskHead("tokens", ("LABEL_0", "LABEL_1"))),
    ],
)
def test_what_config_json_says(values: dict[str, Any], expected: TaskHead | None) -> None:
    assert read(**values) == expected


@pytest.mark.parametrize("kind", ["span", "choice"])
def test_spans_and_choices_have_no_labels_whatever_is_said(kind: str) -> None:
    assert read(kind, id2label=["x"], num_labels=10**9, problem_type="x") == TaskHead(kind)  # pyright: ignore


HOSTILE: dict[str, dict[str, Any]] = {
    "a list": {"id2label": ["a", "b"]},
    "a text": {"id2label": "ab"},
    "a number": {"id2label": 2},
    "empty": {"id2label": {}},
    "a million": {"id2label": {str(number): "x" for number in range(1_000_000)}},
    "a million by number": {"num_labels": 1_000_000},
    "by text": {"num_labels": "3"},
    "by truth": {"num_labels": True},
    "by fraction": {"num_labels": 2.5},
    "none by number": {"num_labels": 0},
    "a gap": {"id2label": {"0": "a", "2": "b"}},
    "from one": {"id2label": {"1": "a", "2": "b"}},
    "negative": {"id2label": {"-1": "a", "0": "b"}},
    "spelled otherwise": {"id2label": {"00": "a", "1": "b"}},
    "words as ids": {"id2label": {"a": "0", "b": "1"}},
    "a number as label": {"id2label": ids("a", 1)},
    "nothing as label": {"id2label": ids("a", None)},
    "deep": {"id2label": ids("a", {"b": {"c": "d" * 1000}})},
    "twice": {"id2label": ids("a", "b", "a")},
    "broken lines": {"id2label": ids("a\nb", "a\nb")},
    "texts": {"id2label": ids(*("x" * 1000 + str(number) for number in range(500)))},
    "one class": {"id2label": ids("a"), "problem_type": "single_label_classification"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_labels_are_refused_in_one_line(name: str) -> None:
    started = time.monotonic()
    with pytest.raises(BertsmithError) as raised:
        read(**HOSTILE[name])
    assert time.monotonic() - started < 2
    message = str(raised.value)
    assert message.startswith(f"{PATH}: ") and "\n" not in message and len(message) < 200
    assert "label" in message


def test_hostile_labels_in_a_folder(tmp_path: Path) -> None:
    save_model(tiny_model((), task=HEADS_OF_TASKS["tags"]), tmp_path, pad_token_id=0)
    values = json.loads((tmp_path / "config.json").read_text())
    for change in ({"id2label": ["O"]}, {"id2label": ids("O", "B", 3)}, {"id2label": None, "num_labels": 10**6}):
        (tmp_path / "config.json").write_text(json.dumps({**values, **change}))
        with pytest.raises(BertsmithError, match=r"config\.json: (id2label|num_labels)"):
            load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**values, "id2label": ids("O", "B", "I", "E")}))
    with pytest.raises(
        BertsmithError, match=r"classifier\.weight has shape \(3, 32\); config\.json makes it \(4, 32\)"
    ):
        load_model(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("0 1 2 x".split()), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("id2label", "num_labels", "problem_type"), json_values)))
def test_any_values_are_a_head_or_one_line(values: dict[str, Any]) -> None:
    try:
        head = read(**values)
    except BertsmithError as error:
        assert str(error).startswith(f"{PATH}: ") and "\n" not in str(error)
    else:
        if head is not None:
            head.check()


# --- labels that a user brings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (TaskHead("sequence", ("a",)), "1 given; at least two"),
        (TaskHead("tokens", ()), "0 given; at least two"),
        (TaskHead("sequence", ("a", "b", "a")), "'a' is there twice"),
        (TaskHead("sequence", ("a", "b"), regression=True), "one number for a sequence, not 2 outputs"),
        (TaskHead("tokens", ("a",), regression=True), "of kind tokens"),
        (TaskHead("span", ("start", "end")), "no labels of its own"),
        (TaskHead("choice", ("a",)), "no labels of its own"),
        (TaskHead("sequence", tuple(str(number) for number in range(MAX_LABELS + 1))), "more than the limit of 4,096"),
        (TaskHead("sequence", ("x" * 400_000, "y")), "are they texts?"),
    ],
)
def test_labels_that_make_no_head(head: TaskHead, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        head.check()
    assert words in str(raised.value)
    with pytest.raises(UsageError):
        tiny_model((), task=head)


def test_as_many_labels_as_are_allowed_are_written_and_read(tmp_path: Path) -> None:
    head = TaskHead("sequence", tuple(f"{number:04} {'ü' * 14}" for number in range(MAX_LABELS)))
    save_model(tiny_model((), task=head), tmp_path, pad_token_id=0)
    assert (tmp_path / "config.json").stat().st_size < LARGEST_CONFIG
    assert load_model(tmp_path).task == head
