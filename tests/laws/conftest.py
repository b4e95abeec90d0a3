"""The corpus that the laws of training share."""

from tests.tiny_runs import corpus

__all__ = ["corpus"]
