"""How well words of Chinese text are found: precision, recall and F1 of word boundaries.

    python benchmarks/segmentation.py ../shared/data/segmentation

Gold words: the PKU test part (SIGHAN 2005; words separated by spaces) and UD GSD in simplified and traditional
characters (CoNLL-U). "raw" leaves out the map from traditional to simplified characters. Boundaries at the ends of a
sentence are not counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

import rjieba

from bertsmith.text import words

FILES = {"PKU": "pku_test_gold.utf8", "GSD simplified": "gsdsimp_dev.conllu", "GSD traditional": "gsd_trad_dev.conllu"}


def sentences(file: Path) -> Iterator[list[str]]:
    """The words of each sentence."""
    lines = file.read_text("utf-8").split("\n")
    if file.suffix != ".conllu":
        yield from (line.split() for line in lines if line.strip())
        return
    found: list[str] = []
    for line in [*lines, ""]:
        number, _, rest = line.partition("\t")
        if number.isdigit():
            found.append(rest.split("\t")[0])
        elif not line and found:
            yield found
            found = []


def inner_boundaries(found: list[str]) -> set[int]:
    """Where words end within their sentence, in characters."""
    return set(list(accumulate(map(len, found)))[:-1])


def score(file: Path, cut: Callable[[str], list[str]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the boundaries."""
    right = gold = guessed = 0
    for sentence in sentences(file):
        expected, found = inner_boundaries(sentence), inner_boundaries(cut("".join(sentence)))
        right, gold, guessed = right + len(expected & found), gold + len(expected), guessed + len(found)
    return right / guessed, right / gold, 2 * right / (gold + guessed)


def main(folder: Path) -> None:
    """Print the table."""
    print(f"{'':16} {'segmenter':14} {'precision':>9} {'recall':>9} {'F1':>9}")
    cuts: dict[str, Callable[[str], list[str]]] = {
        "rjieba": words.segmenter("rjieba"),
        "rjieba, raw": rjieba.cut,
        "characters": words.segment_characters,
    }
    for name, file in FILES.items():
        for cut_name, cut in cuts.items():
            precision, recall, f1 = score(folder / file, cut)
            print(f"{name:16} {cut_name:14} {precision:9.3f} {recall:9.3f} {f1:9.3f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/segmentation.py FOLDER")
    main(Path(sys.argv[1]))
