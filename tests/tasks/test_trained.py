"""Loading a trained model: where it is found, how long its inputs may be, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertsmith import store
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.folder import save_model
from bertsmith.tasks.trained import load_trained, longest
from tests.stories import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def write(folder: Path, max_length: int = 24) -> Path:
    with store.writing(folder, "model", {}) as partial:
        save_model(tiny_model(TOKENIZER, positions=64), partial, pad_token_id=TOKENIZER.special.pad)
        TOKENIZER.save(partial, max_length)
    return folder


def test_a_run_stands_for_its_model(tmp_path: Path) -> None:
    model = write(tmp_path / "run" / "model")
    for path in (tmp_path / "run", model):
        trained = load_trained(path)
        assert trained.folder == model and trained.max_length == 24
        assert trained.model.trained_heads == ("masked_lm", "pair") and not trained.model.training
        assert trained.tokenizer.tokens == TOKENIZER.tokens


@pytest.mark.parametrize(
    ("stated", "wanted"), [(24, 24), (10**30, 64), (512, 64), ("many", 64), (None, 64), (24.0, 24)]
)
def test_the_longest_input_is_what_was_trained_and_has_positions(tmp_path: Path, stated: object, wanted: int) -> None:
    model = write(tmp_path / "model")
    (model / store.MANIFEST).unlink()
    file = model / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_bytes()), "model_max_length": stated}))
    assert load_trained(model).max_length == wanted


@pytest.mark.parametrize("stated", [2, 0, -1, 7.5])
def test_a_length_that_holds_no_text_is_one_clear_line(tmp_path: Path, stated: float) -> None:
    model = write(tmp_path / "model")
    (model / store.MANIFEST).unlink()
    file = model / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_bytes()), "model_max_length": stated}))
    with pytest.raises(BertsmithError, match=f"tokenizer_config.json: model_max_length is {stated}, but a text"):
        load_trained(model)
    with pytest.raises(BertsmithError, match="config.json: max_position_embeddings is 4, but"):
        longest(model, 4)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.txt", "tokenizer.json"])
def test_a_flipped_bit_is_found_before_the_model_is_used(tmp_path: Path, name: str) -> None:
    model = write(tmp_path / "model")
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    with pytest.raises(BertsmithError, match=f"{name}: damaged .its SHA-256"):
        load_trained(model)


def test_files_that_users_add_are_their_business(tmp_path: Path) -> None:
    model = write(tmp_path / "model")
    (model / "notes.txt").write_text("mine")
    assert load_trained(model).max_length == 24


def test_an_unfinished_run_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(UsageError, match="no finished model yet; type its line again, or give one of"):
        load_trained(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        load_trained(tmp_path / "nowhere")
    (tmp_path / "recipe.toml").unlink()
    with pytest.raises(UsageError, match="holds no model"):
        load_trained(tmp_path)


def test_a_tokenizer_beyond_the_embedding_is_refused(tmp_path: Path) -> None:
    model = write(tmp_path / "model")
    (model / store.MANIFEST).unlink()
    (model / "tokenizer.json").unlink()
    with open(model / "vocab.txt", "a", encoding="utf-8") as file:
        file.write("surplus\n")
    with pytest.raises(BertsmithError, match="the tokenizer has 9. tokens, the model 9. embeddings"):
        load_trained(model)
