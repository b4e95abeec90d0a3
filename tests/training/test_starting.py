"""Starting from trained weights: what is taken over, what is made anew, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.data.corpus import Corpus
from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.model import Model, build_model
from bertsmith.recipe import load_recipe
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from bertsmith.training.advice import advice_for_continuing, advice_for_step
from bertsmith.training.config import TrainingConfig
from bertsmith.training.initial import initial_model
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.starting import fields_of, load_starting_model
from bertsmith.training.validation import probe_batches
from tests.tiny_runs import tiny_plan

BOTH = ("masked_lm", "pair")


def plan_for(corpus: Corpus, **model: Any) -> PretrainingPlan:
    plan = tiny_plan()
    return replace(plan, model=replace(plan.model, vocab_size=corpus.vocab_size, **model).resolved())


def write(model: Model, tokenizer: Tokenizer, folder: Path) -> Path:
    folder.mkdir(parents=True)
    save_model(model, folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, 64)
    return folder


def trained(corpus: Corpus, seed: int = 5, heads: tuple[str, ...] = BOTH, **model: Any) -> Model:
    """A model whose head is better than chance by its bias alone: the tokens' log frequencies."""
    made = build_model(plan_for(corpus, **model).model, heads, seed)
    if "masked_lm" in heads:
        counts = torch.from_numpy(corpus.token_counts()).double() + 1
        with torch.no_grad():
            made.masked_lm_head()[0].bias[: corpus.vocab_size] = (counts / counts.sum()).log()
    return made


@pytest.fixture
def text(corpus: Path) -> Corpus:
    return Corpus.open(corpus)


@pytest.fixture
def folder(text: Corpus, tmp_path: Path) -> Path:
    return write(trained(text), text.tokenizer, tmp_path / "given")


def same(first: Model, second: Model, prefix: str) -> bool:
    others = dict(second.named_parameters())
    return all(torch.equal(p, others[n]) for n, p in first.named_parameters() if n.startswith(prefix))


def test_the_weights_of_the_folder_are_taken(text: Corpus, folder: Path) -> None:
    made = initial_model(plan_for(text), text, folder)()
    assert same(made, load_model(folder), "")
    assert not same(made, initial_model(plan_for(text), text, None)(), "encoder.layers.0.attention")


