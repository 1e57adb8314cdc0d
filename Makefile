# adjoin's everyday commands. Each sets up what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
include scripts/mpi.env
export $(shell sed -n 's/=.*//p' scripts/mpi.env)

RANKS ?= 2
ROUNDS ?= 3
PRESET ?= release
BUILD := build/$(PRESET)
# nproc would count one core where OMP_NUM_THREADS is 1.
JOBS ?= $(shell env -u OMP_NUM_THREADS nproc)

.PHONY: help setup configure build demo test test-whole matrix wheels stubs docs docs-links bench bench-peers bench-nodes format check check-installing tidy \
  sanitize sanitize-threads clang fuzz clean
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: ## what everything needs, into .venv and by apt (idempotent)
	@scripts/setup.sh

configure: setup
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)

build: configure ## the library, its programs and tests
	ninja -C $(BUILD) -j $(JOBS)

demo: configure ## plug-and-play and real tomography on RANKS ranks (2): out/report.html
	@scripts/fetch_data.sh kodim23 tilt-series denoisers
	ninja -C $(BUILD) -j $(JOBS) plug_and_play tomography
	@rm -f out/report.html
	timeout 600 mpirun -n $(RANKS) $(BUILD)/examples/plug_and_play --report out/report.html
	timeout 600 mpirun -n $(RANKS) $(BUILD)/examples/tomography --report out/report.html
	@echo "pictures and numbers: out/report.html"

test: build ## every test
	ctest --preset $(PRESET) -j $(JOBS)

test-whole: configure ## every test, with every case of the long ones (hours)
	cmake -DADJOIN_WHOLE=ON $(BUILD)
	ADJOIN_WHOLE=1 $(MAKE) test; result=$$?; cmake -DADJOIN_WHOLE=OFF $(BUILD); exit $$result

matrix: configure ## every collective call x every fault of one rank, on 2 and 3 ranks, under both launchers (hours)
	ninja -C $(BUILD) -j $(JOBS) adjoin_python
	PYTHONPATH=$(BUILD)/python python tests/python/matrix/run.py $(MATRIX)

wheels: configure ## the wheel for this torch and Python, or PYTHON=python3.13, tried in a new virtual environment: build/release/wheels
	scripts/check_wheels.sh $(BUILD) $(PYTHON)

stubs: configure ## rewrite the types of the extension module, python/adjoin/_adjoin.pyi
	ninja -C $(BUILD) -j $(JOBS) adjoin_python
	PYTHONPATH=$(BUILD)/python python scripts/stubs.py

docs: configure ## the documentation site, checked: build/docs/index.html
	ninja -C $(BUILD) -j $(JOBS) adjoin_python
	PYTHONPATH=$(BUILD)/python python scripts/docs.py build/docs

docs-links: configure ## the same, asking the web after the links that leave the site
	ninja -C $(BUILD) -j $(JOBS) adjoin_python
	PYTHONPATH=$(BUILD)/python python scripts/docs.py build/docs --links

bench: configure ## our times: a table, and out/bench.json
	ninja -C $(BUILD) -j $(JOBS) benchmarks
	python scripts/bench.py --build $(BUILD) --rounds $(ROUNDS)

bench-peers: configure ## the same beside deepinv and PyLops-MPI, in turn
	ninja -C $(BUILD) -j $(JOBS) benchmarks
	python scripts/bench.py --build $(BUILD) --rounds $(ROUNDS) --peers

bench-nodes: configure ## times of sums over two nodes of network namespaces, 1 Gbit/s between them (root): out/two_nodes.json
	ninja -C $(BUILD) -j $(JOBS) adjoin_python
	PYTHONPATH=$(BUILD)/python python scripts/two_nodes.py --out out/two_nodes.json

# Python that the formatter has the word on; ruff checks all of it.
FORMATTED := python/adjoin examples/own_operator
format: setup ## rewrite the sources in the house style
	git ls-files -co --exclude-standard '*.hpp' '*.cpp' | xargs clang-format -i
	ruff check --fix . && ruff format $(FORMATTED)

check: configure ## formatting, Python's style and types, the include graph, first comments, licence lines, and that every public header stands alone
	git ls-files -co --exclude-standard '*.hpp' '*.cpp' | xargs clang-format --dry-run -Werror
	ruff check . && ruff format --check $(FORMATTED)
	python -m mypy
	python scripts/check_includes.py
	python scripts/check_comments.py
	python scripts/check_licence.py
	ninja -C $(BUILD) -j $(JOBS) adjoin_headers

check-installing: build ## every block of docs/installing.md as it stands, in copies of the sources (half an hour)
	python tests/installing.py package own pip --build $(BUILD)

tidy: configure ## clang-tidy over our sources, or those under TIDY (folders)
	python scripts/tidy.py $(BUILD) $(TIDY)

sanitize: ## build and test under AddressSanitizer and UBSan
	$(MAKE) test PRESET=sanitize

# Only what the library does itself: torch, OpenMP and MPI are not built for it, and have their own threads. PMIx wants
# memory at an address that the sanitizer has taken, and UCX puts hooks into calls of ending threads, unless told not to.
sanitize-threads: ## build and test comm, and operators in several threads, under ThreadSanitizer
	$(MAKE) configure PRESET=tsan
	ninja -C build/tsan -j $(JOBS) comm_test operators_test
	OMP_NUM_THREADS=1 setarch -R build/tsan/tests/operators_test --gtest_filter='Threads.*'
	PMIX_MCA_gds=hash UCX_MEM_EVENTS=no UCX_MEM_MMAP_HOOK_MODE=none setarch -R ctest --preset tsan -R '^comm\.'

CLANG ?= $(shell command -v clang++-19 || command -v clang++)
clang: setup ## build by Clang without warnings, and run every test
	$(if $(CLANG),,$(error clang++ is not on the path (Debian: clang-19); or name it: make clang CLANG=...))
	cmake --preset clang -DCMAKE_CXX_COMPILER=$(CLANG)
	ninja -C build/clang -j $(JOBS)
	ctest --preset clang -j $(JOBS)

fuzz: setup ## 100 000 changed files for every loader under AddressSanitizer and UBSan, by libFuzzer where Clang is
	$(if $(CLANG),cmake --preset fuzz -DCMAKE_CXX_COMPILER=$(CLANG),$(MAKE) configure PRESET=sanitize)
	ninja -C build/$(if $(CLANG),fuzz,sanitize) -j $(JOBS) fuzzers
	ctest --preset $(if $(CLANG),fuzz,sanitize) -R '^fuzz\.' -j $(JOBS)

clean: ## forget builds and results; .venv and .cache stay
	rm -rf build out
