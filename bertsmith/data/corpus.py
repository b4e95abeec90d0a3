"""The corpus on disk: tokens in sentences in documents, memory-mapped. It knows nothing of objectives or masks.

A corpus folder holds `manifest.json`, `tokenizer/` and parts: Arrow IPC files `train-00000.arrow`,
`validation-00000.arrow` and so on, of one record batch with one row per document:

    token_ids    list<list<uint16 | uint32>>   sentences of a document, tokens of a sentence
    word_starts  list<list<uint8>>             1 where a token starts a word, 0 where it continues one

Token ids are uint16 where the vocabulary fits. pyarrow, polars and datasets read the files as they are. Parts are
bounded in size and cut by input; no span crosses a part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertsmith import interrupt, store
from bertsmith.errors import BertsmithError

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import Tokenizer

KIND = "corpus"
TOKENIZER = "tokenizer"
Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")
COLUMNS = ("token_ids", "word_starts")


@dataclass(frozen=True)
class Part:
    """One file's worth of documents as flat arrays, read-only.

    token_ids: (tokens,) uint16 or uint32. word_starts: (tokens,) uint8.
    sentences: (sentences + 1,) int32 token offsets. documents: (documents + 1,) int32 sentence offsets.
    """

    token_ids: npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
    word_starts: npt.NDArray[np.uint8]
    sentences: npt.NDArray[np.int32]
    documents: npt.NDArray[np.int32]

    @cached_property
    def document_tokens(self) -> npt.NDArray[np.int32]:
        """(documents + 1,) int32: the token offset at which each document starts."""
        return read_only(self.sentences[self.documents])


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, locked: memory-mapped and made arrays then have one type for compiled code."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def make_part(
    token_ids: npt.NDArray[Any],
    word_starts: npt.NDArray[np.uint8],
    sentence_lengths: npt.NDArray[Any],
    document_lengths: npt.NDArray[Any],
) -> Part:
    """A part in memory. sentence_lengths: tokens of each sentence; document_lengths: sentences of each document."""
    return Part(
        read_only(token_ids),
        read_only(word_starts.astype(np.uint8, copy=False)),
        read_only(_offsets(sentence_lengths)),
        read_only(_offsets(document_lengths)),
    )


def _offsets(lengths: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    offsets = np.zeros(lengths.size + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def write_part(path: Path, part: Part) -> None:
    """Write a part as an Arrow IPC file of one record batch. The bytes are a function of the part alone."""

    def nested(values: npt.NDArray[Any]) -> pa.ListArray:
        sentences = _lists(part.sentences, _array(values))
        return _lists(part.documents, sentences)

    columns = [nested(part.token_ids), nested(part.word_starts)]
    batch = pa.RecordBatch.from_arrays(columns, names=list(COLUMNS))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _array(values: npt.NDArray[Any]) -> pa.Array:
    # From buffers: pa.array() on numpy values imports pandas where it is installed, a second and 60 MB for nothing.
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, values.size, [None, pa.py_buffer(values)])


def _lists(offsets: npt.NDArray[np.int32], values: pa.Array) -> pa.ListArray:
    kind = pa.list_(values.type)
    return pa.ListArray.from_buffers(kind, offsets.size - 1, [None, pa.py_buffer(offsets)], children=[values])


def open_part(path: Path, validate: bool = False) -> Part:
    """Memory-map a part: no copy is made. BertsmithError names the file when it is not one that `write_part` wrote."""
    try:
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_file(file)
            if reader.num_record_batches != 1:
                raise BertsmithError(f"{path}: has {reader.num_record_batches} record batches, a corpus file has one")
            batch = reader.get_batch(0)
        if validate:
            batch.validate(full=True)
        if tuple(batch.schema.names) != COLUMNS:
            raise BertsmithError(f"{path}: has columns {batch.schema.names}, a corpus file has {list(COLUMNS)}")
        token_ids, sentences, documents = _flat(batch.column(0))
        word_starts, *_ = _flat(batch.column(1))
    except (pa.ArrowException, OSError, AttributeError, ValueError) as error:
        raise BertsmithError(f"{path}: is not a readable corpus file ({str(error).splitlines()[0]})") from error
    if token_ids.dtype not in (np.uint16, np.uint32) or token_ids.size != word_starts.size:
        raise BertsmithError(f"{path}: is not a readable corpus file (token_ids and word_starts do not match)")
    return Part(read_only(token_ids), read_only(word_starts), read_only(sentences), read_only(documents))


def _flat(column: pa.ListArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Values, sentence offsets and document offsets of a list<list<...>> column that has no nulls and no offset."""
    sentences = column.values
    values = sentences.values
    kind = values.type.to_pandas_dtype()
    return (
        np.frombuffer(values.buffers()[1], dtype=kind, count=len(values)),
        np.frombuffer(sentences.buffers()[1], dtype=np.int32, count=len(sentences) + 1),
        np.frombuffer(column.buffers()[1], dtype=np.int32, count=len(column) + 1),
    )


