"""Pages in one file: styles and drawings inside, nothing loaded from elsewhere, every value escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """A page from `templates/`; the style sheet goes in as `style`. Values are escaped unless a template says safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = _theme() + (TEMPLATES / "style.css").read_text("utf-8")
    return environment.get_template(template).render(style=style, **values)


def picture(svg: str) -> str:
    """A drawing of a page as a file of its own, with the colours it needs, light and dark."""
    opened, rest = svg.split(">", 1)
    letters = 'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif"'
    return f"{opened} {letters}>\n<style>\n{_theme()}</style>{rest}\n"


def _theme() -> str:
    return (TEMPLATES / "theme.css").read_text("utf-8")
