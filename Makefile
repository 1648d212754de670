.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

setup: ## create .venv, install everything, prepare the embedded models
	@$(PYTHON) local/setup.py

demo: setup ## start everything, do the main job on real input, show it, stop
	@$(BIN)/python -m local.demo

run: setup ## serve until Ctrl-C
	@$(BIN)/python -m local.stack

test: setup ## run all tests
	@$(BIN)/python -m pytest

check: setup ## ruff, mypy strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

coverage: setup ## run all tests and show what they do not reach
	@$(BIN)/coverage run -m pytest
	@$(BIN)/coverage report --skip-covered

chaos: setup ## kill and freeze workers, API and Redis a hundred times (5 to 30 minutes)
	@$(BIN)/python -m tests.chaos.run

chaos-rag: setup ## kill rag and PostgreSQL during a thousand uploads (10 to 30 minutes)
	@$(BIN)/python -m tests.chaos.rag

models: setup ## prepare the embedded models again where files changed
	@$(BIN)/python -m kit.models

clean: ## remove the environment, prepared models and run-time files; data/ stays
	rm -rf .venv .models .run .mypy_cache .ruff_cache .pytest_cache

.PHONY: help setup demo run test check coverage chaos chaos-rag models clean
