"""Fine-tuning beside Hugging Face's Trainer: same encoder, examples, batch size, rate and length of training, bf16.

    python benchmarks/finetuning.py --from MODEL --task sst2 --data DATA [--examples 6400] [--rounds 3] [--threads 0]
        [--max-length 128] [--width 0] [--layers 0]

MODEL is a BERT folder or run. The Trainer pads each batch to its longest sequence and groups examples of alike lengths
(`train_sampling_strategy="group_by_length"`), as its users are told to. Sides take turns, each time in a process of its
own, for one epoch over the first `examples` training examples; both then score the whole validation part. Seconds are
those of training alone: neither side's tokenising, loading or scoring is in them. `--width` and `--layers` replace the
encoder by one of that shape with random weights, to time larger ones. Answering cuts long contexts into windows on both
sides, and its metric is left to `bertsmith evaluate`. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

BATCH, RATE = 32, 1e-4


def stride_of(length: int) -> int:
    """Tokens that two windows of a long context share."""
    return min(128, length // 3)


def examples_of(arguments: argparse.Namespace) -> tuple[Any, list[Any], list[Any], tuple[str, ...]]:
    """The task, its training examples, its validation part, and its labels."""
    from bertsmith.tasks.parts import labels_of, read_parts
    from bertsmith.tasks.table import find_task

    task = find_task(arguments.task)
    parts = read_parts(task, arguments.data, 0)
    train = parts.train[: arguments.examples]
    return task, train, next(iter(parts.validation.values())), labels_of(task, parts.train)


def ours(arguments: argparse.Namespace) -> dict[str, float]:
    """One epoch by bertsmith."""
    from bertsmith.tasks.evaluation import evaluate
    from bertsmith.tasks.finetuning import finetune_once
    from bertsmith.tasks.finetuning_config import finetuning_config
    from bertsmith.tasks.job import Job
    from bertsmith.tasks.trained import load_trained

    task, train, validation, labels = examples_of(arguments)
    flags = {"training.epochs": 1, "training.learning_rate": RATE, "training.batch_size": BATCH, "seed": arguments.seed}
    flags |= {"training.precision": "bf16", "training.compile": "off", "training.threads": arguments.threads}
    flags |= {"task.max_length": arguments.max_length, "task.stride": stride_of(arguments.max_length)}
    flags |= {"training.save_every": 0}
    config = finetuning_config(task, 768, len(train), flags)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(task, labels, train, [], config, "benchmark", {})
        result = finetune_once(job, arguments.model, Path(folder, "run"))
        found = {"seconds": result.seconds, "peak": result.peak_memory / 1e6}
        if task.type != "answering":
            trained = load_trained(Path(folder, "run"))
            found["metric"] = evaluate(trained, task, validation, config.task).metrics[task.metrics[0]]
    return found


def theirs(arguments: argparse.Namespace) -> dict[str, float]:
    """One epoch by the Trainer."""
    import torch
    from transformers import AutoTokenizer, Trainer, TrainingArguments

    from bertsmith.tasks.metrics import score
    from bertsmith.tasks.predictions import Classified

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    task, train, validation, labels = examples_of(arguments)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    tokenizer.model_max_length = arguments.max_length
    model, encode, collate = _side_of(task, labels, tokenizer, arguments)
    rows: Any = [row for example in train for row in encode(example)]
    with tempfile.TemporaryDirectory() as folder:
        trainer: Any = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                num_train_epochs=1,
                learning_rate=RATE,
                warmup_steps=0.1,
                weight_decay=0.01,
                bf16=True,
                use_cpu=True,
                seed=arguments.seed,
                train_sampling_strategy="group_by_length",
                report_to=[],
                save_strategy="no",
                logging_steps=10_000,
                disable_tqdm=True,
            ),
            train_dataset=rows,
            data_collator=collate,
            processing_class=tokenizer,
        )
        started = time.perf_counter()
        trainer.train()
        found = {"seconds": time.perf_counter() - started}
        found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        if task.type != "answering":
            logits = trainer.predict([encode(example)[0] for example in validation]).predictions
            said = [Classified(labels[index], {}) for index in logits.argmax(-1)]
            found["metric"] = score(replace(task, labels=labels), validation, said)[task.metrics[0]]
    return found


def _side_of(task: Any, labels: tuple[str, ...], tokenizer: Any, arguments: argparse.Namespace) -> tuple[Any, Any, Any]:
    """The Trainer's model, what makes rows of an example, and what makes batches of rows."""
    from transformers import (
        AutoModelForQuestionAnswering,
        AutoModelForSequenceClassification,
        DataCollatorWithPadding,
        DefaultDataCollator,
    )

    if task.type == "answering":
        model = AutoModelForQuestionAnswering.from_pretrained(arguments.model)
        return model, lambda example: _windows(example, tokenizer, arguments.max_length), DefaultDataCollator()
    model = AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=len(labels))
    ids = {label: number for number, label in enumerate(labels)}

    def encode(example: Any) -> list[dict[str, Any]]:
        row = tokenizer(example.first, example.second, truncation=True, max_length=arguments.max_length)
        return [{**row, "labels": ids[example.label]}]

    return model, encode, DataCollatorWithPadding(tokenizer)


