"""metrics.jsonl and TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertsmith.training.logs import Interval, Logs, read_metrics
from bertsmith.training.state import Step


def step(number: int, count: int = 10, loss: float = 20.0) -> Step:
    return Step(number, {"masked_lm": loss}, {"masked_lm": 2.0}, {"masked_lm": count}, 100, 1e-3, 1.5, 0.5, 0.1, "")


def write_lines(run: Path, *numbers: int) -> None:
    logs = Logs(run, 0)
    for number in numbers:
        sums = Interval()
        sums.add(step(number))
        logs.train(sums.line(step(number), 100 * number))
    logs.close()


def test_means_weigh_every_target_alike() -> None:
    sums = Interval()
    sums.add(step(1, count=10, loss=20.0))
    sums.add(step(2, count=30, loss=100.0))
    line = sums.line(step(2), tokens=200)
    assert line["masked_lm_loss"] == line["loss"] == 3.0
    assert line["masked_lm_accuracy"] == 0.1
    assert line["tokens_per_second"] == 200
    assert line["data_wait"] == pytest.approx(0.2)


def test_an_interval_survives_json() -> None:
    sums = Interval()
    sums.add(step(1, loss=1 / 3))
    again = Interval(**json.loads(json.dumps(sums.values())))
    assert again == sums


def test_a_resume_cuts_later_lines_and_a_torn_one(tmp_path: Path) -> None:
    write_lines(tmp_path, 10, 20, 30)
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 40, "lo')
    logs = Logs(tmp_path, 20)
    logs.validation(20, {"loss": 1.0})
    logs.close()
    assert [line["step"] for line in read_metrics(path)] == [10, 20, 20]
    assert Logs(tmp_path, 20).validated == 20
    assert Logs(tmp_path, 10).validated == -1


def test_tensorboard_has_the_agreed_tags(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_lines(tmp_path, 10)
    logs = Logs(tmp_path, 10)
    logs.validation(10, {"loss": 3.0, "masked_lm_loss": 2.0, "pair_accuracy": 0.5})
    logs.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/loss", "train/lr", "train/tokens_per_second"} <= tags
    assert {"eval/masked_lm/loss", "eval/pair/accuracy"} <= tags
