"""A finished run and its corpus, made without training: what the report and the card are written from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bertsmith import config, store
from bertsmith.data.config import CutConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.preparation import prepare_corpus
from bertsmith.models.folder import save_model
from bertsmith.objectives.config import ObjectiveName, ObjectivesConfig
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.training.environment import Record, Settings, write_record
from bertsmith.training.plan import PretrainingPlan
from tests.stories import story, tiny_model
from tests.tiny_runs import tiny_plan

CHINESE = "今天我们上学校。老师马上点名了。我们的学校很大，老师也很好。"
HOSTILE = '</script><script>alert(1)</script> & "quotes" <img src=x onerror=alert(2)>'


class Finished(NamedTuple):
    """The two folders."""

    run: Path
    corpus: Path


def make_corpus(folder: Path, text: str = "english") -> Path:
    """Forty documents of one kind of text, a tenth of them for validation."""
    lines = {"english": HOSTILE, "chinese": CHINESE}[text]
    documents = [
        "\n".join([*sentences[: 6 + number % 5], lines + "x" * number]) for number, sentences in enumerate(story(40))
    ]
    if text == "chinese":
        documents = [f"{CHINESE * 3}\n{CHINESE}{'好' * number}" for number in range(40)]
    file = folder.with_suffix(".txt")
    file.write_text("\n\n".join(documents), "utf-8")
    text_config = TextConfig(validation_share=0.3)
    recipe = config.dump({"text": {"validation_share": 0.3}})
    prepare_corpus([str(file)], folder, TokenizerConfig(size=200), text_config, workers=1, recipe_text=recipe)
    return folder


def make_run(
    folder: Path, corpus: Path, use: tuple[ObjectiveName, ...] = ("masked_lm", "pair"), name: str = "tiny"
) -> Path:
    """A run folder as pretraining leaves it, with a model that has learned nothing."""
    tokenizer = Corpus.open(corpus).tokenizer
    plan = replace(tiny_plan(), objectives=ObjectivesConfig(use=use), recipe_name=name)
    if "pair" not in use:
        plan = replace(plan, cut=CutConfig(name="full_sentences", length=64))
    model = tiny_model(tokenizer, plan.heads)
    plan = replace(plan, model=model.config)
    folder.mkdir(parents=True)
    with store.writing(folder / "model", "model", {}) as partial:
        save_model(model, partial, pad_token_id=tokenizer.special.pad)
        tokenizer.save(partial, max_length=64)
    settings = Settings(steps=6, precision="fp32", compiled=False, fp32_backend="mkl", threads=1, world=1)
    inputs = {"corpus": "", "tokenizer": "", "initial model": ""}
    record = Record(plan.values(), plan.values(), inputs, settings, {"torch": "2", "device": "cpu: a processor"})
    write_record(folder / "environment.json", record)
    (folder / "recipe.toml").write_text(config.dump({"name": name, **plan.values()}), "utf-8")
    write_metrics(folder, plan)
    return folder


def write_metrics(folder: Path, plan: PretrainingPlan) -> None:
    """metrics.jsonl and result.json of six steps with a validation at the third and the last."""
    lines: list[dict[str, object]] = []
    values: dict[str, float] = {}
    for step in range(1, 7):
        means = {
            f"{name}_{kind}": 1 / (step + len(name)) for name in plan.objectives.use for kind in ("loss", "accuracy")
        }
        lines.append(
            {"step": step, "loss": 1.0, **means, "tokens_per_second": 1000.0 + step, "data_wait": 0.25, "seconds": 2.0}
        )
        if step % 3 == 0:
            values = {
                "loss": 4.0,
                **means,
                "masked_lm_loss": 4.5,
                "unigram_loss": 5.25,
                "uniform_loss": 5.5,
                "sequences": 9,
            }
            lines.append({"step": step, "validation": values})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    result = {"steps": 6, "seconds": 12.0, "tokens": 24_000, "validation": values, "model": str(folder / "model")}
    (folder / "result.json").write_text(json.dumps({**result, "peak_memory": 512_000_000}), "utf-8")