def _windows(example: Any, tokenizer: Any, length: int) -> list[dict[str, Any]]:
    """Windows of a question and its context, as Hugging Face's own example makes them: padded to the full length."""
    found = tokenizer(
        example.question,
        example.context,
        truncation="only_second",
        max_length=length,
        stride=stride_of(length),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length",
    )
    answer = example.answers[0] if example.answers else None
    rows = []
    for window, offsets in enumerate(found["offset_mapping"]):
        segments = found.sequence_ids(window)
        start = end = 0
        if answer is not None:
            stop = answer.start + len(answer.text)
            inside = [i for i, segment in enumerate(segments) if segment == 1]
            within = [i for i in inside if offsets[i][1] > answer.start and offsets[i][0] < stop]
            whole = inside and offsets[inside[0]][0] <= answer.start and offsets[inside[-1]][1] >= stop
            start, end = (within[0], within[-1]) if whole and within else (0, 0)
        keys = ("input_ids", "attention_mask", "token_type_ids")
        row = {key: found[key][window] for key in keys if key in found}
        rows.append({**row, "start_positions": start, "end_positions": end})
    return rows


def random_model(source: Path, width: int, layers: int, folder: Path) -> Path:
    """A BERT of another shape with random weights and the tokenizer of `source`."""
    from bertsmith.models.config import EncoderConfig
    from bertsmith.models.folder import save_model
    from bertsmith.models.model import build_model
    from bertsmith.tasks.trained import load_trained

    tokenizer = load_trained(source).tokenizer
    config = EncoderConfig(vocab_size=tokenizer.vocab_size, hidden_size=width, layers=layers, heads=width // 64)
    folder.mkdir()
    save_model(build_model(config, ("masked_lm", "pair"), 0), folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, 512)
    return folder


def in_a_process(side: str, seed: int, model: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """One epoch of one side in a process of its own."""
    line = [sys.executable, __file__, "--from", str(model), "--task", arguments.task, "--data", str(arguments.data)]
    for name in ("examples", "threads", "max_length"):
        line += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    done = subprocess.run([*line, "--seed", str(seed), "--only", side], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Lets the sides take turns and prints their medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="model", type=Path, required=True)
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=6400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--width", type=int, default=0)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps({"ours": ours, "theirs": theirs}[arguments.only](arguments)))
        return
    from bertsmith.tasks.trained import model_folder

    found: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as folder:
        model = model_folder(arguments.model)
        if arguments.width:
            model = random_model(model, arguments.width, arguments.layers, Path(folder, "model"))
        for seed in range(arguments.rounds):
            for side in found:
                found[side].append(in_a_process(side, seed, model, arguments))
    seconds = {side: statistics.median(run["seconds"] for run in runs) for side, runs in found.items()}
    print(
        json.dumps({"task": arguments.task, "ratio": seconds["theirs"] / seconds["ours"], "seconds": seconds, **found})
    )


if __name__ == "__main__":
    main()
