"""What could not be used of the input, counted by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from bertsmith.errors import BertsmithError

EXAMPLES = 3


@dataclass
class Skipped:
    """Counts by reason, with the first places of each as "file:line"."""

    fail: bool = False  # raise at the first thing that would be skipped
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, place: str) -> None:
        """Count something that is left out; BertsmithError instead when `fail` is set."""
        if self.fail:
            raise BertsmithError(f'{place}: {reason} (text.on_bad = "skip" counts such text and goes on)')
        self.note(reason, place)

    def note(self, reason: str, place: str) -> None:
        """Count something that was changed but not left out, such as a line that was cut in two."""
        self.counts[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES and place not in examples:
            examples.append(place)
