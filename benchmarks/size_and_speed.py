"""DistilBERT's table of size and speed (Sanh et al., 2019, table 3), measured again at full size with random weights.

    python benchmarks/size_and_speed.py [--data DEV_TSV] [--examples 150] [--rounds 3] [--threads 1]

One pass over pairs of sentences as STS-B's validation part has them, one pair at a time on the CPU, every model with a
head that gives one number. Weights are random: time does not depend on them. DEV_TSV is GLUE's STS-B/dev.tsv, of which
`examples` pairs are taken, evenly spread; without it pairs are made up, as long as its sentences are. Only the numbers
of words are read: ids are random, ready before the clock starts, and BERT gets 1.053 tokens for each word, as its own
vocabulary gives on that file.

ELMo of 180M parameters is put together in elmo.py, where its counts are. BERT-base and DistilBERT are bertsmith's, and
so are bert-mini and the half of it; their counts are asserted to be those of transformers' classes. The models of a
size take turns every 25 pairs. Seconds are medians over the rounds, and so are the ratios, each of one round. Beside
the seconds measured stand those of all 1,500 pairs of the validation part at the same speed, as the paper gives them.
Prints one JSON object, and the table on stderr.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from elmo import CHARACTERS, ELMO_PARAMETERS, ELMO_WITH_HEAD, LONGEST_WORD, ElmoPairs
from torch import Tensor, nn

from bertsmith.batch import flat_batch
from bertsmith.console import render_table
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.model import Model
from bertsmith.models.task_models import new_task_model
from bertsmith.recipe import load_recipe

PAIRS = 1500  # of STS-B's validation part
WORDS = (6, 7, 8, 9, 11, 13, 15, 18, 21, 27)  # in its sentences: percentiles 5, 15, ..., 95
PIECES_PER_WORD = 1.053  # of BERT's uncased vocabulary on its text
TURN = 25  # pairs that a model reads before the next one's turn
WARM_UP = 3
ELMO = "ELMo"
PAPER: dict[str, tuple[float, float]] = {ELMO: (180e6, 895), "bert-base": (110e6, 668), "distilbert": (66e6, 410)}
GROUPS = ((ELMO, "bert-base", "distilbert"), ("bert-mini", "distilbert-mini"))
RATIOS = ((ELMO, "distilbert"), ("bert-base", "distilbert"), ("bert-mini", "distilbert-mini"))

Pair = tuple[int, int]
"""Words of the two sentences."""
Ask = Callable[[Any], Tensor]


# --- the models ---


def elmo() -> tuple[ElmoPairs, Callable[[Pair], Any]]:
    """The model and what makes its input of a pair."""
    model = ElmoPairs().eval()
    assert parameters_of(model.elmo) == ELMO_PARAMETERS
    assert parameters_of(model) == ELMO_WITH_HEAD

    def prepare(pair: Pair) -> list[Tensor]:
        return [torch.randint(CHARACTERS, (words + 2, LONGEST_WORD)) for words in pair]

    return model, prepare


def encoder(recipe: str) -> tuple[Model, Callable[[Pair], Any]]:
    """The encoder of a recipe with a head for one number, and what makes its input of a pair."""
    config = load_recipe(recipe).model.resolved()
    model = new_task_model(config, TaskHead("sequence", ("score",), regression=True), seed=0).eval()
    assert parameters_of(model) == parameters_of(theirs(config)), f"{recipe}: transformers counts otherwise"

    def prepare(pair: Pair) -> Any:
        first, second = (round(PIECES_PER_WORD * words) for words in pair)
        tokens = first + second + 3  # [CLS] first [SEP] second [SEP]
        types = (torch.arange(tokens) >= first + 2).long() * (config.token_types > 1)
        return flat_batch(torch.randint(config.vocab_size, (tokens,)), types, torch.tensor([tokens]))

    return model, prepare


def theirs(config: EncoderConfig) -> nn.Module:
    """transformers' model of the same shape with the same head, without storage."""
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        DistilBertConfig,
        DistilBertForSequenceClassification,
    )

    shared: dict[str, Any] = {"vocab_size": config.vocab_size, "num_labels": 1}
    shared["max_position_embeddings"] = config.max_positions
    sizes = (config.hidden_size, config.layers, config.heads, config.intermediate_size)
    with torch.device("meta"):
        if config.family == "distilbert":
            names = ("dim", "n_layers", "n_heads", "hidden_dim")
            return DistilBertForSequenceClassification(
                DistilBertConfig(**shared, **dict(zip(names, sizes, strict=True)))
            )
        names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        return BertForSequenceClassification(BertConfig(**shared, **dict(zip(names, sizes, strict=True))))


