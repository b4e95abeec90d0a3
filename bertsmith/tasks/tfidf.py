"""The linear baseline: TF-IDF features with logistic regression, ridge regression, or word overlap (scikit-learn).

English is read as words and pairs of words, Chinese as characters and runs of up to three.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex

from bertsmith.tasks.decoding import ranked
from bertsmith.tasks.examples import AnswerExample, ChoiceExample, TaggedExample, TextExample, texts_in
from bertsmith.tasks.forward import POOL
from bertsmith.tasks.predictions import Answered, Chosen, Classified, Compared, Prediction, Regressed, Tagged
from bertsmith.tasks.task import Task
from bertsmith.tasks.threshold import best_threshold, threshold_sample

ROUNDS = 30  # passes of the solver; more change the figures by less than their standard error
MANY = 1000  # examples from which on a word that occurs in one of them alone is left out
MOST_FEATURES = 100_000  # n-grams, the most frequent ones
_SENTENCE = regex.compile(r"[^.!?。！？\n]+[.!?。！？]*")


def guess(task: Task) -> Callable[[Sequence[Any], Sequence[Any]], list[Prediction]]:
    """The function that learns from some examples of the task and answers others."""
    text = _Text(task.language)
    return {
        "classification": text.classify,
        "regression": text.regress,
        "choice": text.choose,
        "tagging": text.tag,
        "answering": text.answer,
        "similarity": text.compare,
    }[task.type]


@dataclass(frozen=True)
class _Text:
    """language: "zh" is read by characters."""

    language: str

    def vectorizer(self, texts: Sequence[str]) -> Any:
        """TF-IDF over words, or characters where the language has no spaces, with the frequencies of these texts."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        analyzer, grams = ("char", (1, 3)) if self.language == "zh" else ("word", (1, 2))
        pattern = r"(?u)\b\w+\b|[^\w\s]"
        options: dict[str, Any] = {
            "analyzer": analyzer,
            "ngram_range": grams,
            "sublinear_tf": True,
            "max_features": MOST_FEATURES,
            "min_df": 2 if len(texts) > MANY else 1,
            "token_pattern": pattern if analyzer == "word" else None,
            "dtype": np.float32,
        }
        return TfidfVectorizer(**options).fit(texts)

    def classify(self, train: Sequence[TextExample], asked: Sequence[TextExample]) -> list[Prediction]:
        """Logistic regression over the features of the text, or of both texts and what they share."""
        known, wanted = self._features(train, asked)
        model = _logistic(known, [str(example.label) for example in train])
        shares = model.predict_proba(wanted)
        names = [str(name) for name in model.classes_]
        return [Classified(names[int(row.argmax())], dict(zip(names, map(float, row), strict=True))) for row in shares]

    def regress(self, train: Sequence[TextExample], asked: Sequence[TextExample]) -> list[Prediction]:
        """Ridge regression over the same features."""
        from sklearn.linear_model import Ridge

        known, wanted = self._features(train, asked)
        model = Ridge(alpha=1.0).fit(known, [float(example.label or 0.0) for example in train])
        return [Regressed(float(value)) for value in model.predict(wanted)]

    def _features(self, train: Sequence[TextExample], asked: Sequence[TextExample]) -> tuple[Any, Any]:
        texts = [example.first for example in train] + [example.second for example in train if example.second]
        vectorizer = self.vectorizer(texts)
        return self._of(vectorizer, train), self._of(vectorizer, asked)

    def _of(self, vectorizer: Any, examples: Sequence[TextExample]) -> Any:
        """Features of one text; of a pair those of both, their product, their difference, and their cosine."""
        from scipy.sparse import csr_matrix, hstack

        first = vectorizer.transform([example.first for example in examples])
        if not any(example.second is not None for example in examples):
            return first
        second = vectorizer.transform([example.second or "" for example in examples])
        shared = first.multiply(second)
        cosine = csr_matrix(shared.sum(axis=1))
        return hstack([first, second, shared, abs(first - second), cosine], format="csr")

    def choose(self, train: Sequence[ChoiceExample], asked: Sequence[ChoiceExample]) -> list[Prediction]:
        """The choice whose words are most like those of the context and the question; nothing is learnt but weights."""
        vectorizer = self.vectorizer(
            [text for example in train for text in (example.context, example.question, *example.choices)]
        )
        contexts = vectorizer.transform([f"{example.context} {example.question}" for example in asked])
        choices = vectorizer.transform([choice for example in asked for choice in example.choices])
        found: list[Prediction] = []
        start = 0
        for number, example in enumerate(asked):
            stop = start + len(example.choices)
            near = (choices[start:stop] @ contexts[number].T).toarray().ravel()
            found.append(Chosen(int(near.argmax()), tuple(map(float, _softmax(near)))))
            start = stop
        return found

    def compare(self, train: Sequence[TextExample], asked: Sequence[TextExample]) -> list[Prediction]:
        """The cosine of the features of both texts; nothing is learnt but weights and a threshold."""
        vectorizer = self.vectorizer([text for example in train for text in texts_in(example)])
        known = threshold_sample(train)
        return _cosines(vectorizer, asked, best_threshold(known, _cosines(vectorizer, known, 0.0)))

    def tag(self, train: Sequence[TaggedExample], asked: Sequence[TaggedExample]) -> list[Prediction]:
        """Logistic regression for each word, over the word, its ends and its neighbours."""
        from sklearn.feature_extraction import FeatureHasher

        options: dict[str, Any] = {"input_type": "string", "dtype": np.float32}
        hasher = FeatureHasher(2**18, **options)
        known = hasher.transform([features for example in train for features in _word_features(example.words)])
        model = _logistic(known, [tag for example in train for tag in example.tags or ()])
        wanted: Any = hasher.transform([features for example in asked for features in _word_features(example.words)])
        names = [str(name) for name in model.classes_]
        shares = model.predict_proba(wanted) if wanted.shape[0] else np.zeros((0, len(names)))
        found: list[Prediction] = []
        start = 0
        for example in asked:
            own = shares[start : start + len(example.words)]
            start += len(example.words)
            tags = tuple(names[i] for i in own.argmax(1)) if len(own) else ()
            found.append(Tagged(tags, tuple(map(float, own.max(1))) if len(own) else ()))
        return found

    def answer(self, train: Sequence[AnswerExample], asked: Sequence[AnswerExample]) -> list[Prediction]:
        """The sentence of the context that is most like the question; never no answer."""
        vectorizer = self.vectorizer([text for example in train for text in (example.context, example.question)])
        found: list[Prediction] = []
        for example in asked:
            spans = [match.span() for match in _SENTENCE.finditer(example.context)] or [(0, len(example.context))]
            sentences = vectorizer.transform([example.context[start:stop] for start, stop in spans])
            near = (sentences @ vectorizer.transform([example.question]).T).toarray().ravel()
            start, stop = _trimmed(example.context, *spans[int(near.argmax())])
            text = example.context[start:stop]
            found.append(Answered(text, start, stop, float(near.max()), -float(near.max()), text))
        return found


