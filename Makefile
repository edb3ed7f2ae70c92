# Permafrost. `make up` is the front door; `make help` says the rest.
SHELL := /bin/bash
PYTHON := /usr/bin/python3
VENV := .venv/bin
# A run and all that it started end together, even by SIGKILL.
RUN := exec setpriv --pdeathsig KILL -- env PATH="$(CURDIR)/$(VENV):$$PATH" $(PYTHON) -m
SHARD ?= 1/1
LIKE ?= sites/lab.yaml

.DEFAULT_GOAL := help
.PHONY: help bootstrap build up down status check test soak bench lint fmt clean

help: ## say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

bootstrap: ## install what is missing on this machine
	@scripts/bootstrap.sh

build: bootstrap ## build engines, base image, packages, images and checkpoints
	@$(RUN) lab.build

up: bootstrap ## a small vSphere site on this machine, deployed and verified; LIKE=sites/lab-knowledge.yaml: another kind
	@$(RUN) lab.front up --like "$(LIKE)"

down: ## remove every machine, mount, bridge, cgroup and process of this instance
	@if [ -x $(VENV)/python ]; then $(VENV)/python -m lab.testrun abandoned || :; fi
	@if [ -x $(VENV)/permafrost-lab ] && $(VENV)/permafrost-lab down; then :; else exec $(PYTHON) -m lab.cleanup; fi

status: ## what stands where
	@$(VENV)/permafrost-lab status

check: bootstrap ## lint, types, unit tests: under two minutes
	@$(RUN) lab.testrun check

test: bootstrap ## all that CI runs, on a lab of its own
	@$(RUN) lab.testrun test

soak: bootstrap ## everything exhaustive; SHARD=k/n, at most 30 minutes a shard, resumable; ONLY=paths: these alone, longer ones too
	@$(RUN) lab.testrun soak "$(SHARD)" "$(ONLY)"

bench: bootstrap ## tables of ratios, on the running lab
	@$(RUN) lab.testrun bench

lint: bootstrap ## the linters alone
	@$(RUN) lab.testrun lint

fmt: bootstrap ## format Python and Go
	@$(VENV)/ruff check --fix --quiet . ; $(VENV)/ruff format .
	@gofmt -w engines lab/vcenter

clean: down ## also remove the Python environment and what tests left behind
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
