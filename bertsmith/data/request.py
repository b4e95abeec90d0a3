"""The same line again: what a corpus was asked to be, and whether a folder holds it already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertsmith import console, interrupt, store
from bertsmith.data.corpus import KIND
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.text.config import TextConfig
from bertsmith.text.documents import Source
from bertsmith.text.words import Segmenter, name_of
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.tokenizers.tokenizer import Tokenizer

Request = dict[str, Any]


def request_of(
    sources: Sequence[Source],
    tokenizer_config: TokenizerConfig,
    text_config: TextConfig,
    seed: int,
    published: Tokenizer | None,
    segment: Segmenter | None,
) -> Request:
    """Everything the corpus depends on, by the name the user knows it by."""
    request: Request = {f"text.{key}": value for key, value in asdict(text_config).items()}
    if segment is not None:
        request["text.segmenter"] = name_of(segment)
    if published is None:
        request |= {f"tokenizer.{key}": value for key, value in asdict(tokenizer_config).items()}
    if not tokenizer_config.extend:
        request.pop("tokenizer.extend", None)  # which older corpora do not name
    elif published is not None:
        request |= {f"tokenizer.{key}": getattr(tokenizer_config, key) for key in ("extend", "sample_megabytes")}
    request["--tokenizer"] = "trained" if published is None else published.fingerprint
    request["seed"] = seed
    request["--text"] = store.fingerprint([_content(source) for source in sources])
    return request


def _content(source: Source) -> str:
    """The SHA-256 of a file, or what stands in its way; reading it for its text reports that properly."""
    interrupt.check()
    if not source.path.is_file():
        return "not a file"
    try:
        return store.hash_file(source.path)
    except OSError as error:
        return f"unreadable: {error.errno}"


def finished(out: Path, request: Request) -> dict[str, Any] | None:
    """The details of a whole corpus in `out` made by this request; None where there is none or it is damaged."""
    if not (out / store.MANIFEST).is_file():
        return None
    try:
        details = store.verify(out, KIND)
    except UsageError:
        raise
    except BertsmithError as error:
        console.warn(f"{error}; preparing it anew")
        return None
    found = details["request"]
    for key in (*request, *found):
        if request.get(key) != found.get(key):
            raise UsageError(_difference(out, key, found.get(key), request.get(key)))
    return details


def _difference(out: Path, key: str, found: object, wanted: object) -> str:
    if key == "--text":
        what = "of other text"
    elif key == "--tokenizer":
        what = "with another tokenizer"
    else:
        what = f"with {key} = {found}, not {wanted}"
    return f"{out}: was prepared {what} ({key}); choose another folder for this one"
