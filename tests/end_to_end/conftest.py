"""The corpus that training tests share."""

from tests.tiny_runs import corpus

__all__ = ["corpus"]
