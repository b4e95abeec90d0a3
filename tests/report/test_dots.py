"""Dots: every value in its place, means between them, and a file that stands alone."""

from xml.etree import ElementTree

import pytest

from bertsmith.report.dots import Group, dot_plot
from bertsmith.report.html import picture

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*groups: Group) -> ElementTree.Element:
    return ElementTree.fromstring(picture(dot_plot(groups, "loss", "less is better", ("1.0", "3.0"))))


def test_values_lie_where_the_scale_says() -> None:
    root = drawn(Group("a", [1.0, 2.0], "1.5"), Group("b", [3.0], "3.0"))
    first, second, third = [float(circle.attrib["cx"]) for circle in root.findall(f"{SVG}circle")]
    assert second - first == pytest.approx(third - second, abs=0.2)
    _, mean, only = [float(line.attrib["x1"]) for line in root.findall(f"{SVG}line")]
    assert mean == pytest.approx((first + second) / 2, abs=0.2) and only == pytest.approx(third, abs=0.2)


def test_one_value_and_none_are_drawn_too() -> None:
    assert len(drawn(Group("a", [2.0], "2.0")).findall(f"{SVG}circle")) == 1
    assert not drawn(Group("a", [], "–")).findall(f"{SVG}circle")


def test_names_are_escaped_and_cut_by_columns() -> None:
    texts = [text.text or "" for text in drawn(Group("<b> & " + "词" * 30, [1.0], "1.0")).findall(f"{SVG}text")]
    name = next(text for text in texts if "词" in text)
    assert name.startswith("<b> & 词") and name.endswith("…") and len(name) < 20


def test_a_picture_brings_its_colours() -> None:
    page = picture(dot_plot([Group("a", [1.0], "1.0")], "loss", "", ("1", "1")))
    assert "--first:" in page and "prefers-color-scheme: dark" in page
