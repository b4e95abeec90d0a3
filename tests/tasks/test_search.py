"""Grids, seeds, the best by validation, and what a fine-tuning's folder refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import BertsmithError, Stopped, UsageError
from bertsmith.tasks.search import Search, Trial, find_best, grid_points, spread
from bertsmith.tasks.search_folder import SearchFolder


def test_a_grid_is_every_combination() -> None:
    assert grid_points([]) == [{}]
    points = grid_points(["learning-rate=2e-5, 3e-5", "task.layer_decay=0.9"])
    assert points == [{"training.learning_rate": rate, "task.layer_decay": "0.9"} for rate in ("2e-5", "3e-5")]
    assert Trial(points[0], 3).name == "learning_rate-2e-5,layer_decay-0.9,seed-3"
    assert Trial({"training.optimizer": "../x"}, 0).name == "optimizer-.._x,seed-0"


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (["learning_rate"], "wants a field and its values"),
        (["learning_rate="], "wants a field and its values"),
        (["learnin_rate=1"], "did you mean training.learning_rate?"),
        (["seed=1,2"], "--seeds N"),
        (["epochs=2", "epochs=3"], "stands there twice"),
        (["epochs=2,2"], "stands there twice"),
        (["epochs=two"], "wants a number"),
    ],
)
def test_a_wrong_grid_is_one_line(grid: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        grid_points(grid)


@pytest.mark.parametrize("search", [Search(seeds=0), Search(baselines="some"), Search(grid=["x=1"])])
def test_a_wrong_search_is_refused(search: Search) -> None:
    with pytest.raises(UsageError):
        search.check()


def results(values: dict[str, float]) -> Any:
    """A job that gives the figure of the trial's name, and notes the order."""
    order: list[str] = []

    def run(trial: Trial) -> dict[str, Any]:
        order.append(trial.name)
        value = values[trial.name]
        if value < 0:
            raise BertsmithError("the loss is not finite")
        return {"validation": {"accuracy": value}, "seconds": 1.0}

    return run, order


def test_seeds_are_trained_at_the_best_point_alone() -> None:
    points = [{"training.epochs": "1"}, {"training.epochs": "2"}, {"training.epochs": "3"}]
    run, order = results(
        {"epochs-1,seed-5": 0.5, "epochs-2,seed-5": 0.7, "epochs-3,seed-5": -1, "epochs-2,seed-6": 0.9}
    )
    found = find_best(points, range(5, 7), "accuracy", run)
    assert order == ["epochs-1,seed-5", "epochs-2,seed-5", "epochs-3,seed-5", "epochs-2,seed-6"]
    assert found.best.trial.name == "epochs-2,seed-6"
    assert [outcome.trial.seed for outcome in found.same] == [5, 6]
    assert [bool(outcome.failed) for outcome in found.outcomes] == [False, False, True, False]
    assert spread(found.same) == {
        "mean": {"accuracy": pytest.approx(0.8)},
        "standard_deviation": {"accuracy": pytest.approx(0.141421, abs=1e-5)},
    }


def test_a_figure_that_is_no_number_is_the_worst() -> None:
    run, _ = results({"seed-0": float("nan"), "seed-1": 0.0})
    assert find_best([{}], [0, 1], "accuracy", run).best.trial.seed == 1


def test_when_all_fail_the_first_reason_is_given() -> None:
    with pytest.raises(BertsmithError, match="not finite"):
        find_best([{}], [0], "accuracy", results({"seed-0": -1})[0])


def test_a_stop_ends_everything() -> None:
    def stop(trial: Trial) -> dict[str, Any]:
        raise Stopped("stopped")

    with pytest.raises(Stopped):
        find_best([{}, {"training.epochs": "1"}], [0], "accuracy", stop)


def request(**over: Any) -> dict[str, Any]:
    values = {"task": "sst2", "data": {"fingerprint": "a"}, "config": {"training": {"epochs": 3, "workers": 0}}}
    return {**values, "seeds": 1, "grid": [], **over}


def test_the_same_line_finds_its_result_and_another_is_refused(tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path)
    assert folder.begin(request()) is None
    assert folder.begin(request(task="rte")) is None  # nothing was trained yet
    folder.begin(request())
    folder.runs.mkdir()
    folder.write_result({"steps": 3})
    assert folder.begin(request()) is None  # a result without its model is none
    folder.model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder.model / name).touch()
    assert folder.begin(request()) == {"steps": 3}
    assert folder.begin(request(seeds=3)) is None  # more seeds go on from what is there
    for over, message in (
        ({"task": "rte"}, r"another task \('sst2', now 'rte'\)"),
        ({"data": {"fingerprint": "b"}}, "another data;"),
        ({"config": {"training": {"epochs": 4, "workers": 0}}}, r"another training.epochs \(3, now 4\)"),
    ):
        with pytest.raises(UsageError, match=message):
            folder.begin(request(seeds=3, **over))
    folder.begin(request(config={"training": {"epochs": 3, "workers": 2}}))


def test_foreign_and_damaged_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(UsageError, match="holds no fine-tuning"):
        SearchFolder(tmp_path).begin(request())
    (tmp_path / "request.json").write_text("[")
    with pytest.raises(BertsmithError, match="damaged"):
        SearchFolder(tmp_path).begin(request())