def _cosines(vectorizer: Any, pairs: Sequence[TextExample], threshold: float) -> list[Any]:
    vectors = vectorizer.transform([text for pair in pairs for text in texts_in(pair)])  # of length 1
    found: list[Compared] = []
    for start in range(0, len(pairs), POOL):
        own = vectors[2 * start : 2 * (start + POOL)]
        found += ranked((own[::2] @ own[1::2].T).toarray(), threshold)
    return found


def _trimmed(text: str, start: int, stop: int) -> tuple[int, int]:
    inner = text[start:stop]
    return start + len(inner) - len(inner.lstrip()), stop - len(inner) + len(inner.rstrip())


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def _logistic(features: Any, labels: Sequence[str]) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline is as good as its rounds
        return LogisticRegression(C=10.0, solver="saga", max_iter=ROUNDS, tol=1e-3, random_state=0).fit(
            features, labels
        )


def _word_features(words: Sequence[str]) -> list[list[str]]:
    """For each word the names of its features: itself, its first and last letters, its shape, its neighbours."""
    lowered = ["<s>", *(word.lower() for word in words), "</s>"]
    found = []
    for place, word in enumerate(words):
        before, own, after = lowered[place : place + 3]
        shape = regex.sub(r"\d", "0", regex.sub(r"\p{Ll}", "a", regex.sub(r"\p{Lu}", "A", word)))[:6]
        found.append(
            [
                *(f"w={own}", f"before={before}", f"after={after}", f"shape={shape}"),
                *(f"start={own[:3]}", f"end={own[-3:]}", f"pair={before} {own}", f"next={own} {after}"),
            ]
        )
    return found
