"""Model folders in the Hugging Face layout: config.json and model.safetensors, read strictly, never a pickle."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bertsmith import console
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.assembly import Assembly, Wanted, assemble, identity_names, places_of
from bertsmith.models.config import EncoderConfig
from bertsmith.models.heads import HEADS
from bertsmith.models.huggingface import config_from_json, config_to_json
from bertsmith.models.model import Model
from bertsmith.models.task_labels import head_named, task_from_json
from bertsmith.models.untrusted import TensorEntry, in_one_line, read_config, read_safetensors_header, regular_file
from bertsmith.store import explain

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save_model(model: Model, folder: Path, *, pad_token_id: int) -> None:
    """Writes config.json and model.safetensors with all heads of the model into an existing folder.

    Weights are written in fp32, tied ones once, under the names transformers expects; it loads the folder without our
    code (`huggingface.remarks` says what its classes cannot express). The caller adds the tokenizer and makes the
    folder atomic. BertsmithError when writing fails, UsageError when the padding's id does not fit the positions.
    """
    heads = [name for name in model.heads if name in HEADS]
    values = config_to_json(model.config, heads, pad_token_id, model.task)
    try:
        (folder / CONFIG).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        write_tensors(folder / WEIGHTS, to_huggingface(model), {"format": "pt"})
    except OSError as error:
        raise explain(error, folder) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """A safetensors file. Raises OSError, as any other write does, when the disk is full or refuses."""
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    except SafetensorError as error:
        full = f"os error {errno.ENOSPC}" in str(error)
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number) if full else str(error), str(path)) from error
    path.chmod(0o644)  # the library makes it readable by its owner alone


def to_huggingface(model: Model) -> dict[str, Tensor]:
    """The model's weights under Hugging Face's names: fp32, on the CPU, stacked ones split.

    Weights that layers share here are there as often as their class has them.
    """
    places = places_of(model)
    tensors: dict[str, Tensor] = {}
    written: set[int] = set()
    for ours, parameter in model.named_parameters(remove_duplicate=False):
        parts = parameter.detach().to("cpu", torch.float32).chunk(len(places[ours]))
        for name, part in zip(places[ours], parts, strict=True):
            if name not in tensors:  # the file format refuses two names for the same memory
                tensors[name] = part.clone() if id(parameter) in written else part.contiguous()
        written.add(id(parameter))
    if identity := identity_names(model.config):
        tensors.update(zip(identity, _identity(model.config.hidden_size), strict=True))
    return tensors


def _identity(width: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear map that changes nothing."""
    return torch.eye(width), torch.zeros(width)


def _changes_nothing(tensor: Tensor) -> bool:
    """Whether this weight or bias is that of a linear map that changes nothing."""
    return torch.equal(tensor.float(), _identity(len(tensor))[tensor.dim() == 1])


def load_model(path: Path, heads: Sequence[str] | None = None, *, foreign_heads: bool = False) -> Model:
    """Reads a Hugging Face folder of a supported family: an fp32 model on the CPU, in evaluation mode.

    heads: those wanted, which must be there; None = all that are there, and the pooler. `trained_heads` names those of
    pretraining, `task` says what the task head decides. foreign_heads: whether heads that are not known here are passed
    over, which is said, instead of refused; for whoever wants the encoder.
    The config, the file's header and all names and shapes are checked before anything is allocated, and every weight
    must be finite. BertsmithError naming the file and what is wrong; UsageError for a folder that holds no such model.
    """
    path = Path(path)
    _require_model(path)
    weights_path = regular_file(path, WEIGHTS)
    entries = read_safetensors_header(weights_path)
    try:
        with safe_open(weights_path, framework="pt") as file:
            chosen = None if heads is None else tuple(heads)
            return read_model(path, weights_path, entries, file.get_tensor, chosen, foreign_heads)
    except (SafetensorError, OSError) as error:
        raise BertsmithError(f"{weights_path}: cannot be read ({str(error)[:200]})") from error


def read_model(
    folder: Path,
    weights: Path,
    entries: Mapping[str, TensorEntry],
    read: Callable[[str], Tensor],
    heads: tuple[str, ...] | None = None,
    foreign_heads: bool = False,
) -> Model:
    """The model of config.json in this folder with the weights that `read` returns by their names in the file."""
    config_path = regular_file(folder, CONFIG)
    values = read_config(config_path)
    config = config_from_json(values, config_path)
    wanted = Wanted(task_from_json(values, config_path), head_named(values), heads, foreign_heads)
    assembly = assemble(config, entries, weights, wanted)
    if assembly.foreign:
        names = ", ".join(in_one_line(name) for name in assembly.foreign[:2])
        console.say(f"{weights}: {len(assembly.foreign)} tensors of a head not known here are left out ({names})")
    apart = _as_trained_apart(config, assembly, read)
    if apart != config:
        names = [name for name in ("sharing", "embedding_mapping") if getattr(apart, name) != getattr(config, name)]
        fields = " and ".join(f"model.{name} = {getattr(apart, name)!r}" for name in names)
        console.say(f"{weights}: what was one weight has been trained apart, so the model is read with {fields}")
        assembly = assemble(apart, entries, weights, wanted)
    return fill(assembly, read, weights)


def _as_trained_apart(config: EncoderConfig, assembly: Assembly, read: Callable[[str], Tensor]) -> EncoderConfig:
    """The config as the values in the file make it.

    What transformers cannot express is written expanded (huggingface.remarks). Trained there, copies of a shared weight
    go apart, and a mapping that changed nothing starts to.
    """
    if any(not torch.equal(read(second), read(first)) for second, first in assembly.shared):
        config = replace(config, sharing="none")
    if any(not _changes_nothing(read(name)) for name in assembly.identity):
        config = replace(config, embedding_mapping="always")
    return config.resolved()


def _require_model(folder: Path) -> None:
    """One clear line for what is not a folder with one safetensors file."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    names = {path.name for path in folder.iterdir()}
    if CONFIG not in names:
        raise UsageError(f"{folder}: holds no model ({CONFIG} is missing)")
    if WEIGHTS in names:
        return
    if WEIGHTS + ".index.json" in names:
        raise UsageError(f"{folder}: its weights are split over several files; only a single {WEIGHTS} is read")
    if other := sorted(name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"))):
        raise UsageError(
            f"{folder}: its weights are in {other[0]}, which may run code when read; only {WEIGHTS} is read here "
            "(`bertsmith import FOLDER --out MODEL` reads a pytorch_model.bin safely)"
        )
    raise UsageError(f"{folder}: holds no weights ({WEIGHTS} is missing)")


def fill(assembly: Assembly, read: Callable[[str], Tensor], path: Path) -> Model:
    """The assembled model with the weights that `read` returns by their names in the file, in evaluation mode.

    They are copied, not mapped: tensors of a mapped file are not aligned as torch's kernels like them.
    """
    for second, first in assembly.tied:
        if not torch.equal(read(second), read(first)):
            raise BertsmithError(f"{path}: {second} differs from {first}; here the two are one weight")
    model = assembly.model.to_empty(device="cpu")
    model.trained_heads = assembly.heads
    with torch.no_grad():
        for ours, parameter in model.named_parameters():
            sources = assembly.sources[ours]
            for name, part in zip(sources, parameter.chunk(len(sources)), strict=True):
                part.copy_(read(name))
                if not torch.isfinite(part).all():
                    raise BertsmithError(f"{path}: {name} holds values that are not finite")
    return model.eval()
