"""What cannot be studied is refused with a line of its own before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith import pipeline
from bertsmith.data.preparation import prepare_corpus
from bertsmith.errors import UsageError
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
from tests.studies.conftest import Trained
from tests.tiny_runs import make_corpus
from tests.tiny_studies import TINY, carry_out, write

STUDENT = 'name = "one"\nrecipe = "distilbert-tiny"'


def test_what_cannot_be_compared_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="arm one: is the same as arm two"):
        carry_out(
            write(tmp_path, TINY.replace("model.layers = 1", "training.save_every = 3")), corpus, tmp_path / "out"
        )
    other = make_corpus(tmp_path / "other", seed=5)
    own = TINY.replace('note = "一层"', 'corpus = "other"')
    with pytest.raises(UsageError, match="loss does not compare between tokenizers; use bits_per_character"):
        pipeline.study_run(write(tmp_path, own), [str(corpus), f"other={other}"], tmp_path / "out")
    with pytest.raises(UsageError, match="arm one: objectives.use has no masked_lm"):
        text = TINY.replace("model.layers = 1", 'objectives.use = ["pair"]')
        carry_out(write(tmp_path, text), corpus, tmp_path / "out")
    unpaired = TINY.replace("length = 64", 'length = 64, name = "full_sentences"')
    with pytest.raises(UsageError, match=r"pair needs a cut that makes pairs") as raised:
        carry_out(write(tmp_path, unpaired), corpus, tmp_path / "out")
    assert str(raised.value).count("\n") == 0, "both arms have the same mistake, said once"
    short = tmp_path / "short.txt"
    short.write_text("a b c", "utf-8")
    with pytest.raises(UsageError, match="has 5 characters; give at least"):
        carry_out(write(tmp_path), corpus, tmp_path / "out", valid=[str(short)])
    with pytest.raises(UsageError, match="sst-two"):
        carry_out(write(tmp_path), corpus, tmp_path / "out", tasks={"sst-two": tmp_path})
    assert not (tmp_path / "out").exists()


def test_a_corpus_that_no_arm_takes_is_refused(corpus: Path, tmp_path: Path) -> None:
    own = write(tmp_path, TINY.replace('note = "一层"', 'corpus = "other"'))
    with pytest.raises(UsageError, match=r"^--corpus othre=: no arm takes .*; those of depth-of-mine take other$"):
        pipeline.study_run(own, [f"othre={corpus}", f"other={corpus}"], tmp_path / "out")
    with pytest.raises(UsageError, match=r"^--corpus en=: no arm takes one of that name; give the folder alone$"):
        pipeline.study_run(write(tmp_path), [f"en={corpus}"], tmp_path / "out")


def test_the_text_of_judgement_must_be_held_out_everywhere(corpus: Path, tmp_path: Path) -> None:
    text, own = corpus.with_suffix(".txt"), TINY.replace('note = "一层"', 'corpus = "other"')
    tokenizer = corpus / "tokenizer"
    for name, share, seed in (("less", 0.05, 0), ("seed", 0.1, 1), ("more", 0.2, 0)):
        config = TextConfig(sentences="line", validation_share=share)
        prepare_corpus(
            [str(text)], tmp_path / name, TokenizerConfig(), config, seed=seed, tokenizer=tokenizer, workers=1
        )
    for name in ("less", "seed"):
        with pytest.raises(UsageError, match=f"{name}: may hold the text by which all are judged"):
            pipeline.study_run(write(tmp_path, own), [str(corpus), f"other={tmp_path / name}"], tmp_path / "out")
    given = [str(corpus), f"other={tmp_path / 'more'}"]
    assert pipeline.study_run(write(tmp_path, own), given, tmp_path / "out", seeds=1)["finished"] == 2


def test_a_rate_is_not_chosen_without_a_validation_part(corpus: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    config = TextConfig(sentences="line", validation_share=0.0)
    prepare_corpus([str(corpus.with_suffix(".txt"))], bare, TokenizerConfig(size=300), config, workers=1)
    tuned = write(tmp_path, TINY.replace('note = "一层"', "rates = [1e-9, 3e-3]"))
    with pytest.raises(UsageError, match=r"arm one: tries rates, and .*bare has no validation part"):
        carry_out(tuned, bare, tmp_path / "out", valid=[str(corpus.with_suffix(".txt"))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('name = "one"', 'name = "one"\nteacher = "two"'), "arm one: has a teacher and a recipe that distils nothing"),
        (('name = "one"', STUDENT), "arm one: objectives.use has distillation; give the arm a teacher"),
        (
            ('name = "one"\nset = { model.layers = 1 }', f'{STUDENT}\nteacher = "two"\nset = {{ model.layers = 3 }}'),
            "arm one: model.layers: the student has 3 and its teacher 2",
        ),
        (
            ("model.layers = 1", "training.batch_size = 10_000"),
            "arm one: the train part of the corpus has .*, fewer than one batch of 10000",
        ),
        (("model.layers = 1", "model.heads = 7"), r"depth-of-mine\.toml: arm one: model\.heads"),
        (("model.layers = 1", "cut.length = 100_000"), r"depth-of-mine\.toml: arm one: cut.length: 100000 tokens"),
        (('name = "one"', 'name = "one"\nrecipe = "nope"'), r"depth-of-mine\.toml: arms: one: recipe: nope: no such"),
    ],
)
def test_an_arm_that_cannot_be_trained_is_named_first(
    change: tuple[str, str], message: str, corpus: Path, tmp_path: Path, trained: Trained
) -> None:
    assert change[0] in TINY
    with pytest.raises(UsageError, match=message):
        carry_out(write(tmp_path, TINY.replace(*change)), corpus, tmp_path / "out")
    assert not trained and not (tmp_path / "out").exists()


def test_a_file_in_the_folders_place_is_named(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(UsageError, match="file: is a file, not a folder; choose another name"):
            carry_out(write(tmp_path), corpus, out)


def test_a_plan_is_of_the_student_that_will_be_trained(corpus: Path, tmp_path: Path) -> None:
    teacher = 'name = "two"\nset = { model.layers = 2, model.hidden_size = 64 }'
    text = TINY.replace("model = { hidden_size = 32, heads = 2 }\n", "")
    text = text.replace('name = "two"\nset = { model.layers = 2 }', teacher)
    study = write(tmp_path, text.replace('name = "one"', f'{STUDENT}\nteacher = "two"'))
    planned = {arm["name"]: arm["parameters"] for arm in pipeline.study_plan(study, [str(corpus)], seeds=1)["arms"]}
    found = carry_out(study, corpus, tmp_path / "out", seeds=1)
    assert planned == {arm["name"]: arm["scores"]["parameters"]["mean"] for arm in found["arms"]}
