"""The explicit table of tasks. A new one is one entry here, and a reader where its files have a form of their own."""

from __future__ import annotations

from collections.abc import Iterable

from bertsmith.config.types import did_you_mean
from bertsmith.errors import UsageError
from bertsmith.tasks.readers import choices, clue, columns, glue, spans, squad
from bertsmith.tasks.task import Task

TSV = {"train": ("train.tsv",), "validation": ("dev.tsv",), "test": ("test.tsv",)}
JSON = {
    "train": ("train.json", "train_few_all.json", "train_0.json"),
    "validation": ("dev.json", "dev_few_all.json", "dev_0.json"),
    "test": ("test.json", "test_public.json"),
}
MATCHED = {
    "train": ("train.tsv",),
    "validation": ("dev_matched.tsv",),
    "validation-mismatched": ("dev_mismatched.tsv",),
    "test": ("test_matched.tsv",),
    "test-mismatched": ("test_mismatched.tsv",),
}
DIALOGUES = {
    "train": ("train.json", "[dm]-train.json"),
    "validation": ("dev.json", "[dm]-dev.json"),
    "test": ("test.json", "[dm]-test.json"),
}
RACE = {
    "train": ("train/*/*.txt", "train/*.txt", "train*.jsonl"),
    "validation": ("dev/*/*.txt", "dev/*.txt", "dev*.jsonl"),
    "test": ("test/*/*.txt", "test/*.txt", "test*.jsonl"),
}
OCNLI = {
    "train": ("train.json", "train.50k.json", "train.30k.json", "train.10k.json", "train.3k.json", "train.1k.json"),
    "validation": ("dev.json",),
    "test": ("test.json",),
}
SNLI = {
    "train": ("snli_1.0_train.jsonl", "snli_1.0_train.txt", "train.jsonl", "train.txt"),
    "validation": ("snli_1.0_dev.jsonl", "snli_1.0_dev.txt", "dev.jsonl", "dev.txt"),
    "test": ("snli_1.0_test.jsonl", "snli_1.0_test.txt", "test.jsonl", "test.txt"),
}
TAGGED_ENDINGS = (".tsv", ".conll", ".txt", ".bio", ".bioes", ".iob", ".jsonl", ".json")


def _squad(version: str) -> dict[str, tuple[str, ...]]:
    return {"train": (f"train-v{version}.json", "train.json"), "validation": (f"dev-v{version}.json", "dev.json")}


