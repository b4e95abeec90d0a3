"""How well a model tells whether the second part of a pair belongs to the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from bertsmith.console import Progress
from bertsmith.data.config import PAIR_CUTS, CutConfig
from bertsmith.data.corpus import Corpus, make_part
from bertsmith.data.cuts import cut_for
from bertsmith.data.cuts.examples import A_START
from bertsmith.errors import Diverged, UsageError
from bertsmith.models.model import Model
from bertsmith.tasks.forward import TokenSequence, batches, device_of, require_head, sequences_of
from bertsmith.tokenizers.tokenizer import Tokenizer


def evaluate_pairs(
    model: Model,
    tokenizer: Tokenizer,
    documents: Iterable[Sequence[str]],
    cut: CutConfig,
    seed: int,
    max_length: int,
) -> dict[str, float | int]:
    """Cut a text into true and false pairs, as a pretraining corpus is cut, and let the model judge them.

    `documents` are lists of sentences; pairs are at most `max_length` tokens long. What a false pair is belongs to
    the cut: with next_sentence the second part comes from another document, with sentence_order it stood first.

    Returns accuracy, constant_accuracy (of one and the same answer to all pairs), loss (nats per pair) and pairs (how
    many). Raises UsageError when the model has no pair head or the text cannot give pairs.
    """
    logits, wanted, _ = judge_pairs(model, tokenizer, documents, cut, seed, max_length)
    return {
        "accuracy": float((logits.argmax(-1) == wanted).double().mean()),
        "constant_accuracy": float(wanted.bincount().max() / len(wanted)),
        "loss": float(functional.cross_entropy(logits.double(), wanted)),
        "pairs": len(wanted),
    }


def judge_pairs(
    model: Model,
    tokenizer: Tokenizer,
    documents: Iterable[Sequence[str]],
    cut: CutConfig,
    seed: int,
    max_length: int,
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """The logits of each pair (pairs, 2), its label (pairs,) int64, and the document of its first segment (pairs,),
    counted among those that hold any token; else as `evaluate_pairs`.
    """
    require_head(model, "pair", "judge pairs")
    sequences, labels, places = cut_pairs(tokenizer, documents, replace(cut, length=max_length), seed)
    logits = pair_logits(model, sequences)
    if not logits.isfinite().all():
        raise Diverged("the loss is not a finite number: the weights of this model are damaged")
    return logits, torch.from_numpy(labels), places


def cut_pairs(
    tokenizer: Tokenizer, documents: Iterable[Sequence[str]], config: CutConfig, seed: int
) -> tuple[list[TokenSequence], np.ndarray, np.ndarray]:
    """The pairs that a cut makes of a text, with their labels (pairs,) int64: 0 = belongs together, 1 = does not; and
    with the document of each first segment (pairs,), counted among those that hold any token.
    """
    corpus = corpus_of(tokenizer, documents)
    cut = cut_for(config, tokenizer.special, seed, tokenizer.separators)
    if not cut.has_pairs:
        raise UsageError(f"cut.name = {config.name!r} makes no pairs; use one of {', '.join(PAIR_CUTS)}")
    if corpus.document_count < 2:
        raise UsageError("false pairs need a second document: separate documents by a blank line")
    rows = cut.plan(corpus, epoch=0)
    if len(rows) == 0:
        raise UsageError(f"the text is too short to cut pairs from it ({corpus.sentence_count} sentences)")
    examples = cut.build(corpus, rows)
    places = np.searchsorted(corpus.parts[0].document_tokens, rows[:, A_START], side="right") - 1
    return sequences_of(examples, examples.token_ids), examples.labels, places


def corpus_of(tokenizer: Tokenizer, documents: Iterable[Sequence[str]]) -> Corpus:
    """A text as a corpus in memory, cut exactly as a prepared one. Sentences without any token are left out."""
    ids, starts, sentences, counts = [], [], [], []
    for document in documents:
        encoding = tokenizer.encode_sentences(document)
        lengths = encoding.lengths[encoding.lengths > 0]
        if len(lengths):
            ids.append(encoding.token_ids)
            starts.append(encoding.word_starts)
            sentences.append(lengths)
            counts.append(len(lengths))
    if not ids:
        raise UsageError("the text holds no words")
    part = make_part(np.concatenate(ids), np.concatenate(starts), np.concatenate(sentences), np.array(counts))
    return Corpus([part], {"vocab_size": tokenizer.vocab_size})


def pair_logits(model: Model, sequences: Sequence[TokenSequence]) -> torch.Tensor:
    """The pair head's logits, in the order of the sequences: (sequences, 2) float32 on the CPU."""
    model.eval()
    logits = torch.zeros(len(sequences), 2)
    done = 0
    with Progress(len(sequences), "pairs") as progress, torch.inference_mode():
        for chosen, batch in batches(sequences, device_of(model)):
            logits[chosen] = model.pair(model(batch).pooled).float().cpu()
            done += len(chosen)
            progress.update(done)
    return logits
