"""bertsmith turns raw text into a BERT-family encoder.

The Python API, loaded when first used: prepare, pretrain, finetune, evaluate_mlm, evaluate_pairs, evaluate_task,
predict_file, export, study_run, inspect, load and Predictor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertsmith.pipeline import (
        evaluate_mlm,
        evaluate_pairs,
        evaluate_task,
        export,
        finetune,
        finetune_suite,
        inspect,
        predict_file,
        prepare,
        pretrain,
        study_run,
    )
    from bertsmith.serving.predictor import Predictor
    from bertsmith.tasks.search import Search
    from bertsmith.tasks.trained import load_trained as load
    from bertsmith.tasks.user_table import Columns

__version__ = "0.1.0"
__all__ = [
    "Columns",
    "Predictor",
    "Search",
    "evaluate_mlm",
    "evaluate_pairs",
    "evaluate_task",
    "export",
    "finetune",
    "finetune_suite",
    "inspect",
    "load",
    "predict_file",
    "prepare",
    "pretrain",
    "study_run",
]

_PLACES = {
    "Columns": "bertsmith.tasks.user_table:Columns",
    "Predictor": "bertsmith.serving.predictor:Predictor",
    "Search": "bertsmith.tasks.search:Search",
    "evaluate_mlm": "bertsmith.pipeline:evaluate_mlm",
    "evaluate_pairs": "bertsmith.pipeline:evaluate_pairs",
    "evaluate_task": "bertsmith.pipeline:evaluate_task",
    "export": "bertsmith.pipeline:export",
    "finetune": "bertsmith.pipeline:finetune",
    "finetune_suite": "bertsmith.pipeline:finetune_suite",
    "inspect": "bertsmith.pipeline:inspect",
    "load": "bertsmith.tasks.trained:load_trained",
    "predict_file": "bertsmith.pipeline:predict_file",
    "prepare": "bertsmith.pipeline:prepare",
    "pretrain": "bertsmith.pipeline:pretrain",
    "study_run": "bertsmith.pipeline:study_run",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'bertsmith' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)
