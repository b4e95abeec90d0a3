"""Answers from a trained model: hidden words and next sentences, for one text or many, from any number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict, overload

import numpy as np
import torch

from bertsmith.console import warn
from bertsmith.errors import UsageError
from bertsmith.models.model import Model
from bertsmith.tasks.forward import TokenSequence, batches, device_of, pair, require_head, single, starts_of
from bertsmith.tasks.pairs import pair_logits
from bertsmith.tasks.trained import load_trained
from bertsmith.text.cleaning import clean
from bertsmith.tokenizers.tokenizer import Tokenizer

MASK = "[MASK]"
HEAD_ROWS = 512  # masks that meet the vocabulary at once: bounds memory for texts that are all masks


class Filling(TypedDict):
    """One candidate for a `[MASK]`: its token and id, its probability, and the text with it filled in."""

    token: str
    token_id: int
    score: float
    text: str


class _Hole(NamedTuple):
    """One `[MASK]`: its text and place there (characters), the sequence that asks for it and its row there."""

    text: int
    start: int
    sequence: int
    row: int


class Predictor:
    """A model and its tokenizer, ready to answer. Its methods keep no state, so threads may share one Predictor."""

    def __init__(self, model: Model, tokenizer: Tokenizer, max_length: int) -> None:
        self.model, self.tokenizer, self.max_length = model.eval(), tokenizer, max_length

    @classmethod
    def load(cls, path: str | Path) -> Predictor:
        """Read a run or any Hugging Face folder of a supported family. Errors as in `load_trained`."""
        trained = load_trained(path)
        return cls(trained.model, trained.tokenizer, trained.max_length)

    @overload
    def fill_mask(self, texts: str, top_k: int = 5) -> list[list[Filling]]: ...
    @overload
    def fill_mask(self, texts: list[str], top_k: int = 5) -> list[list[list[Filling]]]: ...
    def fill_mask(self, texts: str | list[str], top_k: int = 5) -> list[list[Filling]] | list[list[list[Filling]]]:
        """The most probable tokens for every `[MASK]`: per text a list with one list of `top_k` Fillings per mask.

        A list of texts gives a list of such results in the same order. Texts are cleaned as a corpus is (Unicode form,
        control characters, white space), also where they come back filled in. In a text longer than the model each mask
        is answered from the tokens around it, as many as fit, and a warning counts such texts. Raises UsageError for a
        text without `[MASK]`, an empty text, or one that is not valid Unicode.
        """
        if not 1 <= top_k <= self.tokenizer.vocab_size:
            raise UsageError(f"top_k must be between 1 and {self.tokenizer.vocab_size}, not {top_k}")
        require_head(self.model, "masked_lm", "fill masks")
        many = [texts] if isinstance(texts, str) else texts
        many = [clean_text(text, index, len(many)) for index, text in enumerate(many)]
        many = [text.replace(MASK, self.tokenizer.mask_token) for text in many]  # RoBERTa's is <mask>
        sequences, holes = self._questions(many)
        answers: list[list[list[Filling]]] = [[] for _ in many]
        for hole, (scores, ids) in zip(holes, self._answers(sequences, holes, top_k), strict=True):
            answers[hole.text].append(
                [self._filling(many[hole.text], hole, i, p) for i, p in zip(ids, scores, strict=True)]
            )
        return answers[0] if isinstance(texts, str) else answers

    def _questions(self, texts: Sequence[str]) -> tuple[list[TokenSequence], list[_Hole]]:
        """The sequences to read, one for a text that fits and one for each mask of a longer text, and all masks."""
        sequences: list[TokenSequence] = []
        holes: list[_Hole] = []
        room = self.max_length - 2
        long = 0
        for index, text in enumerate(texts):
            ids, _, offsets = self.tokenizer.encode_with_offsets(text, specials=True)
            masks = np.flatnonzero(ids == self.tokenizer.special.mask).tolist()
            if not masks:
                raise UsageError(f"{_which(index, len(texts))} has no {MASK} to fill{_hint(text)}")
            long += len(ids) > room
            for number, place in enumerate(masks):
                start = max(0, min(place - room // 2, len(ids) - room))
                if number == 0 or len(ids) > room:
                    sequences.append(single(ids[start : start + room], self.tokenizer.special))
                holes.append(_Hole(index, int(offsets[place, 0]), len(sequences) - 1, place - start + 1))
        if long:
            warn(
                f"{long} of {len(texts)} texts are longer than the {room} tokens this model reads: "
                f"each {MASK} there is answered from the {room} tokens around it"
            )
        return sequences, holes

    def _answers(
        self, sequences: list[TokenSequence], holes: list[_Hole], top_k: int
    ) -> list[tuple[list[float], list[int]]]:
        """Per hole the best scores and token ids. Only the rows of masks meet the vocabulary, a batch at a time."""
        asked: list[list[int]] = [[] for _ in sequences]
        for number, hole in enumerate(holes):
            asked[hole.sequence].append(number)
        found: list[tuple[list[float], list[int]]] = [([], [])] * len(holes)
        with torch.inference_mode():
            for chosen, batch in batches(sequences, device_of(self.model)):
                numbers = [number for i in chosen for number in asked[i]]
                starts = dict(zip(chosen, starts_of(batch).tolist(), strict=True))
                rows = torch.tensor([starts[holes[number].sequence] + holes[number].row for number in numbers])
                hidden = self.model(batch).hidden_states
                best: list[tuple[list[float], list[int]]] = []
                for part in hidden[rows.to(hidden.device)].split(HEAD_ROWS):
                    logits = self.model.masked_lm(part)[:, : self.tokenizer.vocab_size]  # the rest is padding
                    scores, ids = logits.float().softmax(-1).topk(top_k)
                    best += zip(scores.tolist(), ids.tolist(), strict=True)
                for number, answer in zip(numbers, best, strict=True):
                    found[number] = answer
        return found

    def _filling(self, text: str, hole: _Hole, token_id: int, score: float) -> Filling:
        token = self.tokenizer.id_to_token(token_id)
        written, apart = self.tokenizer.surface(token_id)
        before, after = text[: hole.start], text[hole.start + len(self.tokenizer.mask_token) :]
        if not apart:  # goes on with the word before it
            before = before.rstrip()
        return Filling(token=token, token_id=token_id, score=score, text=before + written + after)

    @overload
    def next_sentence(self, pairs: tuple[str, str]) -> dict[str, float]: ...
    @overload
    def next_sentence(self, pairs: list[tuple[str, str]]) -> list[dict[str, float]]: ...
    def next_sentence(
        self, pairs: tuple[str, str] | list[tuple[str, str]]
    ) -> dict[str, float] | list[dict[str, float]]:
        """The probability that the second text follows the first: `{"is_next": p}` for a pair, a list for a list.

        A pair longer than the model loses tokens from the start of the first and the end of the second text, the
        longer one first, so that what meets stays; a warning counts such pairs. Raises UsageError when the model was
        not trained on pairs or a text is empty or not valid Unicode.
        """
        require_head(self.model, "pair", "judge pairs")
        many = [pairs] if isinstance(pairs, tuple) else pairs
        sequences = self._pair_sequences(many)
        probabilities = pair_logits(self.model, sequences).softmax(-1)[:, 0].tolist()
        results = [{"is_next": probability} for probability in probabilities]
        return results[0] if isinstance(pairs, tuple) else results

    def _pair_sequences(self, pairs: Sequence[tuple[str, str]]) -> list[TokenSequence]:
        sequences: list[TokenSequence] = []
        room = self.max_length - 2 - self.tokenizer.separators
        long = 0
        for index, texts in enumerate(pairs):
            if isinstance(texts, str) or len(texts) != 2:
                raise UsageError(f"pair {index + 1} must be two texts")
            cleaned = [clean_text(text, index, len(pairs), "pair") for text in texts]
            first, second = (self.tokenizer.encode_with_offsets(text)[0] for text in cleaned)
            long += len(first) + len(second) > room
            keep = _share(len(first), len(second), room)
            first, second = first[len(first) - keep[0] :], second[: keep[1]]
            sequences.append(pair(first, second, self.tokenizer.special, self.tokenizer.separators))
        if long:
            warn(
                f"{long} of {len(pairs)} pairs are longer than the {room} tokens this model reads: "
                "the start of the first and the end of the second text were left out"
            )
        return sequences


def _share(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each part are kept: the longer one is cut first."""
    if first + second <= room:
        return first, second
    kept_first = min(first, max(room - second, room - room // 2))
    return kept_first, min(second, room - kept_first)


def clean_text(text: object, index: int, count: int, kind: str = "text") -> str:
    """The text cleaned as a corpus is; UsageError with one line for what no tokenizer can read."""
    where = _which(index, count, kind)
    if not isinstance(text, str):
        raise UsageError(f"{where} must be a string, not {type(text).__name__}")
    if "\0" in text:
        raise UsageError(f"{where} holds a NUL character at position {text.index(chr(0)) + 1}: is it a text?")
    for position, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise UsageError(
                f"{where} is not valid Unicode: lone surrogate U+{ord(character):04X} at position {position + 1}"
            )
    cleaned = clean(text)
    if not cleaned:
        raise UsageError(f"{where} is empty" if kind == "text" else f"{where} holds an empty text")
    return cleaned


def _hint(text: str) -> str:
    lowered = text.lower()
    return f" (write it as {MASK})" if "[mask]" in lowered or "<mask>" in lowered else ""


def _which(index: int, count: int, kind: str = "text") -> str:
    return f"the {kind}" if count == 1 else f"{kind} {index + 1} of {count}"
