"""The command line: every verb parses, then calls one function of pipeline.py. Heavy imports stay inside the verbs."""

from bertsmith.cli.running import main, run

__all__ = ["main", "run"]
