"""Published weights that are not in safetensors: pytorch_model.bin, read so that nothing in it can run."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.folder import CONFIG, WEIGHTS, load_model, read_model
from bertsmith.models.model import Model
from bertsmith.models.untrusted import TensorEntry, regular_file

PICKLED = "pytorch_model.bin"
TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def load_published(folder: Path) -> Model:
    """The model of a Hugging Face folder with model.safetensors or pytorch_model.bin, with all heads that are there.

    A .bin file is a pickle. It is read by torch's restricted reader, which builds tensors and nothing else; there is no
    other way to read it here. Names, shapes and values are checked as for safetensors. UsageError for a folder without
    one such file; BertsmithError naming the file and what is wrong with it.
    """
    folder = Path(folder)
    if (folder / WEIGHTS).exists() or not (folder / PICKLED).exists():
        _refuse_parts(folder)
        return load_model(folder)
    if not (folder / CONFIG).exists():
        raise UsageError(f"{folder}: holds no model ({CONFIG} is missing)")
    path = regular_file(folder, PICKLED)
    tensors = read_pickled(path)
    entries = {name: TensorEntry(_type(tensor), tuple(tensor.shape)) for name, tensor in tensors.items()}
    return read_model(folder, path, entries, tensors.__getitem__)


def read_pickled(path: Path) -> Mapping[str, Tensor]:
    """The tensors in a file that torch.save wrote of a state_dict, on the CPU. BertsmithError for any other file."""
    zipped = zipfile.is_zipfile(path)
    if zipped:
        _refuse_compressed(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types that old files name
            # Mapped, each tensor lies within the file, whatever its pickle says of sizes; old files are no archives.
            values = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True if zipped else None)
    except Exception as error:  # a reader of hostile bytes may raise anything
        raise BertsmithError(f"{path}: {_reason(error)}; nothing in it was run") from error
    if not isinstance(values, dict) or not values:
        raise BertsmithError(f"{path}: holds no table of tensors")
    for name, tensor in values.items():
        # Exact types: a subclass could bring its own idea of what copying it means.
        plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
        if not isinstance(name, str) or not plain or tensor.device.type != "cpu" or tensor.is_quantized:
            raise BertsmithError(f"{path}: the entry {str(name)[:80]!r} is no plain tensor")
    return {name: tensor.detach() for name, tensor in values.items()}


def _refuse_parts(folder: Path) -> None:
    if (folder / f"{PICKLED}.index.json").exists():
        raise UsageError(f"{folder}: its weights are split over several files; only a single {PICKLED} is read")


def _refuse_compressed(path: Path) -> None:
    """torch writes its archives uncompressed; a compressed member could unfold to any size."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BertsmithError(f"{path}: is damaged ({str(error)[:120]})") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise BertsmithError(f"{path}: is compressed, which torch.save never does; it is not read")


def _reason(error: Exception) -> str:
    """Why the restricted reader stopped, without its advice on how to read the file nevertheless."""
    text = str(error)
    if named := re.search(r"(?:GLOBAL|function|class)\s+`?([\w.]+)", text):
        return f"names {named.group(1)[:80]}, which is no part of a file of weights"
    text = text.rpartition("WeightsUnpickler error:")[2]
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"is damaged or no file of weights ({line[:120]})"


def _type(tensor: Tensor) -> str:
    return TYPES.get(tensor.dtype, str(tensor.dtype).removeprefix("torch."))
