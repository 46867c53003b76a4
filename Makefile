# The commands of this project. `make help` lists them.
SHELL := /bin/bash

.PHONY: help build man demo test check bench screenshots clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

build: ## bin/postern, static, without cgo
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/postern ./cmd/postern

man: build ## a manual page of each command, in bin/man
	bin/postern man bin/man

demo: build ## builds, starts everything on a throw-away data directory, and prints what to try
	@exec bin/postern demo

test: ## installs what the tests need (as root on Debian), then runs everything
	@scripts/install-test-tools
	@$(MAKE) --no-print-directory check

check: ## runs everything; a tool that is missing is a failure that names it
	@scripts/check

bench: build ## measures against Express, node:http, HAProxy, nginx and Caddy; writes docs/benchmarks.md
	go run ./bench

screenshots: ## the pictures of docs/console, of a server with the data of a small shop
	SCREENSHOTS=$(CURDIR)/docs/console go test -count 1 -run '^TestConsole_Pictures$$' ./cmd/postern

clean: ## removes what the commands above made
	rm -rf bin tmp runtime/node/node_modules runtime/node/build bench/node_modules
