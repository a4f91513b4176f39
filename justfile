# The quick loop: `just` lists the recipes. Each is one command, and works as well without just.
set shell := ["bash", "-uc"]
export PATH := justfile_directory() / ".venv/bin:" + env("PATH")

# What must be green before a commit, besides tests
check:
    ruff check && ruff format --check && mypy && lint-imports

# Tests without Ray, browsers and hosts: before every commit
quick:
    pytest -n 2

# Every test but those of a minute each (`pytest -m long`): before a merge
test:
    pytest -n 2 -m "not long"

# One round beside the plain way; tests/benchmarks/ has a command for each claim
bench:
    python tests/benchmarks/round_speed.py

# The pages: their commands, paths, tables and examples
docs:
    pytest -m "not long" tests/docs
