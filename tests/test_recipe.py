"""Recipes: every shipped one loads, layers replace what they should, mistakes name file, line and key."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bertsmith import config
from bertsmith.errors import UsageError
from bertsmith.models.model import count_parameters
from bertsmith.objectives.table import needed_heads
from bertsmith.recipe import FOLDER, Recipe, find_recipe, load_recipe, shipped
from bertsmith.training.config import BUDGETS

SIZES = ("tiny", "mini", "small")
CPU_SIZES = (
    *(f"{family}-{size}" for family in ("bert", "albert", "roberta") for size in SIZES),
    *(f"roberta-wwm-{size}-chinese" for size in SIZES),
    "bert-medium",
    "bert-mini-chinese",
    *("distilbert-tiny", "distilbert-mini"),
)
LARGE_SIZES = (
    *("bert-base", "bert-large", "bert-xlarge", "bert-base-chinese"),
    *("albert-base", "albert-large", "albert-xlarge", "albert-xxlarge"),
    *("roberta-base", "roberta-large", "roberta-wwm-chinese", "roberta-wwm-large-chinese"),
    *("distilbert", "distilroberta", "distilbert-chinese"),
)
PUBLISHED_PARAMETERS = {  # of the base class, with its pooler, and of what is pretrained
    "bert-base-chinese": (102_267_648, 102_882_442),
    "albert-base": (11_683_584, 11_813_810),
    "albert-large": (17_683_968, 17_847_474),
    "albert-xlarge": (58_724_864, 59_021_490),
    "albert-xxlarge": (222_595_584, 223_158_450),
    "roberta-base": (124_645_632, 124_697_433),
    "distilbert": (66_362_880, 66_985_530),
    "roberta-large": (355_359_744, 355_412_057),
    "roberta-wwm-chinese": (102_267_648, 102_290_312),
    "roberta-wwm-large-chinese": (325_522_432, 325_545_608),
}


def write(folder: Path, text: str, name: str = "my.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_loads(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert sum(bool(getattr(recipe.training, unit)) for unit in BUDGETS) == 1
    assert recipe.model.hidden_size == (128 if name == "albert-xlarge" else 64) * recipe.model.heads


@pytest.mark.parametrize("name", shipped())
def test_what_a_run_records_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, {"seed": "7", "training.minutes": "2"})
    assert load_recipe(write(tmp_path, config.dump(recipe))) == recipe


def test_shipped_goes_from_small_to_large() -> None:
    names = shipped()
    assert sorted(names) == sorted([*CPU_SIZES, *LARGE_SIZES]) == sorted(path.stem for path in FOLDER.glob("*.toml"))
    assert names[0].endswith("-tiny")
    assert set(names[: len(CPU_SIZES)]) == set(CPU_SIZES)
    assert names[-1] == "albert-xxlarge"


def test_distilbert_keeps_the_released_values() -> None:
    recipe = load_recipe("distilbert")
    training, distillation = recipe.training, recipe.objectives.distillation
    assert (distillation.kl, distillation.mlm, distillation.cosine, distillation.temperature) == (5, 2, 1, 2)
    assert (training.learning_rate, training.beta1, training.beta2, training.epsilon) == (5e-4, 0.9, 0.98, 1e-6)
    assert (training.weight_decay, training.warmup, training.clip, training.epochs) == (0, 0.05, 5, 3)
    assert (recipe.masking.rarity, recipe.masking.copies, recipe.cut.name) == (0.7, 0, "full_sentences")
    assert load_recipe("distilbert-chinese").masking.unit == "word"


def test_base_and_large_keep_the_published_values() -> None:
    for name in ("bert-base", "bert-large"):
        recipe = load_recipe(name)
        training = recipe.training
        assert (training.steps, training.batch_size, training.learning_rate) == (1_000_000, 256, 1e-4)
        assert (training.warmup, training.schedule, training.optimizer) == (10_000, "linear", "bert_adam")
        assert (training.beta1, training.beta2, training.epsilon) == (0.9, 0.999, 1e-6)
        assert (training.weight_decay, training.clip, recipe.model.dropout) == (0.01, 1.0, 0.1)
        assert (recipe.long_phase.share, recipe.long_phase.length, recipe.long_phase.max_predictions) == (0.1, 512, 80)
        assert (recipe.cut.length, recipe.masking.max_predictions, recipe.masking.copies) == (128, 20, 10)
        assert recipe.objectives.use == ("masked_lm", "pair")


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_recipes_build_what_was_published(name: str) -> None:
    recipe = load_recipe(name)
    counted = count_parameters(recipe.model, needed_heads(recipe.objectives))
    assert (counted["encoder"], counted["total"]) == PUBLISHED_PARAMETERS[name]


def test_albert_is_trained_as_published() -> None:
    for name in ("albert-base", "albert-large", "albert-xlarge", "albert-xxlarge"):
        recipe = load_recipe(name)
        training = recipe.training
        assert (training.steps, training.batch_size, training.learning_rate) == (125_000, 4096, 0.00176)
        assert (training.warmup, training.optimizer, training.epsilon) == (3125, "lamb", 1e-6)
        assert (training.weight_decay, training.clip, recipe.model.dropout) == (0.01, 1.0, 0.0)
        assert (recipe.model.embedding_size, recipe.model.sharing, recipe.model.groups) == (128, "all", 1)
        assert (recipe.cut.name, recipe.cut.length, recipe.masking.unit) == ("sentence_order", 512, "ngram")
        assert (recipe.masking.ngram_max, recipe.masking.max_predictions) == (3, 20)


@pytest.mark.parametrize(("name", "rate", "warmup"), [("roberta-base", 6e-4, 24_000), ("roberta-large", 4e-4, 30_000)])
def test_roberta_is_trained_as_published(name: str, rate: float, warmup: int) -> None:
    recipe = load_recipe(name)
    training = recipe.training
    assert (training.learning_rate, training.warmup) == (rate, warmup)
    assert (training.steps, training.batch_size, training.optimizer) == (500_000, 8192, "adamw")
    assert (training.beta1, training.beta2, training.epsilon) == (0.9, 0.98, 1e-6)
    assert (training.weight_decay, training.decay_exclusions, training.clip) == (0.01, (), 0.0)
    assert (recipe.model.dropout, recipe.model.layer_norm_eps, recipe.model.token_types) == (0.1, 1e-5, 1)
    assert (recipe.cut.name, recipe.cut.length, recipe.objectives.use) == ("full_sentences", 512, ("masked_lm",))
    assert (recipe.masking.budget, recipe.masking.copies, recipe.masking.unit) == ("stochastic", 0, "token")
    assert (recipe.tokenizer.kind, recipe.tokenizer.lowercase) == ("byte_bpe", False)


def test_chinese_whole_words_are_trained_as_published() -> None:
    recipe = load_recipe("roberta-wwm-chinese")
    training = recipe.training
    assert (training.steps, training.batch_size, training.learning_rate) == (1_000_000, 384, 1e-4)
    assert (training.warmup, training.optimizer) == (10_000, "adamw")
    assert (recipe.cut.length, recipe.long_phase.share, recipe.objectives.use) == (512, 0.0, ("masked_lm",))
    assert (recipe.masking.unit, recipe.masking.treatment, recipe.masking.copies) == ("word", "token", 0)


def test_cpu_sizes_learn_in_short_runs() -> None:
    """The published schedule leaves a small model at its initial loss; see docs/results.md."""
    for name in CPU_SIZES:
        recipe = load_recipe(name)
        assert recipe.training.warmup < 1, "a share of the steps, however few there are"
        assert recipe.training.learning_rate >= 5e-4
        assert recipe.training.optimizer == "adamw"
        assert recipe.model.dropout == recipe.model.attention_dropout == 0
        assert recipe.tokenizer.size == "auto"
        assert recipe.long_phase.share == 0
        assert (recipe.training.batch_size, recipe.cut.length, recipe.training.micro_batch) == (16, 128, 0)
        assert (recipe.training.beta2, recipe.training.output_bias, recipe.training.clip) == (0.98, "unigram", 1.0)


@pytest.mark.parametrize("size", SIZES)
def test_cpu_sizes_of_all_families_are_trained_alike(size: str) -> None:
    bert = load_recipe(f"bert-{size}")
    for name in (f"albert-{size}", f"roberta-{size}", f"roberta-wwm-{size}-chinese"):
        recipe = load_recipe(name)
        kept = {"decay_exclusions": bert.training.decay_exclusions}
        assert replace(recipe.training, **kept) == bert.training
        for field in ("hidden_size", "layers", "heads", "dropout"):
            assert getattr(recipe.model, field) == getattr(bert.model, field)


@pytest.mark.parametrize("unit", BUDGETS)
def test_a_budget_above_replaces_the_one_below(unit: str, tmp_path: Path) -> None:
    recipe = load_recipe("bert-mini", {f"training.{unit}": "9"})
    assert recipe.training.budget == (unit, 9)
    path = write(tmp_path, f'extends = "bert-mini"\n[training]\n{unit} = 8\n')
    assert load_recipe(path).training.budget == (unit, 8)
    assert load_recipe(path, {"training.steps": "5"}).training.budget == ("steps", 5)


def test_two_budgets_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="training.steps and training.minutes are both set"):
        load_recipe("bert-mini", {"training.minutes": "1", "training.steps": "3"})
    path = write(tmp_path, 'extends = "bert-mini"\n[training]\nepochs = 1\ntokens = 8\n')
    with pytest.raises(UsageError, match="my.toml: .*training.epochs and training.tokens are both set"):
        load_recipe(path)


def test_a_recipe_without_a_budget_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no budget"):
        load_recipe(write(tmp_path, "[model]\nlayers = 1\n"))


def test_extends_goes_through_files_beside_it(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "bert-tiny"\ndescription = "ours"\n[model]\nlayers = 3\n', "house.toml")
    (tmp_path / "deep").mkdir()
    path = write(tmp_path / "deep", 'extends = "../house.toml"\n[masking]\nunit = "word"\n')
    recipe = load_recipe(path, {"masking.rate": "0.2"})
    assert (recipe.name, recipe.description) == ("my", "ours")
    assert (recipe.model.hidden_size, recipe.model.layers) == (128, 3)
    assert (recipe.masking.unit, recipe.masking.rate) == ("word", 0.2)


def test_extending_in_a_circle_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "b.toml"\n', "a.toml")
    write(tmp_path, 'extends = "a.toml"\n', "b.toml")
    with pytest.raises(UsageError, match="extends itself"):
        load_recipe(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nstpes = 3\n", "my.toml:3: training.stpes: unknown key; did you mean training.steps?"),
        ("[training]\n\nsteps = 5.5\n", "my.toml:4: training.steps: wants a whole number, not 5.5"),
        ("[trainng]\nsteps = 5\n", "my.toml:2: trainng: unknown key; did you mean training?"),
        ("model = 3\n", "my.toml:2: model: wants a table, not 3"),
        (
            '[objectives]\nuse = ["masked_ml"]\n',
            "my.toml:3: objectives.use: wants a list of masked_lm, pair, dist",
        ),
        ("[model]\nheads = 3\n", "model.heads = 3 does not divide model.hidden_size = 128"),
        ("[masking]\nmask_share = 0.9\n", "they must sum to 1"),
        ("[cut]\nlength = 513\n", "cut.length: 513 tokens, but the model has 512 positions"),
        ('[cut]\nname = "full_sentences"\n', "objectives.use: pair needs a cut that makes pairs"),
        ("[training]\nwarmup = 0.3\n", "training.warmup: 0.3 of the steps; at most 0.2 of them"),
        ("seed = -1\n", "my.toml:2: seed: must be greater than or equal to 0, not -1"),
        ("extends = 3\n", "my.toml"),
    ],
)
def test_a_mistake_names_file_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(write(tmp_path, text if text.startswith("extends") else f'extends = "bert-tiny"\n{text}'))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_in_a_flag_names_the_flag() -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("bert-mini", {"training.save-evry": "3", "model.layers": "x"})
    assert str(caught.value).splitlines() == [
        "--training.save-evry: unknown flag; did you mean --training.save-every?",
        '--model.layers: wants a whole number, not "x"',
    ]


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="bert-mni: no such recipe .*; did you mean bert-mini?"):
        load_recipe("bert-mni")
    with pytest.raises(UsageError, match="nothing.toml: no such recipe"):
        load_recipe("nothing.toml")


def test_a_run_folder_stands_for_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(config.dump(load_recipe("bert-small")))
    assert find_recipe(str(tmp_path)) == tmp_path / "recipe.toml"
    assert load_recipe(tmp_path) == load_recipe("bert-small")


def test_every_field_has_help() -> None:
    assert [key for key, _, _, meaning in config.fields(Recipe) if not meaning] == []


def test_recipes_hold_no_field_twice() -> None:
    """A recipe that repeats what it extends hides what is really different."""
    for path in FOLDER.glob("*.toml"):
        values = tomllib.loads(path.read_text())
        below = values.pop("extends", "")
        if below:
            base = config.flat_values(config.to_values(load_recipe(below)))
            repeated = {key for key, value in config.flat_values(values).items() if base.get(key) == value}
            assert repeated == set(), f"{path.name} repeats {below}"
