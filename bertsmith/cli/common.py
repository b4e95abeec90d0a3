"""What the verbs share: the app, the kinds of their parameters, the flags of recipes, and printing.

Every field of a recipe is a flag (`--training.steps 300`, `--training.steps=300`). Dotted flags are taken out of the
arguments before cyclopts sees them, because their types belong to the configs and are checked strictly there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from bertsmith import console
from bertsmith.errors import UsageError

Flags = dict[str, str]

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="print the result alone, as JSON, on stdout")]
PlainSeed = Annotated[int, Parameter(name="--seed", help="everything random follows from it")]
Unused = Annotated[int, Parameter(name="--seed", help="accepted by every verb; nothing is random here")]
Seed = Annotated[int | None, Parameter(help="everything random follows from it [default: the recipe's, 0]")]
Model = Annotated[str, Parameter(name="--from", help="a run, a checkpoint or a Hugging Face folder")]
Paths = Annotated[list[str], Parameter(consume_multiple=True, negative=(), help="files, folders or globs")]
Precision = Annotated[
    Literal["fp32", "bf16", "int8", "auto"],
    Parameter(help="of the arithmetic; auto = the fastest here that changes the answers little, which is measured"),
]
Recipe = Annotated[str, Parameter(help="a shipped name (see bertsmith recipes) or a TOML file")]

app = App(
    name="bertsmith",
    help="From raw text to a BERT: prepare a corpus, pretrain, evaluate, predict.",
    help_epilogue="Start with: bertsmith demo",
    help_flags=["--help", "-h"],
    version_flags=["--version"],
    help_format="markdown",
    end_of_options_delimiter="--",
    suppress_keyboard_interrupt=False,
)

_flags: Flags = {}  # the dotted flags of this command line


def take_flags(arguments: list[str]) -> list[str]:
    """Take `--table.field value` and `--table.field=value` out of the arguments, up to a lone `--`."""
    _flags.clear()
    rest: list[str] = []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--":
            return [*rest, argument, *arguments]
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or "." not in name:
            rest.append(argument)
            continue
        if not equals:
            if not arguments or arguments[0].startswith("--"):
                raise UsageError(f"--{name}: wants a value")
            value = arguments.pop(0)
        _flags[name] = value
    return rest


def given_flags() -> Flags:
    """The dotted flags of this command line, as typed."""
    return dict(_flags)


def recipe_flags(seed: int | None) -> Flags:
    """The dotted flags with --seed among them."""
    return given_flags() if seed is None else {**_flags, "seed": str(seed)}


def no_flags(verb: str) -> None:
    """UsageError when a verb that reads no recipe was given a field of one."""
    if _flags:
        raise UsageError(f"--{next(iter(_flags))}: {verb} takes no fields of a recipe")


def print_result(result: Any, as_json: bool, text: Callable[[Any], str]) -> None:
    """The result on stdout, on the first rank alone."""
    if console.is_quiet():
        return
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))
    else:
        print(text(result))
