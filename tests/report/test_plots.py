"""Plots: well-formed, themed, and at home in a page."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bertsmith.report.plots import FIRST, SECOND, THEME, Level, Line, line_plot


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="x" ', 1))


@pytest.fixture(scope="module")
def svg() -> str:
    lines = [Line("training", [1, 2, 3], [6.0, 5.0, 4.5], FIRST), Line("验证", [1, 3], [6.1, 4.6], SECOND)]
    return line_plot(lines, [Level("unigram 5.2", 5.2)], y_label="loss (nats)")


def test_labels_are_text_in_any_script(svg: str) -> None:
    texts = [element.text for element in parsed(svg).iter("text")]
    assert {"training", "验证", "unigram 5.2", "step", "loss (nats)"} <= set(texts)


def test_colours_follow_the_page(svg: str) -> None:
    assert "var(--first)" in svg and "var(--second)" in svg and "var(--muted)" in svg
    assert not any(placeholder in svg for placeholder in THEME)
    assert "<style" not in svg and "font-family" not in svg  # the page's own style holds


def test_nothing_is_fetched_and_the_size_is_the_pages(svg: str) -> None:
    assert "http" not in svg
    assert "width" not in parsed(svg).attrib and "viewBox" in parsed(svg).attrib


def test_labels_at_the_right_end_do_not_overlap() -> None:
    lines = [Line(f"line {n}", [0, 1], [0.0, 1 + n / 1000], FIRST) for n in range(4)]
    heights = sorted(
        float(e.attrib["y"]) for e in parsed(line_plot(lines, y_label="y")).iter("text") if "line" in str(e.text)
    )
    assert min(b - a for a, b in zip(heights, heights[1:], strict=False)) > 8  # at a font size of 10


def test_the_same_curves_give_the_same_bytes(svg: str) -> None:
    lines = [Line("training", [1, 2, 3], [6.0, 5.0, 4.5], FIRST), Line("验证", [1, 3], [6.1, 4.6], SECOND)]
    assert line_plot(lines, [Level("unigram 5.2", 5.2)], y_label="loss (nats)") == svg


def test_a_single_point_is_drawn() -> None:
    assert "<use " in line_plot([Line("one", [5], [1.0], FIRST)], y_label="y")  # a marker
