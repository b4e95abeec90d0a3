"""How text files are read and divided into sentences and words."""

from __future__ import annotations

import dataclasses  # as a module: one of our fields is called `field`
from typing import Annotated, Literal

from pydantic import Field

SegmenterName = Literal["auto", "rjieba", "jieba", "characters", "spaces"]


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """What `prepare` makes of the files it is given."""

    field: Annotated[str, Field(min_length=1)] = dataclasses.field(
        default="text", metadata={"help": "the field (.jsonl) or column (.parquet) that holds the text"}
    )
    sentences: Literal["auto", "line"] = dataclasses.field(
        default="auto",
        metadata={"help": "auto: split the lines that hold several sentences; line: every line is one sentence"},
    )
    on_bad: Literal["skip", "fail"] = dataclasses.field(
        default="skip", metadata={"help": "skip: count unreadable lines and go on; fail: stop at the first"}
    )
    validation_share: Annotated[float, Field(ge=0.0, lt=1.0)] = dataclasses.field(
        default=0.01, metadata={"help": "share of the documents kept apart for validation, chosen by their hash"}
    )
    segmenter: SegmenterName = dataclasses.field(
        default="auto",
        metadata={
            "help": "finds the words of Chinese text; auto: rjieba, else jieba, else single characters; "
            "spaces: the text is cut already, by spaces"
        },
    )
