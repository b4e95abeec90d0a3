"""What changes bits: settled before step 1, written to environment.json, taken from there by every resume."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from bertsmith import store
from bertsmith.errors import BertsmithError

FORMAT = 1


@dataclass(frozen=True)
class Settings:
    """Every choice that was "auto" or a budget, as it was settled; nothing of it is chosen anew at a resume."""

    steps: int
    precision: str
    compiled: bool
    fp32_backend: str
    threads: int
    world: int


@dataclass(frozen=True)
class Record:
    """environment.json: what was asked for, what it became, and on which machine.

    asked, resolved: PretrainingPlan.values() as typed and as settled. inputs: fingerprints of corpus, tokenizer and
    initial model ("" = none).
    """

    asked: Mapping[str, Any]
    resolved: Mapping[str, Any]
    inputs: Mapping[str, str]
    settings: Settings
    machine: Mapping[str, str]


def machine_facts(device: torch.device) -> dict[str, str]:
    """Versions and hardware on which the same settings may give other bits."""
    try:
        own = version("bertsmith")
    except PackageNotFoundError:
        own = "unknown"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return {
        "bertsmith": own,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{device.type}: {name}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def processor_name() -> str:
    """The CPU's name as its maker gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def broken_promises(record: Record, machine: Mapping[str, str], world: int) -> list[str]:
    """What differs from when the run was started, so that it no longer continues bit for bit: "torch 2.12 -> 2.13"."""
    changed = [
        f"{name} {record.machine.get(name, 'unknown')} -> {value}"
        for name, value in machine.items()
        if record.machine.get(name) != value
    ]
    if world != record.settings.world:
        changed.append(f"ranks {record.settings.world} -> {world}")
    return changed


def record_from(values: Mapping[str, Any]) -> Record:
    """A record from its values as JSON."""
    return Record(**{**values, "settings": Settings(**values["settings"])})


def write_record(path: Path, record: Record) -> None:
    """Write environment.json as a whole."""
    store.write_json(path, {"format": FORMAT, **asdict(record)})


def read_record(path: Path) -> Record:
    """Read environment.json; BertsmithError when it is damaged."""
    try:
        values = json.loads(path.read_bytes())
        if values.pop("format") != FORMAT:
            raise BertsmithError(f"{path}: written by another version of bertsmith; choose another --out")
        return record_from(values)
    except OSError as error:
        raise store.explain(error, path) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BertsmithError(f"{path}: damaged; remove the folder or choose another --out") from error
