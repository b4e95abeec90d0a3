# Two commands on a fresh machine: `make demo` (the whole way on text every Python has) and `make test`.
PYTHON ?= python3
.DEFAULT_GOAL := .venv
.PHONY: demo test test-slow check clean

# A failed or stopped install must not look finished, so the folder's date is old until the last line.
.venv: pyproject.toml constraints.txt
	$(PYTHON) -m venv $@
	touch -t 197001020000 $@
	$@/bin/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[all]' \
		|| { touch -t 197001020000 $@; exit 1; }
	touch $@

demo: .venv
	.venv/bin/bertsmith demo

test: .venv
	.venv/bin/pytest -q -n 2

test-slow: .venv
	.venv/bin/pytest -q -m slow

check: .venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist demo
	find . -name __pycache__ -prune -exec rm -rf {} +
