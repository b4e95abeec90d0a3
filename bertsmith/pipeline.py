"""The map of bertsmith: each verb as plain steps over the modules that do the work. Read this first.

Every function returns what `--json` prints. `flags` are fields of the recipe as typed on a command line
({"training.steps": "300"}); from Python the values may be numbers too. Heavy imports stay inside the functions.
Fine-tuning lives beside this file in finetuning.py, several tasks at once in suites.py, what is asked of a trained
model in predicting.py, of several side by side in comparing.py, what is written for other tools in exporting.py; all
are to be had from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith import config, console, looking
from bertsmith.comparing import compare as compare
from bertsmith.config import Flags
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.exporting import export as export
from bertsmith.finetuning import finetune as finetune
from bertsmith.predicting import answer as answer
from bertsmith.predicting import classify as classify
from bertsmith.predicting import embed as embed
from bertsmith.predicting import evaluate_task as evaluate_task
from bertsmith.predicting import fill_mask as fill_mask
from bertsmith.predicting import next_sentence as next_sentence
from bertsmith.predicting import predict_file as predict_file
from bertsmith.predicting import predict_rows as predict_rows
from bertsmith.predicting import similarity as similarity
from bertsmith.predicting import tag as tag
from bertsmith.pretraining import plan_of, recipe_for
from bertsmith.pretraining import pretrain as pretrain
from bertsmith.recipe import load_recipe
from bertsmith.studying import study_list as study_list
from bertsmith.studying import study_plan as study_plan
from bertsmith.studying import study_report as study_report
from bertsmith.studying import study_run as study_run
from bertsmith.studying import study_show as study_show
from bertsmith.suites import finetune_suite as finetune_suite
from bertsmith.tasks.config import evaluation_config

if TYPE_CHECKING:
    from bertsmith.serving.precision import Auto, Precision

Result = dict[str, Any]

MLM_FIGURES = ("loss", "accuracy", "word_loss", "word_accuracy", "bits_per_character")
"""Of `evaluate mlm`, those that a precision may change."""

DEMO_RECIPE = "bert-tiny"
DEMO_FLAGS: Flags = {"training.steps": 3000, "training.precision": "auto", "training.compile": "off"}
DEMO_MARGIN = 0.5  # nats below unigram that the demo must reach: less is no learning


# --- from text to a model ---------------------------------------------------------------------------------------


def prepare(
    recipe: str | Path,
    text: Sequence[str],
    out: Path,
    tokenizer: str | None = None,
    workers: int = 0,
    flags: Flags | None = None,
    segmenter: Callable[[str], list[str]] | None = None,
) -> Result:
    """Text files to a corpus folder: read, clean, split, train or take a tokenizer, tokenise, write.

    `tokenizer`: a vocab.txt, tokenizer.json or model folder. `workers`: processes, 0 = one per core, eight at most.
    `segmenter`: finds the words of Chinese text, in place of text.segmenter; its words must concatenate to the text.
    """
    from bertsmith.data.preparation import prepare_corpus

    chosen = load_recipe(recipe, flags)
    summary = prepare_corpus(
        text,
        Path(out),
        chosen.tokenizer,
        chosen.text,
        seed=chosen.seed,
        workers=workers,
        tokenizer=Path(tokenizer) if tokenizer else None,
        recipe_text=config.dump(chosen),
        segment=segmenter,
    )
    return asdict(summary)


def import_model(folder: Path, out: Path) -> Result:
    """A published model to a model folder with safetensors: pytorch_model.bin is read, nothing in it is run.

    Weights and tokenizer are written anew, under today's names, in fp32.
    """
    from bertsmith.tasks.publishing import import_published

    return import_published(folder, out)


def plan(
    recipes: Sequence[str | Path],
    corpus: Path | None = None,
    flags: Flags | None = None,
    teacher: str | Path | None = None,
) -> Result:
    """{recipes: [...]}: parameters, memory, operations and time of each recipe on this machine, before it starts.

    `corpus`: whose vocabulary and lengths to plan with; without one sequences are as long as the cut allows.
    `teacher`: a model folder, a run or a checkpoint, which those recipes that distil are planned with.
    """
    if not recipes:
        raise UsageError("plan wants at least one recipe")
    from bertsmith.report.planning import plan_run
    from bertsmith.tasks.trained import model_folder
    from bertsmith.training.student import teacher_config

    folder = model_folder(Path(teacher)) if teacher else None
    chosen = [recipe_for(recipe, flags, teacher=folder) for recipe in recipes]
    taught = [one.name for one in chosen if one.objectives.distils]
    if folder and not taught:
        raise UsageError(f"--teacher: nothing distils of {', '.join(one.name for one in chosen)}; name a distil recipe")
    if taught and not folder:
        console.warn(f"{', '.join(taught)}: what a teacher costs is not counted; name one with --teacher")
    asked = teacher_config(folder) if folder else None
    plans = [plan_of(one) for one in chosen]
    return {"recipes": [plan_run(one, corpus, asked if one.objectives.distils else None) for one in plans]}


# --- asking a model ---------------------------------------------------------------------------------------------


def evaluate_mlm(
    model: str | Path,
    data: Sequence[str],
    seed: int = 0,
    flags: Flags | None = None,
    precision: Precision | Auto = "fp32",
) -> Result:
    """Loss, accuracy and bits per character of a model over hidden words of a text it has not seen.

    In another precision the figures in fp32 stand beside: `precision` and `fp32`.
    """
    from bertsmith.serving.precision_loss import judged_in
    from bertsmith.tasks.masked_lm import evaluate_masked_lm
    from bertsmith.tasks.texts import documents
    from bertsmith.tasks.trained import Trained, load_trained

    text = replace(evaluation_config(flags).text, sentences="line")  # split lines would only be joined again

    def judge(trained: Trained) -> Result:
        return evaluate_masked_lm(trained.model, trained.tokenizer, documents(data, text), seed, trained.max_length)

    taken, found, exact = judged_in(load_trained(model), precision, judge)
    if exact is None:
        return found
    return {**found, "precision": taken, "fp32": {name: exact[name] for name in MLM_FIGURES}}


def evaluate_pairs(model: str | Path, data: Sequence[str], seed: int = 0, flags: Flags | None = None) -> Result:
    """Accuracy and loss of a model that tells true pairs of segments from false ones."""
    from bertsmith.tasks.pairs import evaluate_pairs as judge
    from bertsmith.tasks.texts import documents
    from bertsmith.tasks.trained import load_trained

    chosen = evaluation_config(flags)
    trained = load_trained(model)
    sentences = documents(data, chosen.text)
    return judge(trained.model, trained.tokenizer, sentences, chosen.cut, seed, trained.max_length)


def evaluate_minimal_pairs(model: str | Path, data: Sequence[str], seed: int = 0, limit: int = 0) -> Result:
    """In how many pairs of sentences a model finds the grammatical one more probable, by phenomenon.

    `limit`: at most so many pairs of each file, drawn by the seed; 0 = all.
    """
    from bertsmith.tasks.minimal_pairs import evaluate_minimal_pairs as score
    from bertsmith.tasks.pair_files import read_pairs
    from bertsmith.tasks.texts import tell
    from bertsmith.tasks.trained import load_trained
    from bertsmith.text.skipped import Skipped

    skipped = Skipped()
    pairs = read_pairs(data, skipped, limit, seed)
    trained = load_trained(model)
    result = score(trained.model, trained.tokenizer, pairs, trained.max_length, skipped)
    tell(skipped)
    return result


# --- looking ----------------------------------------------------------------------------------------------------


def inspect(subject: str, recipe: str = "", flags: Flags | None = None) -> Result:
    """Counts and masks of a corpus, or parameters by part of a model, a run or a recipe.

    `recipe` (of a corpus): whose cut and masking to draw; the one it was prepared with when "".
    """
    return looking.inspect(subject, recipe, flags)


def list_recipes() -> list[Result]:
    """The shipped recipes, smallest first: name, description, sizes, budget."""
    return looking.list_recipes()


def show_recipe(name: str, flags: Flags | None = None) -> Result:
    """Every field of a recipe: its value, type and meaning, and the recipe as TOML."""
    return looking.show_recipe(name, flags)


# --- the whole way ----------------------------------------------------------------------------------------------


def demo(out: Path, seed: int = 0) -> Result:
    """Gather the documentation that every Python carries, prepare it, pretrain, evaluate, predict, report.

    Raises BertsmithError when the model does not end clearly below the best guess from word frequencies.
    """
    from bertsmith import demo as documentation

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    flags = {**DEMO_FLAGS, "seed": seed}
    console.say("1 of 4: the text: documentation of this Python")
    gathered = documentation.gather(out)
    console.say("2 of 4: text to a corpus")
    corpus = prepare(DEMO_RECIPE, [str(gathered.text)], out / "corpus", flags=flags)
    console.say("3 of 4: corpus to a model")
    run = pretrain(DEMO_RECIPE, out / "corpus", out / "run", flags=flags)
    console.say("4 of 4: what the model knows of documents it has not seen")
    mlm = evaluate_mlm(out / "run", [str(gathered.held_out)], seed)
    pairs = evaluate_pairs(out / "run", [str(gathered.held_out)], seed)
    margin = mlm["unigram_loss"] - mlm["loss"]
    if margin < DEMO_MARGIN:
        raise BertsmithError(
            f"the demo's model is only {margin:.2f} nats below the unigram guess ({mlm['loss']:.2f} against "
            f"{mlm['unigram_loss']:.2f}); {DEMO_MARGIN} are expected: is the machine very slow or busy?"
        )
    asked = documentation.questions(gathered, seed)
    return {
        "corpus": corpus,
        "run": run,
        "mlm": mlm,
        "pairs": pairs,
        "questions": asked._asdict(),
        "fillings": fill_mask(out / "run", [hidden.text for hidden in asked.hidden]),
        "judgements": next_sentence(out / "run", [(pair.first, pair.second) for pair in asked.pairs]),
        "report": str(out / "run" / "report.html"),
    }
