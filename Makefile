# `make` alone prints this list.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-services test-flink flink check format bench bench-codec bench-lenet bench-quality fuzz golden reference lock images audit dashboards services compile submit images-lock registry-login builder push-image scan sign gitlab-schedule clean
export PYTHON

BIN := .venv/bin
# Tests in as many processes as there are cores, four at most: each may hold TensorFlow.
SPREAD := --numprocesses logical --maxprocesses 4
PARAMS ?= pipelines/params/demo.yaml

help:  ## Print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup:  ## Make .venv from the locks (instant when nothing changed)
	@images/development/setup.sh

demo: setup  ## Run the main job on generated scans and print where the report is
	@$(BIN)/thimble run --params "$(PARAMS)"

test: setup  ## Run the tests (ARGS= passes arguments to pytest)
	@$(BIN)/python -m pytest $(SPREAD) --dist loadfile --no-loadscope-reorder $(ARGS)

test-services: setup  ## Test against MinIO, Prometheus and Docker, which it installs and starts (ARGS=)
	@for script in tests/services/install/*.sh; do bash "$$script"; done
	@THIMBLE_SERVICES=1 tests/services/with_docker.sh $(BIN)/python -m pytest $(SPREAD) --dist loadfile \
	  tests/services $(ARGS)

test-flink: setup  ## Compare ingest on a Flink cluster, which it installs and starts, with this machine alone
	@THIMBLE_SERVICES=1 $(BIN)/python -m pytest tests/services/test_flink.py $(ARGS)

flink:  ## Start a Flink cluster with Beam's job server on this machine (docs/how-to/ingest-at-scale.md)
	@tests/services/flink.sh start && echo "runner: $$(tests/services/flink.sh runner)"

check: setup  ## Format, lint, types, import rules, sizes and names, manifests, shell scripts, spelling
	@.ci/check

format: setup  ## Rewrite the Python files in the project's format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup  ## Measure speed and size (benchmarks/)
	@benchmarks/run.sh $(ARGS)

bench-codec: setup  ## Measure the entropy coder beside others, write docs/reference/codec.md
	@benchmarks/codec/run.sh --out docs/reference $(ARGS)

bench-lenet: setup  ## Remake docs/reference/lenet.md from MNIST (ARGS="--data FOLDER")
	@benchmarks/lenet/run.sh $(ARGS)

bench-quality: setup  ## Remake docs/reference/quality-*.md, hours each (ARGS="--dataset NAME --data FOLDER")
	@benchmarks/quality/run.sh $(ARGS)

fuzz: setup  ## Fuzz the package decoder for ten minutes (FUZZ_SECONDS=, FUZZ_SEED=)
	@tests/fuzz/run.sh

golden: setup  ## Compile the DAGs again into pipelines/golden/ and manifests/
	@$(BIN)/thimble compile --golden
	@$(BIN)/python manifests/prometheus_rule.py

reference: setup  ## Write the reference pages of parameters and commands again
	@$(BIN)/python docs/make_parameters.py
	@$(BIN)/python docs/make_cli.py

dashboards: setup  ## Write the Grafana dashboards again (manifests/dashboards.py)
	@$(BIN)/python manifests/dashboards.py

services:  ## Start MinIO, Prometheus and Grafana in Docker (compose.yaml; docs/how-to/metrics.md)
	@docker compose --project-name thimble up --detach

images: setup  ## Build the stages' images with Docker (STAGE=prune: one, BASE_IMAGE=, ARGS= to bake)
	@$(BIN)/python images/build.py $(STAGE) $(ARGS)

audit: setup  ## Look up known vulnerabilities of every lock
	@images/audit.sh

compile: setup  ## Compile the pipeline for a cluster, with images by digest, into build/
	@mkdir -p build
	@$(BIN)/thimble compile --cluster --images images/images.lock --out build/compress.yaml $(ARGS)

submit: setup  ## Run the pipeline on a cluster (SUBMIT="--params nuclei --data s3://...")
	@$(BIN)/thimble submit --images images/images.lock $(SUBMIT)

images-lock: setup  ## Write images/images.lock from what was pushed
	@$(BIN)/python -m pipelines.image_lock build/images/*.json > images/images.lock

registry-login:  ## Log in to the registry of THIMBLE_REGISTRY (CI)
	@ci/release.sh login

builder:  ## Build with the buildkitd at BUILDKIT (CI)
	@ci/release.sh builder

push-image: setup  ## Build and push the image of STAGE, with its cache in the registry (CI)
	@STAGE="$(STAGE)" ci/release.sh push

scan:  ## Scan the images of images.lock with trivy (CI)
	@ci/release.sh scan

sign:  ## Sign the images of images.lock with cosign (CI)
	@ci/release.sh sign

gitlab-schedule:  ## Create GitLab's schedule of retraining (CRON='0 3 * * 0' SUBMIT="--params ...")
	@python3 ci/gitlab_schedule.py "$(CRON)" SUBMIT="$(SUBMIT)"

lock: setup  ## Make the locks again (UPGRADE=1 takes newer versions)
	@$(BIN)/python images/lock.py $(if $(UPGRADE),--upgrade)

clean:  ## Remove the environment and caches, but no run
	@rm -rf .venv .venv-validate .venv-bench-codec .venv-fuzz .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info build thimble/codec/*.so
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