@dataclass(frozen=True)
class Corpus:
    """The parts of one split and what the manifest says of them."""

    parts: Sequence[Part]
    details: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    files: Sequence[Path] = ()

    @classmethod
    def open(cls, folder: Path | str, split: Split = "train", verify: bool = False) -> Corpus:
        """Open one split of a corpus folder. With `verify` every byte is checked against the manifest first.

        Raises BertsmithError naming the file that is missing or damaged.
        """
        folder = Path(folder)
        details = store.verify(folder, KIND) if verify else store.read_details(folder, KIND)
        files = [folder / name for name in details["splits"][split]["files"]]
        parts = []
        for file in files:
            interrupt.check()
            parts.append(open_part(file, validate=verify))
        corpus = cls(parts, details, folder, files)
        if verify:
            corpus.check_token_ids()
        return corpus

    def check_token_ids(self) -> None:
        """Raise BertsmithError when a token id lies outside the vocabulary the manifest states."""
        for name, part in zip(self.files, self.parts, strict=True):
            interrupt.check()
            largest = int(part.token_ids.max(initial=0))
            if largest >= self.vocab_size:
                raise BertsmithError(f"{name}: holds token id {largest}, beyond its vocabulary of {self.vocab_size}")

    @property
    def tokens(self) -> int:
        """Tokens in this split."""
        return sum(part.token_ids.size for part in self.parts)

    @property
    def held_out(self) -> int:
        """Tokens of the validation part, whichever split this is."""
        return int(self.details["splits"]["validation"]["tokens"])

    @property
    def sentence_count(self) -> int:
        """Sentences in this split."""
        return sum(part.sentences.size - 1 for part in self.parts)

    @property
    def document_count(self) -> int:
        """Documents in this split."""
        return sum(part.documents.size - 1 for part in self.parts)

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary the token ids come from."""
        return int(self.details["vocab_size"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the tokens of all splits and the tokenizer; the same text and recipe give the same one."""
        return str(self.details["fingerprint"])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer kept in the corpus folder, checked against the fingerprint in the manifest."""
        from bertsmith.tokenizers.tokenizer import Tokenizer

        if self.folder is None:
            raise BertsmithError("this corpus lies in memory and has no tokenizer")
        tokenizer = Tokenizer.load(self.folder / TOKENIZER)
        if tokenizer.fingerprint != self.details["tokenizer_fingerprint"]:
            raise BertsmithError(
                f"{self.folder / TOKENIZER}: is not the tokenizer this corpus was made with (tokenizer_fingerprint)"
            )
        return tokenizer

    def token_counts(self) -> npt.NDArray[np.int64]:
        """How often each token occurs in this split: (vocab_size,) int64."""
        counts = np.zeros(self.vocab_size, dtype=np.int64)
        for part in self.parts:
            interrupt.check()
            for start in range(0, part.token_ids.size, 2**22):  # bincount makes an int64 copy of what it counts
                counts += np.bincount(part.token_ids[start : start + 2**22], minlength=self.vocab_size)
        return counts
