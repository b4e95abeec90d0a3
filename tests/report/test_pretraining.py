"""report.html: whole, honest, safe, and in one file."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.report.pretraining import write_report
from tests.report.finished import Finished, make_run

LARGEST = 5_000_000


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.links.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def html(finished: Finished) -> str:
    return write_report(*finished).read_text("utf-8")


def test_the_page_is_one_file_that_asks_for_nothing(html: str) -> None:
    page = Page(html)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not {"script", "iframe", "img", "object", "embed"} & set(page.tags)
    assert not re.search(r"url\((?!#)|@import", html)
    assert len(html.encode()) < LARGEST
    assert "prefers-color-scheme: dark" in html


def test_names_and_text_stay_text(html: str) -> None:
    page = Page(html)
    assert page.handlers == []
    assert "<script>alert(1)" in "".join(page.words)  # shown as what it is, the run's name


def test_the_result_stands_beside_guesses(html: str) -> None:
    text = " ".join("".join(Page(html).words).split())
    assert "validation loss is 4.50 nats per hidden token: 0.75 below a unigram guess (5.25)" in text
    assert "1.00 below a uniform one (5.50)" in text
    assert "a constant answer: " in text


def test_all_sections_are_there(html: str) -> None:
    page = Page(html)
    text = "".join(page.words)
    assert page.tags.count("figure") == 4  # loss, accuracy, pairs, speed
    for wanted in ("Curves", "Corpus and cost", "What the model saw", "Is the second part next?", "Recipe"):
        assert wanted in text
    assert text.count("Top five for") == 10
    assert len(re.findall(r"is next ✓|is next ✗|random ✓|random ✗", " ".join(text.split()))) == 10
    assert "25.0% of the time" in text and "512 MB" in text and "a processor" in text
    assert page.tags.count("ruby") > 10
    assert re.search(r"validation_share\s*0\.3", text)  # the corpus' own, which the run's recipe does not know


def test_a_model_without_pairs_has_no_pairs_in_its_report(tmp_path: Path, english: Path) -> None:
    html = write_report(make_run(tmp_path / "run", english, use=("masked_lm",)), english).read_text("utf-8")
    page = Page(html)
    assert "Is the second part next?" not in html and "constant answer" not in html
    assert page.tags.count("figure") == 3


def test_two_phases_are_told_where_they_show(finished: Finished) -> None:
    path = finished.run / "environment.json"
    assert "tokens a sequence" not in write_report(*finished).read_text("utf-8")
    record = json.loads(path.read_text("utf-8"))
    record["resolved"]["long_phase"] |= {"share": 0.25, "length": 48}
    path.write_text(json.dumps(record), "utf-8")
    length = record["resolved"]["cut"]["length"]
    steps = json.loads((finished.run / "result.json").read_bytes())["steps"]
    told = f"{length} tokens a sequence up to step {steps - round(steps / 4):,}, then 48"
    assert write_report(*finished).read_text("utf-8").count(told) == 3  # of loss, accuracy and pairs


def test_chinese_is_kept(tmp_path: Path, chinese: Path) -> None:
    html = write_report(make_run(tmp_path / "run", chinese, name="中文模型"), chinese).read_text("utf-8")
    assert "<h1>中文模型 on corpus</h1>" in html
    assert html.count("学") > 10 and 'charset="utf-8"' in html


def test_a_model_above_unigram_is_called_so(finished: Finished) -> None:
    lines = (finished.run / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    last["validation"]["masked_lm_loss"] = 5.5
    (finished.run / "metrics.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    assert "0.25 above a unigram guess" in write_report(*finished).read_text("utf-8")


def test_writing_again_gives_the_same_page(finished: Finished) -> None:
    first = write_report(*finished).read_bytes()
    assert write_report(*finished).read_bytes() == first


def test_an_unfinished_or_damaged_run_is_one_clear_line(tmp_path: Path, finished: Finished) -> None:
    with pytest.raises(UsageError, match="no finished run"):
        write_report(tmp_path / "empty", finished.corpus)
    (finished.run / "recipe.toml").write_text("= broken")
    with pytest.raises(BertsmithError, match="recipe.toml"):
        write_report(*finished)
