"""A model asked about a task: what fits it, in whose words its labels are, and that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.config import TaskHead
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.task_models import start_task_model
from bertsmith.tasks import forward
from bertsmith.tasks.evaluation import evaluate, labels_for, predict, require_task, task_of
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.predictions import Classified
from bertsmith.tasks.trained import SETTINGS, TaskSettings, Trained, load_trained, write_settings
from tests.tiny_tasks import questions, tagged_texts, texts, tokenizer_of, write_start
from tests.tiny_tasks import task_of as tiny_task

TASK = tiny_task("classification", ("bad", "good"))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_start(tmp_path_factory.mktemp("start") / "bert")


def trained(start: Path, head: TaskHead) -> Trained:
    return Trained(start, start_task_model(start, head, 0).eval(), tokenizer_of("wordpiece"), 24)


def classifier(start: Path, *labels: str) -> Trained:
    return trained(start, TaskHead("sequence", labels or TASK.labels))


def test_predictions_come_in_order_and_as_they_are_asked_for(start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "POOL", 4)
    taken: list[str] = []

    def endless() -> Iterator[TextExample]:
        for number in range(10**9):
            taken.append(str(number))
            yield texts(1, number)[0]

    model = classifier(start)
    found = predict(model, TASK, endless())
    first = [next(found) for _ in range(6)]
    assert 8 <= len(taken) <= 12  # a thread reads one pool ahead
    alone = [next(iter(predict(model, TASK, [texts(1, number)[0]]))) for number in range(6)]
    for one, other in zip(first, alone, strict=True):
        assert isinstance(one, Classified) and isinstance(other, Classified)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert one.label == max(one.probabilities, key=one.probabilities.__getitem__)


def test_a_model_for_another_kind_of_task_is_refused(start: Path) -> None:
    with pytest.raises(UsageError, match="its head is for classification, and tiny is a task of tagging"):
        evaluate(classifier(start), tiny_task("tagging"), tagged_texts(3))
    with pytest.raises(UsageError, match="has no task head; fine-tune it first"):
        require_task(Trained(start, load_model(start), tokenizer_of("wordpiece"), 24), TASK)


def test_labels_are_those_of_the_task(start: Path) -> None:
    assert labels_for(TaskHead("sequence", ("good", "bad")), TASK) == ("good", "bad")
    assert labels_for(TaskHead("sequence", ("GOOD", "BAD")), TASK) == ("good", "bad")
    assert labels_for(TaskHead("sequence", ("LABEL_0", "LABEL_1")), TASK) == ("bad", "good")
    with pytest.raises(UsageError, match="this model knows the labels up, down; tiny has bad, good"):
        require_task(classifier(start, "up", "down"), TASK)
    with pytest.raises(UsageError, match="its head knows the labels a, b, c; tiny has bad, good"):
        require_task(classifier(start, "a", "b", "c"), TASK)


def test_a_label_that_the_model_does_not_know_is_named(start: Path) -> None:
    free = tiny_task("classification")
    with pytest.raises(UsageError, match="tiny:2: label 'bad' is not one of good, fine"):
        evaluate(classifier(start, "good", "fine"), free, texts(2, 1))


def test_lengths_are_held_against_the_model(start: Path) -> None:
    for length, message in ((25, "25 is more than the 24 tokens"), (3, "3 leaves no room")):
        with pytest.raises(UsageError, match=rf"task\.max_length: {message}"):
            evaluate(classifier(start), TASK, texts(2), TaskConfig(max_length=length))
    found = evaluate(classifier(start), TASK, texts(8), TaskConfig(max_length=8))
    assert 0 < found.truncated <= 8 == found.examples


def test_settings_are_written_and_read_strictly(start: Path, tmp_path: Path) -> None:
    model = start_task_model(start, TaskHead("span"), 0)
    save_model(model, tmp_path, pad_token_id=0)
    tokenizer_of("wordpiece").save(tmp_path, 24)
    found = task_of(load_trained(tmp_path))
    assert found.type == "answering" and found.no_answer, "a published model may well answer nothing"
    settings = TaskSettings("mine", "answering", (), ("f1", "exact"), TaskConfig(max_length=20), by_character=True)
    write_settings(tmp_path, settings)
    loaded = load_trained(tmp_path)
    assert loaded.settings == settings
    task = task_of(loaded)
    assert (task.name, task.by_character, task.no_answer) == ("mine", True, False)
    assert evaluate(loaded, tiny_task("answering"), questions(3)).examples == 3
    for text in ("{", "[]", '{"task": 1}'):
        (tmp_path / SETTINGS).write_text(text)
        with pytest.raises(BertsmithError, match="task.json") as caught:
            load_trained(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_known_task_is_found_again_by_its_name(start: Path) -> None:
    settings = TaskSettings("sst2", "classification", ("0", "1"), ("accuracy",), TaskConfig())
    assert task_of(classifier(start, "0", "1")._replace(settings=settings)).files
