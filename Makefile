# make app    the Space on http://127.0.0.1:7860
# make test   everything that CI runs
# make style  format and lint
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN = .venv/bin

.PHONY: app test style browser

app: .venv/app
	$(BIN)/python app.py

test: .venv/test browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist worksteal

style: .venv/test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/app: .venv/bin/python requirements.txt
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

.venv/test: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[space,train,test]"
	touch $@

# The browser tests take any Chromium: one that is installed, else Debian's, else Playwright's own.
browser: .venv/test
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	|| ls $$HOME/.cache/ms-playwright/chromium-* >/dev/null 2>&1 \
	|| (command -v apt-get >/dev/null && test "$$(id -u)" = 0 && apt-get update -q && apt-get install -q -y chromium) \
	|| $(BIN)/python -m playwright install --with-deps chromium