def parameters_of(model: nn.Module) -> int:
    """Parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


# --- the pairs and the clock ---


def pairs_of(path: Path | None, count: int) -> list[Pair]:
    """Words of the sentences of dev.tsv's pairs, evenly spread, or of made-up ones of the same lengths."""
    if path is None:
        lengths = list(itertools.islice(itertools.cycle(WORDS), count))
        random.Random(0).shuffle(lengths)
        return [(length, length) for length in lengths]
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or "sentence2" not in rows[0]:
        raise SystemExit(f"{path}: is not STS-B's dev.tsv (no column sentence2, or no row)")
    chosen = rows[:: max(1, len(rows) // count)][:count]
    return [(words_in(row["sentence1"]), words_in(row["sentence2"])) for row in chosen]


def words_in(sentence: str) -> int:
    """Words and marks of punctuation."""
    return len(re.findall(r"\w+|[^\w\s]", sentence))


def ask_encoder(model: Model, batch: Any) -> Tensor:
    """The number for one pair."""
    return model.task_logits(model(batch), batch)


def time_group(names: Sequence[str], pairs: Sequence[Pair], rounds: int) -> dict[str, dict[str, Any]]:
    """{name: {parameters, passes}} of models that take turns; passes: seconds over all pairs, one for each round."""
    sides: dict[str, tuple[Ask, list[Any]]] = {}
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        model, prepare = elmo() if name == ELMO else encoder(name)
        ask: Ask = model if not isinstance(model, Model) else lambda batch, model=model: ask_encoder(model, batch)
        sides[name] = ask, [prepare(pair) for pair in pairs]
        found[name] = {"parameters": parameters_of(model), "passes": []}
    with torch.inference_mode():
        for ask, inputs in sides.values():
            time_turn(ask, inputs[:WARM_UP])
        for _ in range(rounds):
            seconds = dict.fromkeys(names, 0.0)
            for start in range(0, len(pairs), TURN):
                for name, (ask, inputs) in sides.items():
                    seconds[name] += time_turn(ask, inputs[start : start + TURN])
            for name in names:
                found[name]["passes"].append(seconds[name])
    return found


def time_turn(ask: Ask, inputs: Sequence[Any]) -> float:
    """Seconds for these inputs, one after another."""
    started = time.perf_counter()
    for one in inputs:
        ask(one)
    return time.perf_counter() - started


def report(found: dict[str, dict[str, Any]], count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the table and the ratios, the paper's beside the measured."""
    rows, ratios = [], []
    for name, side in found.items():
        seconds = statistics.median(side["passes"])
        row = {"model": name, **side, "seconds": seconds, "seconds_of_1500": seconds * PAIRS / count}
        row["paper_parameters"], row["paper_seconds"] = PAPER.get(name, (None, None))
        rows.append(row)
    for slow, fast in RATIOS:
        rounds = zip(found[slow]["passes"], found[fast]["passes"], strict=True)
        paper = PAPER[slow][1] / PAPER[fast][1] if slow in PAPER else None
        measured = statistics.median(one / other for one, other in rounds)
        ratios.append({"slow": slow, "fast": fast, "measured": measured, "paper": paper})
    return rows, ratios


def show(rows: Sequence[dict[str, Any]], ratios: Sequence[dict[str, Any]], count: int) -> str:
    """Both as text."""
    cells = []
    for row in rows:
        paper = row["paper_parameters"]
        shown = (f"{paper / 1e6:.0f}M", f"{row['paper_seconds']:.0f}") if paper else ("", "")
        cells.append([row["model"], f"{row['parameters']:,}", shown[0], f"{row['seconds']:.2f}"])
        cells[-1] += [f"{row['seconds_of_1500']:.1f}", shown[1]]
    headings = ["model", "parameters", "paper", f"s for {count:,} pairs", f"s for {PAIRS:,}", "paper"]
    beside = [
        [f"{r['slow']} / {r['fast']}", f"{r['measured']:.2f}", f"{r['paper']:.2f}" if r["paper"] else ""]
        for r in ratios
    ]
    return render_table("", cells, headings) + "\n\n" + render_table("", beside, ["times as long", "measured", "paper"])


def main() -> None:
    """Time both groups and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--examples", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if min(arguments.examples, arguments.rounds, arguments.threads) < 1:
        parser.error("--examples, --rounds and --threads must be 1 or more")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    pairs = pairs_of(arguments.data, arguments.examples)
    found: dict[str, dict[str, Any]] = {}
    for names in GROUPS:
        found |= time_group(names, pairs, arguments.rounds)
    rows, ratios = report(found, len(pairs))
    print(show(rows, ratios, len(pairs)), file=sys.stderr)
    words = statistics.mean(sum(pair) for pair in pairs)
    setting = {"pairs": len(pairs), "words_in_a_pair": words, "threads": arguments.threads, "rounds": arguments.rounds}
    print(json.dumps({**setting, "models": rows, "ratios": ratios}))


if __name__ == "__main__":
    main()
