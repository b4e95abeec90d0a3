"""Running a command line: signals, exit codes, and one line on stderr for every mistake."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from bertsmith import console, interrupt
from bertsmith.cli import asking, exporting, looking, making, predicting, studying, tuning
from bertsmith.cli.common import app, take_flags
from bertsmith.errors import BertsmithError

# Verbs whose loops ask interrupt.check() where their work is safe; in the others a signal just ends the process.
STOPPABLE = ("prepare", "pretrain", "finetune", "evaluate", "predict", "compare", "plan", "study", "demo")

VERBS = (
    making.prepare,
    making.pretrain,
    making.import_,
    exporting.export,
    making.demo,
    tuning.finetune,
    tuning.evaluate,
    predicting.predict,
    asking.compare,
    studying.study,
    looking.inspect,
    looking.plan,
    looking.recipes,
    looking.doctor,
)
for _verb in VERBS:
    app.command(_verb)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and end the process with its exit code: 0, 1, 2, 75 or 130 (see errors.py)."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. Every mistake is one line on stderr, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is escaped, which is valid JSON too
            stream.reconfigure(errors="backslashreplace")
    try:
        rest = take_flags(list(arguments))
        if rest and rest[0] in STOPPABLE:
            interrupt.install()
        app(rest or ["--help"], exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # whoever read the result has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except CycloptsError as error:
        return _fail(_one_line(error), 2)
    except BertsmithError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        from bertsmith.store import explain

        return _fail(str(explain(error)), 1)
    except Exception as error:
        if os.environ.get("BERTSMITH_TRACEBACK"):
            raise
        kind = type(error).__name__
        advice = "BERTSMITH_TRACEBACK=1 shows where"
        return _fail(f"unexpected {kind}: {' '.join(str(error).split())[:300]} ({advice})", 1)


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        console.error(line)
    return code


def _one_line(error: CycloptsError) -> str:
    text = " ".join(str(error).split())
    return text[:1].lower() + text[1:] if text else "wrong usage; see --help"