def _tagged(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{ending}" for name in names for ending in TAGGED_ENDINGS)


def _tags(kinds: Iterable[str]) -> tuple[str, ...]:
    return (columns.OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI"))


CMRC2018 = {
    "train": ("cmrc2018_train.json", "train.json", "cmrc2018_trial.json", "trial.json"),
    "validation": ("cmrc2018_dev.json", "dev.json"),
}
NER = {
    "train": (*_tagged("train"), "eng.train"),
    "validation": (*_tagged("dev", "devel", "valid", "validation"), "eng.testa"),
    "test": (*_tagged("test"), "eng.testb"),
}
TNEWS_LABELS = tuple(str(number) for number in range(100, 117) if number not in (105, 111))
IFLYTEK_LABELS = tuple(str(number) for number in range(119))
CLUENER_KINDS = "address book company game government movie name organization position scene".split()
ENTITIES = ("f1", "precision", "recall")
ANSWERS = ("f1", "exact")

_GLUE = (
    Task("cola", "classification", "CoLA: is a sentence grammatical? (1 = yes)",
         glue.read_cola, ("matthews", "accuracy"), TSV, glue.BINARY, folders=("CoLA",)),
    Task("sst2", "classification", "SST-2: is a phrase of a film review positive? (1 = yes)",
         glue.read_sst2, ("accuracy",), TSV, glue.BINARY, folders=("SST-2",)),
    Task("mrpc", "classification", "MRPC: do two sentences say the same? (1 = yes)",
         glue.read_mrpc, ("f1", "accuracy"), TSV, glue.BINARY, folders=("MRPC",)),
    Task("stsb", "regression", "STS-B: how alike are two sentences, from 0 to 5?",
         glue.read_stsb, ("pearson", "spearman"), TSV, folders=("STS-B",)),
    Task("qqp", "classification", "QQP: do two questions ask the same? (1 = yes)",
         glue.read_qqp, ("f1", "accuracy"), TSV, glue.BINARY, folders=("QQP",)),
    Task("mnli", "classification", "MNLI: does the first sentence entail the second?",
         glue.read_mnli, ("accuracy",), MATCHED, glue.INFERENCE, folders=("MNLI",)),
    Task("qnli", "classification", "QNLI: does a sentence answer a question?",
         glue.read_qnli, ("accuracy",), TSV, glue.ENTAILMENT, folders=("QNLI",)),
    Task("rte", "classification", "RTE: does the first text entail the second?",
         glue.read_rte, ("accuracy",), TSV, glue.ENTAILMENT, folders=("RTE",)),
    Task("wnli", "classification", "WNLI: does a sentence with its pronoun replaced follow? (1 = yes)",
         glue.read_wnli, ("accuracy",), TSV, glue.BINARY, folders=("WNLI",)),
    Task("ax", "classification", "AX: GLUE's diagnostic pairs, for a model of MNLI",
         glue.read_ax, ("matthews", "accuracy"),
         {"validation": ("diagnostic-full.tsv",), "test": ("diagnostic.tsv", "AX.tsv")}, glue.INFERENCE,
         folders=("AX", "diagnostic")),
)  # fmt: skip

_ENGLISH = (
    Task("snli", "classification", "SNLI: does the first sentence entail the second?",
         glue.read_snli, ("accuracy",), SNLI, glue.INFERENCE, folders=("snli_1.0", "snli", "snli_small")),
    Task("qqp_small", "classification", "Pairs of questions in three columns: do they ask the same? (1 = yes)",
         glue.read_question_pairs, ("f1", "accuracy"),
         {"train": ("train.txt", "train.tsv"), "validation": ("dev.txt", "dev.tsv"), "test": ("test.txt", "test.tsv")},
         glue.BINARY, folders=("qqp_small",)),
    Task("squad1", "answering", "SQuAD 1.1: the answer to a question, in a paragraph",
         squad.read_squad1, ANSWERS, _squad("1.1"), folders=("squad1", "squad")),
    Task("squad2", "answering", "SQuAD 2.0: the answer to a question, in a paragraph that may hold none",
         squad.read_squad2, (*ANSWERS, "best_f1", "best_exact"), _squad("2.0"), no_answer=True, folders=("squad2",)),
    Task("race", "choice", "RACE: a question on a passage of an English exam, four choices",
         choices.read_race, ("accuracy",), RACE, folders=("RACE",)),
    Task("dream", "choice", "DREAM: a question on a dialogue of an English exam, three choices",
         choices.read_dialogues, ("accuracy",), DIALOGUES, folders=("dream",)),
    Task("ner", "tagging", "Named entities: CoNLL columns (BIO, BIOES, IOB1), or JSON lines with spans",
         spans.read_tagged, ENTITIES, NER),
)  # fmt: skip

_CHINESE = tuple(
    Task(name, "classification", description, read, ("accuracy",), files, labels, "zh", folders=folders)
    for name, description, read, files, labels, folders in (
        ("afqmc", "AFQMC: do two questions to a bank ask the same? (1 = yes)",
         clue.records("sentence1", "sentence2", glue.BINARY), JSON, glue.BINARY, ("afqmc", "afqmc_public")),
        ("tnews", "TNEWS: the subject of a news headline, 15 classes",
         clue.records("sentence", None, TNEWS_LABELS), JSON, TNEWS_LABELS, ("tnews", "tnews_public")),
        ("iflytek", "IFLYTEK: what an app is for, by its description, 119 classes",
         clue.records("sentence", None, IFLYTEK_LABELS), JSON, IFLYTEK_LABELS, ("iflytek", "iflytek_public")),
        ("ocnli", "OCNLI: does the first sentence entail the second?",
         clue.records("sentence1", "sentence2", glue.INFERENCE), OCNLI, glue.INFERENCE, ("ocnli", "ocnli_public")),
        ("cmnli", "CMNLI: does the first sentence entail the second?",
         clue.records("sentence1", "sentence2", glue.INFERENCE), JSON, glue.INFERENCE, ("cmnli", "cmnli_public")),
        ("cluewsc", "CLUEWSC2020: does the pronoun mean that noun?",
         clue.read_cluewsc, JSON, clue.TRUTH, ("cluewsc", "cluewsc2020", "cluewsc2020_public")),
        ("csl", "CSL: are all keywords those of the abstract? (1 = yes)",
         clue.read_csl, JSON, glue.BINARY, ("csl", "csl_public")),
        ("eprstmt", "EPRSTMT: is a review of a product positive?",
         clue.records("sentence", None, clue.SENTIMENT), JSON, clue.SENTIMENT, ("eprstmt",)),
        ("chnsenticorp", "ChnSentiCorp: is a review positive? (1 = yes)",
         glue.read_chnsenticorp, TSV, glue.BINARY, ("chnsenticorp", "ChnSentiCorp")),
    )
) + (
    Task("c3", "choice", "C3: a question on a Chinese text, two to four choices",
         choices.read_dialogues, ("accuracy",), DIALOGUES, language="zh", folders=("c3", "c3_public")),
    Task("cluener", "tagging", "CLUENER: named entities of ten kinds, by character",
         spans.read_spans, ENTITIES, JSON, _tags(CLUENER_KINDS), "zh", folders=("cluener", "cluener_public")),
    Task("cmrc2018", "answering", "CMRC2018: the answer to a question, in a Chinese paragraph",
         squad.read_cmrc, ANSWERS, CMRC2018, language="zh", by_character=True, folders=("cmrc2018", "cmrc2018_public")),
    Task("drcd", "answering", "DRCD: the answer to a question, in a paragraph of traditional Chinese",
         squad.read_squad1, ANSWERS, {"train": ("DRCD_training.json", "train.json"),
                                      "validation": ("DRCD_dev.json", "dev.json"),
                                      "test": ("DRCD_test.json", "test.json")},
         language="zh", by_character=True, folders=("drcd", "DRCD")),
)  # fmt: skip

TASKS: dict[str, Task] = {task.name: task for task in (*_GLUE, *_ENGLISH, *_CHINESE)}


def find_task(name: str) -> Task:
    """The task of that name. UsageError with the nearest one when there is none."""
    if name not in TASKS:
        raise UsageError(f"{name}: there is no such task{did_you_mean(name, TASKS)} (there are: {', '.join(TASKS)})")
    return TASKS[name]
