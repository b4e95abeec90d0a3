"""A recipe: everything that decides what comes out of a corpus, composed from the small configs.

Recipes are TOML: a shipped name or a path. `extends` names the recipe a file builds on. A recipe has exactly one
budget (training.steps, epochs, tokens or minutes); a layer above that sets another one replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from bertsmith import config
from bertsmith.data.config import PAIR_CUTS, CutConfig, MaskingConfig
from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.objectives.config import ObjectivesConfig
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.training.config import BUDGETS, LongPhaseConfig, TrainingConfig

FOLDER = Path(__file__).with_name("recipes")
EXTENDS = "extends"


@dataclass(frozen=True)
class Recipe:
    """What `prepare` and `pretrain` do. The defaults are BERT-base as published, without a budget."""

    name: str = field(default="", metadata={"help": "what reports call it"})
    description: str = field(default="", metadata={"help": "one line"})
    seed: Annotated[int, Field(ge=0, lt=2**63)] = field(
        default=0, metadata={"help": "everything random is a function of it"}
    )
    tokenizer: TokenizerConfig = TokenizerConfig()
    text: TextConfig = TextConfig()
    model: EncoderConfig = EncoderConfig()
    cut: CutConfig = CutConfig()
    masking: MaskingConfig = MaskingConfig()
    objectives: ObjectivesConfig = ObjectivesConfig()
    training: TrainingConfig = TrainingConfig()
    long_phase: LongPhaseConfig = LongPhaseConfig()

    def check(self) -> None:
        """UsageError for what no single field can say: each part's own rules, then how the parts fit together."""
        self.model.check()
        self.masking.check()
        self.training.check()
        self.objectives.check()
        lengths = {"cut.length": self.cut.length}
        if self.long_phase.share > 0:
            lengths["long_phase.length"] = self.long_phase.length
        for key, length in lengths.items():
            if length > self.model.max_positions:
                raise UsageError(
                    f"{key}: {length} tokens, but the model has {self.model.max_positions} positions; "
                    f"shorten it or raise model.max_positions"
                )
        if "pair" in self.objectives.use and not self.cut.makes_pairs:
            raise UsageError(
                f"objectives.use: pair needs a cut that makes pairs; "
                f'set cut.name to one of {", ".join(PAIR_CUTS)}, or objectives.use = ["masked_lm"]'
            )


class _Layer(NamedTuple):
    """One file of the chain that `extends` makes."""

    path: Path
    values: config.Values

    def place(self, key: str) -> str:
        line = config.line_of(self.path, key)
        return f"{self.path}:{line}: {key}" if line else f"{self.path}: {key}"


def shipped() -> list[str]:
    """Names of the recipes that come with bertsmith, smallest model first."""
    return sorted((path.stem for path in FOLDER.glob("*.toml")), key=_size_of)


def _size_of(name: str) -> tuple[int, str]:
    values = _merged(_chain(name)).get("model", {})
    default = EncoderConfig()
    width, layers = values.get("hidden_size", default.hidden_size), values.get("layers", default.layers)
    return width**2 * layers, name


def load_recipe(
    name_or_path: str | Path,
    flags: Mapping[str, config.Override] | None = None,
    model: config.Values | None = None,
) -> Recipe:
    """A shipped recipe or a TOML file, with overrides as typed on a command line: {"training.steps": "300"}.

    model: fields of [model] that replace the recipe's but not what is typed: those of a model to start from.

    UsageError with one line per mistake: unknown name or key, wrong type, value out of range, parts that do not fit.
    """
    over = config.parse_overrides(Recipe, flags or {})
    layers = _chain(str(name_or_path))
    below = config.merge(_merged(layers), {"model": model}) if model else _merged(layers)
    values = _with_name(_over(below, over), layers)
    typed = {flag.replace("-", "_"): flag for flag in flags or {}}

    def place(key: str) -> str:
        if key in typed:
            return f"--{typed[key]}"
        for layer in reversed(layers):
            if _sets(layer.values, key):
                return layer.place(key)
        return f"{layers[-1].path}: {key}"

    recipe = config.build(Recipe, values, place)
    try:
        recipe.check()
    except UsageError as error:
        raise UsageError(f"{name_or_path}: {error}") from error
    return recipe


def _chain(name_or_path: str) -> list[_Layer]:
    """The files a recipe is made of, the one everything builds on first."""
    layers: list[_Layer] = []
    path = find_recipe(name_or_path)
    while True:
        if any(layer.path == path for layer in layers):
            raise UsageError(f"{path}: extends itself, through {layers[-1].path}")
        values = config.read(path)
        layers.append(_Layer(path, values))
        below = values.pop(EXTENDS, "")
        if not isinstance(below, str):
            raise UsageError(f"{layers[-1].place(EXTENDS)}: wants one recipe's name or path")
        if not below:
            return layers[::-1]
        path = find_recipe(below, path.parent)


def find_recipe(name_or_path: str, beside: Path | None = None) -> Path:
    """The file of a shipped name or of a path (relative to the folder `beside`, or to where the user stands)."""
    named = FOLDER / f"{name_or_path}.toml"
    if "/" not in name_or_path and named.is_file():
        return named
    path = (beside or Path()) / name_or_path
    if path.is_file():
        return path
    if path.is_dir() and (path / "recipe.toml").is_file():  # a run: the recipe it was made with
        return path / "recipe.toml"
    names = [path.stem for path in FOLDER.glob("*.toml")]
    near = config.did_you_mean(name_or_path, names)
    raise UsageError(
        f"{name_or_path}: no such recipe (a shipped name or a TOML file){near or '; see bertsmith recipes'}"
    )


def _merged(layers: list[_Layer]) -> config.Values:
    values: config.Values = {}
    for layer in layers:
        values = _over(values, layer.values)
    return values


def _over(base: config.Values, over: config.Values) -> config.Values:
    """`over` on top of `base`; a budget in `over` replaces whatever budget `base` has."""
    training = over.get("training")
    if isinstance(training, dict) and any(training.get(name) for name in BUDGETS):
        below = base.get("training")
        if isinstance(below, dict):
            base = {**base, "training": {key: value for key, value in below.items() if key not in BUDGETS}}
    return config.merge(base, over)


def _with_name(values: config.Values, layers: list[_Layer]) -> config.Values:
    """A recipe without a name is called after its file, never after the one it extends."""
    if "name" in layers[-1].values:
        return values
    return {**values, "name": layers[-1].path.stem}


def _sets(values: Mapping[str, Any], key: str) -> bool:
    part: Any = values
    for name in key.split("."):
        if not isinstance(part, Mapping) or name not in part:
            return False
        part = part[name]
    return True
