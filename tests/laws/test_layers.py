"""Imports point down only, and each library stays where it belongs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bertsmith"

# From top to bottom. A module imports its own part and parts of lower lines, never one beside it or above.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("rendering", "doctor"),
    ("pipeline",),
    ("looking", "suites", "predicting", "comparing", "exporting", "studying"),
    ("studies",),
    ("finetuning", "pretraining"),
    ("recipe", "demo"),
    ("prediction_files",),
    ("serving", "exports"),
    ("report",),
    ("tasks",),
    ("training",),
    ("objectives",),
    ("data", "models"),
    ("batch",),
    ("tokenizers",),
    ("text",),
    ("config",),
    ("store",),
    ("console", "interrupt"),
    ("randomness",),
    ("compiled", "errors"),
)
LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imported_names(path: Path) -> tuple[str, ...]:
    """Every name a file imports anywhere in it, also inside functions: `from a import b` gives a and a.b."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def imported_modules(module: str) -> Iterator[str]:
    """The modules of the package that a module imports; a package only when no module in it is meant."""
    names = set(imported_names(MODULES[module])) & set(MODULES)
    for name in names:
        if not any(other.startswith(f"{name}.") for other in names):
            yield name


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"bertsmith"}))
def test_imports_point_down(module: str) -> None:
    part = part_of(module)
    assert part in LEVEL, f"{part} has no place among the layers"
    for other in imported_modules(module):
        below = part_of(other)
        if below and below != part:  # the package itself holds the version and reads the rest when asked
            assert LEVEL[below] > LEVEL[part], f"{module} imports {other}, which is not below it"


def test_no_import_cycle() -> None:
    finished: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"import cycle: {' -> '.join((*trail, module))}"
        if module not in finished:
            for other in imported_modules(module):
                if other not in ("bertsmith", module):
                    visit(other, (*trail, module))
            finished.add(module)

    for module in set(MODULES) - {"bertsmith"}:
        visit(module, ())


def uses(path: Path, library: str) -> bool:
    return any(name == library or name.startswith(f"{library}.") for name in imported_names(path))


def test_text_and_tokenizers_and_configs_never_name_torch() -> None:
    free = [
        path
        for path in PACKAGE.rglob("*.py")
        if {"text", "tokenizers", "config", "store", "cli"} & set(path.relative_to(PACKAGE).parts)
    ]
    free += PACKAGE.rglob("config.py")
    free += [PACKAGE / f"{name}.py" for name in ("recipe", "console", "interrupt")]
    assert len(free) > 10
    assert [path for path in free if uses(path, "torch")] == []


def test_transformers_only_in_parity_tests_and_benchmarks() -> None:
    allowed = (ROOT / "tests" / "parity", ROOT / "benchmarks")
    files = [path for folder in ("bertsmith", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    outside = [path for path in files if uses(path, "transformers") and not path.is_relative_to(allowed[0])]
    assert [path for path in outside if not path.is_relative_to(allowed[1])] == []


@pytest.mark.parametrize("library", ["torch.distributed", "torch._dynamo", "torch._inductor"])
def test_only_training_device_knows_ranks_and_compile(library: str) -> None:
    device = PACKAGE / "training" / "device"
    outside = [path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(device)]
    assert [path for path in outside if uses(path, library)] == []
    attribute = library.removeprefix("torch.")
    for path in outside:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
                assert node.attr not in (attribute, "compile"), f"{path}:{node.lineno} uses torch.{node.attr}"


def test_light_modules_load_without_torch() -> None:
    light = [name for name in MODULES if name.split(".")[-1] == "config" or part_of(name) in ("text", "tokenizers")]
    light += [f"bertsmith.{name}" for name in ("cli", "recipe", "store", "console", "interrupt")]
    code = f"import sys, {', '.join(light)}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_help_loads_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "pyarrow", "numba", "pydantic", "matplotlib", "tokenizers")
    code = (
        "import sys; from bertsmith.cli import run; run(['pretrain', '--help']); "
        f"sys.exit(', '.join(name for name in {heavy!r} if name in sys.modules) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
