# Trunkline. `make run` and `make test` work on a fresh machine with Go, Node
# with npm and, for the Kafka tests, Java with Maven; they fetch the rest into .cache.
SHELL := /bin/bash
GO ?= go
TOOL := $(GO) tool -modfile=.ci/tools.mod

.PHONY: run build deps deps-test gen lint test soak bench fuzz clean help

help: ## Show what can be made.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## Build bin/trunkline.
	$(GO) build -o bin/trunkline ./cmd/trunkline

deps: ## Fetch what a run needs besides Go modules: the ClickHouse engine.
	@deployments/embedded/fetch.sh

deps-test: deps ## Fetch what the tests need too: Apache Kafka's jars, Node packages.
	@.ci/deps-test

run: deps build ## Run the hub with everything embedded.
	@exec deployments/embedded/run.sh

gen: ## Write the generated files: schemas, AsyncAPI, tables of settings.
	$(GO) generate ./...

lint: ## Format check, vet, linters.
	@out=$$($(TOOL) gofumpt -l .); [ -z "$$out" ] || { echo "gofumpt wants changes in:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(TOOL) golangci-lint run ./...

test: deps-test ## Run the whole suite.
	$(GO) test -p 2 -timeout 40m ./...

soak: deps-test ## Slow soaks: sixty kill -9 under load, a hub with much that waits, a thousand seeds of the delivery engine.
	$(GO) test -tags soak -run Soak -timeout 60m -count 1 -v ./cmd/trunkline
	$(GO) test -run Simulation -timeout 60m -count 1 ./adapters/webhooks -seeds 1000

bench: deps ## Print the figures that the README quotes, each against a baseline.
	$(GO) run ./cmd/trunklinebench $(BENCHFLAGS)

fuzz: ## Fuzz each decoder for a minute.
	@.ci/fuzz 60s

clean: ## Remove what was built; data and caches stay.
	rm -rf bin
