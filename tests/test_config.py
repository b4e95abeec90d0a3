"""Strict reading: nothing wrong gets through, everything wrong is named."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from bertsmith import config
from bertsmith.errors import UsageError


@dataclass(frozen=True)
class Oven:
    degrees: Annotated[int, Field(ge=0, le=300)] = field(default=180, metadata={"help": "heat"})
    minutes: float = 1.5
    mode: Literal["air", "grill"] = "air"
    size: int | Literal["auto"] = "auto"
    use: tuple[str, ...] = ("top", "bottom")
    light: bool = False
    label: str = "oven"


@dataclass(frozen=True)
class Kitchen:
    name: str
    oven: Oven = Oven()


def mistakes(values: dict[str, object]) -> list[str]:
    with pytest.raises(UsageError) as caught:
        config.build(Kitchen, values, "my.toml")
    return str(caught.value).splitlines()


def test_builds_typed_values() -> None:
    kitchen = config.build(Kitchen, {"name": "x", "oven": {"minutes": 2, "use": ["top"], "size": 5}}, "")
    assert kitchen == Kitchen("x", Oven(minutes=2.0, use=("top",), size=5))
    assert isinstance(kitchen.oven.minutes, float)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("degrees", 5.5, "wants a whole number, not 5.5"),
        ("degrees", 5.0, "wants a whole number, not 5.0"),
        ("degrees", "180", 'wants a whole number, not "180"'),
        ("degrees", True, "wants a whole number, not true"),
        ("degrees", -1, "must be greater than or equal to 0, not -1"),
        ("degrees", 301, "must be less than or equal to 300, not 301"),
        ("minutes", "1", 'wants a number, not "1"'),
        ("minutes", True, "wants a number, not true"),
        ("minutes", float("nan"), "must be a finite number, not NaN"),
        ("minutes", float("inf"), "must be a finite number, not Infinity"),
        ("mode", "gril", 'wants one of air, grill, not "gril"; did you mean grill?'),
        ("size", "aut", 'wants a whole number or "auto", not "aut"; did you mean auto?'),
        ("use", "top", 'wants a list of names, not "top"'),
        ("use", ["top", 3], 'wants a list of names, not ["top", 3]'),
        ("light", 1, "wants true or false, not 1"),
        ("label", 3, "wants text, not 3"),
        ("degres", 3, "unknown key; did you mean oven.degrees?"),
    ],
)
def test_one_line_for_a_mistake(key: str, value: object, message: str) -> None:
    assert mistakes({"name": "x", "oven": {key: value}}) == [f"my.toml: oven.{key}: {message}"]


def test_all_mistakes_at_once() -> None:
    found = mistakes({"degrees": 3, "oven": {"mode": 1, "light": "yes", "zzz": 1}})
    assert [line.split(": ")[1] for line in found] == ["degrees", "name", "oven.zzz", "oven.mode", "oven.light"]
    assert found[0].endswith("unknown key; did you mean oven.degrees?")
    assert found[2].endswith("unknown key")


@pytest.mark.parametrize("value", [3, "x", [1], True])
def test_a_table_must_be_a_table(value: object) -> None:
    assert mistakes({"name": "x", "oven": value})[0].startswith("my.toml: oven: wants a table, not ")


def test_merge_replaces_lists_and_merges_tables() -> None:
    base = {"a": 1, "t": {"x": [1, 2], "y": 2}}
    assert config.merge(base, {"t": {"x": [3]}}) == {"a": 1, "t": {"x": [3], "y": 2}}
    assert base == {"a": 1, "t": {"x": [1, 2], "y": 2}}
    assert config.merge(base, {"t": 5}) == {"a": 1, "t": 5}


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("200", "degrees", 200),
        ("1_0", "degrees", 10),
        ("2e-3", "minutes", 0.002),
        ("2", "minutes", 2.0),
        ("grill", "mode", "grill"),
        ("auto", "size", "auto"),
        ("7", "size", 7),
        ("top", "use", ("top",)),
        ("top,bottom", "use", ("top", "bottom")),
        ('["top"]', "use", ("top",)),
        ("[]", "use", ()),
        ("true", "light", True),
        ("12", "label", "12"),
        ("true", "label", "true"),
        ("a = 1 # not TOML", "label", "a = 1 # not TOML"),
        ("", "label", ""),
        ("今天", "label", "今天"),
    ],
)
def test_flags_take_their_type_from_the_config(text: str, key: str, value: object) -> None:
    assert config.parse_overrides(Kitchen, {f"oven.{key}": text}) == {"oven": {key: value}}


@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [
        ("oven.degrees", "5.5", "wants a whole number, not 5.5"),
        ("oven.degrees", "", 'wants a whole number, not ""'),
        ("oven.degrees", "-3", "must be greater than or equal to 0, not -3"),
        ("oven.minutes", "1,5", 'wants a number, not "1,5"'),
        ("oven.minutes", "nan", "must be a finite number, not NaN"),
        ("oven.light", "yes", 'wants true or false, not "yes"'),
        ("oven.mode", "boil", 'wants one of air, grill, not "boil"'),
        ("oven.degres", "3", "unknown flag; did you mean --oven.degrees?"),
        ("ovn.mode", "air", "unknown flag; did you mean --oven.mode?"),
        ("oven", "3", "unknown flag"),
        ("zzz.q", "3", "unknown flag"),
    ],
)
def test_a_wrong_flag_is_one_line(flag: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        config.parse_overrides(Kitchen, {flag: text})
    assert str(caught.value) == f"--{flag}: {message}"


def test_flags_are_written_with_dashes() -> None:
    @dataclass(frozen=True)
    class Pot:
        save_every: int = 1

    assert config.parse_overrides(Pot, {"save-every": "10"}) == {"save_every": 10}
    assert config.parse_overrides(Pot, {"save_every": "10"}) == {"save_every": 10}
    with pytest.raises(UsageError, match="did you mean --save-every"):
        config.parse_overrides(Pot, {"save-evry": "10"})


texts = st.text(st.characters(codec="utf-8"))


@given(
    name=texts,
    degrees=st.integers(0, 300),
    minutes=st.floats(allow_nan=False, allow_infinity=False),
    use=st.lists(texts).map(tuple),
    light=st.booleans(),
)
def test_dump_is_read_back_the_same(name: str, degrees: int, minutes: float, use: tuple[str, ...], light: bool) -> None:
    kitchen = Kitchen(name, Oven(degrees=degrees, minutes=minutes, use=use, light=light))
    again = config.build(Kitchen, tomllib.loads(config.dump(kitchen)), "")
    assert again == kitchen
    assert config.differences(kitchen, again) == []


def test_differences_are_dotted_keys() -> None:
    assert config.differences(Kitchen("a"), Kitchen("b", Oven(use=("top",)))) == ["name", "oven.use"]
    assert config.differences({"a": {"b": 1}}, {"a": {"c": 1}}) == ["a.b", "a.c"]
    assert config.differences({"a": 1}, {"a": True}) == ["a"]


def test_fields_say_type_default_and_help() -> None:
    rows = {key: rest for key, *rest in config.fields(Kitchen)}
    assert rows["oven.degrees"] == ["a whole number", 180, "heat"]
    assert rows["oven.mode"] == ["one of air, grill", "air", ""]
    assert rows["name"] == ["text", None, ""]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a = 1\nb = \n", r"my.toml: invalid value \(at line 2, column 5\)"),
        (b"a = 1\na = 2\n", "my.toml: cannot overwrite a value"),
        (b"\xff\xfe", "my.toml: is not UTF-8 text"),
    ],
)
def test_a_file_that_is_not_toml_is_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "my.toml").write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught:
        config.read(tmp_path / "my.toml")
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        config.read(tmp_path / "none.toml")


def test_line_of_finds_keys_in_their_table(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('name = "x"\n# [oven]\n\n[oven] # hot\n  degrees = 3\n"mode" = "air"\n')
    assert config.line_of(path, "name") == 1
    assert config.line_of(path, "oven") == 4
    assert config.line_of(path, "oven.degrees") == 5
    assert config.line_of(path, "oven.mode") == 6
    assert config.line_of(path, "degrees") == 0