def test_a_missing_head_is_made_anew_and_said(text: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(trained(text, heads=("masked_lm",)), text.tokenizer, tmp_path / "given")
    made = initial_model(plan_for(text), text, folder)()
    assert "has no trained head pair: it starts from random weights" in capsys.readouterr().err
    assert same(made, load_model(folder), "heads.masked_lm")
    assert same(made, initial_model(plan_for(text), text, None)(), "heads.pair")


def test_a_random_head_counts_as_untrained(
    corpus: Path, text: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_for(text)
    folder = write(build_model(plan.model, BOTH, 5), text.tokenizer, tmp_path / "random")
    probe = probe_batches(plan, [Corpus.open(corpus, "validation"), text])
    made = initial_model(plan, text, folder, lambda: probe)()
    assert "no better than a guess from their frequency" in capsys.readouterr().err
    assert same(made, initial_model(plan, text, None)(), "heads.masked_lm")
    assert same(made, load_model(folder), "encoder.")
    assert same(made, load_model(folder), "heads.pair")


def test_a_trained_head_is_kept(corpus: Path, text: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Better than frequency: its bias says the very shares of the validation part."""
    validation = Corpus.open(corpus, "validation")
    model = trained(text, init_std=1e-6)
    counts = torch.from_numpy(validation.token_counts()).double() + 0.01
    with torch.no_grad():
        model.masked_lm_head()[0].bias.copy_((counts / counts.sum()).log())
    folder = write(model, text.tokenizer, tmp_path / "given")
    plan = plan_for(text)
    made = initial_model(plan, text, folder, lambda: probe_batches(plan, [validation, text]))()
    assert "untrained" not in capsys.readouterr().err
    assert same(made, load_model(folder), "heads.masked_lm")


def test_a_deeper_net_starts_from_the_layers_of_a_shallower_one(text: Corpus, folder: Path) -> None:
    made = initial_model(plan_for(text, layers=4), text, folder)()
    given = dict(load_model(folder).named_parameters())
    for name, parameter in made.named_parameters():
        source = name.replace("layers.2.", "layers.0.").replace("layers.3.", "layers.1.")
        assert torch.equal(parameter, given[source])
    with pytest.raises(UsageError, match=r"model\.layers: is 2 in .* and 1 in the recipe; .*\(--model\.layers 2\)"):
        initial_model(plan_for(text, layers=1), text, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 64}, r"model\.hidden_size: is 32 in .* and 64 in the recipe; .*\(--model\.hidden-size 32\)"),
        ({"token_types": 3}, r"model\.token_types: is 2 in .* and 3 in the recipe"),
    ],
)
def test_another_shape_is_named(text: Corpus, folder: Path, change: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        initial_model(plan_for(text, **change), text, folder)


def test_added_tokens_start_as_the_mean_of_their_pieces(text: Corpus, folder: Path) -> None:
    own = text.tokenizer
    words = ["abcabc", "zzz"]  # the second has characters that no piece has
    longer = WordPieceTokenizer([*own.tokens, *words], lowercase=own.lowercase)
    wanted = replace(plan_for(text).model, vocab_size=longer.vocab_size)
    model, given = load_starting_model(folder, wanted, longer), load_model(folder)
    rows, before = model.encoder.embeddings.words.weight, given.encoder.embeddings.words.weight
    assert torch.equal(rows[: own.vocab_size], before)
    pieces = own.encode_sentences(["abcabc"]).token_ids.tolist()
    assert len(pieces) > 1
    assert torch.equal(rows[own.vocab_size], before[pieces].mean(0))
    assert torch.equal(rows[own.vocab_size + 1], before[own.special.unk])
    bias, known = model.masked_lm_head()[0].bias, given.masked_lm_head()[0].bias
    assert float(bias[own.vocab_size]) == pytest.approx(float(known[pieces].mean()))
    assert bias.shape == (longer.vocab_size,)


def test_rows_without_a_token_are_left_out(text: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    padded = build_model(replace(plan_for(text).model, vocab_size=text.vocab_size + 20), BOTH, 5)
    folder = write(padded, text.tokenizer, tmp_path / "padded")
    model = load_starting_model(folder, plan_for(text).model, text.tokenizer)
    assert "20 rows of its embedding belong to no token" in capsys.readouterr().err
    assert torch.equal(model.encoder.embeddings.words.weight, padded.encoder.embeddings.words.weight[:-20])


def test_another_vocabulary_is_refused(text: Corpus, folder: Path) -> None:
    other = WordPieceTokenizer(text.tokenizer.tokens[:-1], lowercase=True)
    with pytest.raises(UsageError, match="its vocabulary is not the corpus's; prepare the corpus with --tokenizer"):
        load_starting_model(folder, plan_for(text).model, other)


def test_another_kind_of_tokenizer_is_named(text: Corpus, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a corpus of RoBERTa's tokenizer meets the weights of BERT."""
    monkeypatch.setattr(text.tokenizer, "kind", "byte_bpe", raising=False)
    with pytest.raises(UsageError, match="its tokenizer is wordpiece, the corpus's byte_bpe"):
        load_starting_model(folder, plan_for(text).model, text.tokenizer)


def test_a_recipe_takes_the_sizes_of_the_folder(folder: Path) -> None:
    fields = fields_of(folder, "bert")
    recipe = load_recipe("bert-tiny", {"cut.length": "64"}, fields)
    given = load_model(folder).config
    kept = {"dropout", "attention_dropout", "init_std", "vocab_size"}
    assert all(getattr(recipe.model.resolved(), name) == getattr(given, name) for name in fields if name not in kept)
    assert (recipe.model.dropout, recipe.model.layers) == (0.0, 2)
    assert load_recipe("bert-tiny", {"cut.length": "64", "model.layers": "6"}, fields).model.layers == 6
    with pytest.raises(UsageError, match=r"model\.family: is bert in .* and albert in the recipe"):
        fields_of(folder, "albert")


@pytest.mark.parametrize(
    ("width", "rate", "told"),
    [(768, 1e-4, "2e-05"), (768, 2e-5, ""), (128, 2e-3, "0.0004"), (128, 4e-4, ""), (512, 5e-4, "0.0001")],
)
def test_advice_for_going_on_from_trained_weights(width: int, rate: float, told: str) -> None:
    config = EncoderConfig(hidden_size=width, heads=2)
    line = advice_for_continuing(config, TrainingConfig(steps=1, learning_rate=rate))
    assert line.endswith(f"--training.learning-rate {told}") if told else line == ""


def test_advice_for_another_step() -> None:
    recipe = tiny_plan(batch_size=16, learning_rate=1e-3)

    def advice(length: int = recipe.cut.length, **training: float) -> str:
        chosen = tiny_plan(**{"batch_size": 16, "learning_rate": 1e-3, **training})
        return advice_for_step(recipe, replace(chosen, cut=replace(chosen.cut, length=length)))

    assert "128 times the recipe's tokens" in advice(batch_size=2048) and "1.1e-02" in advice(batch_size=2048)
    assert advice(batch_size=24) == "" and advice(batch_size=2048, learning_rate=2e-3) == ""
    assert "0.25 times" in advice(length=recipe.cut.length // 4)
    assert advice(length=recipe.cut.length // 4, batch_size=64) == ""  # shorter rows, as many more of them


def test_a_task_head_of_any_kind_is_left_behind(text: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A fine-tuned model is an encoder to start from, deeper too; so is one whose head is not known here."""
    plan = plan_for(text)
    made = build_model(plan.model, (), 5, task=TaskHead("sequence", ("no", "yes")))
    folder = write(made, text.tokenizer, tmp_path / "tuned")
    for change in ({}, {"architectures": ["BertWithAnotherHead"]}):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        for layers in (plan.model.layers, 2 * plan.model.layers):
            deeper = plan_for(text, layers=layers)
            started = initial_model(deeper, text, folder)()
            assert tuple(started.heads) == BOTH and started.task is None
            words = "encoder.embeddings.words.weight"
            assert torch.equal(started.get_parameter(words), made.get_parameter(words))
    said = capsys.readouterr().err
    assert "has no trained head masked_lm or pair" in said and "head not known here are left out (classifier" in said
