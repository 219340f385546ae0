# SPDX-License-Identifier: Apache-2.0
# Needs Python 3.11 or newer, a C++20 compiler and make; the rest is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
VISION := .venv-vision
VISION_PIP := $(VISION)/bin/python -m pip --disable-pip-version-check --quiet

# For example: make test ARGS="-k words"; make demo PHOTOS=holiday QUERY=holiday/tower.jpg
ARGS ?=
PHOTOS ?=
QUERY ?=
BENCH ?=

SOURCES := CMakeLists.txt pyproject.toml README.md LICENSE \
	$(shell find cpp python -type f -not -path '*/__pycache__/*')
CPP_FILES = $(shell find cpp tests/cpp -name '*.[ch]pp' -o -name '*.cu' -o -name '*.cuh')

# What CMake finds (Python, pybind11, Ninja) is .venv's, not the system's.
USE_VENV := VIRTUAL_ENV=$(CURDIR)/$(VENV) PATH=$(CURDIR)/$(BIN):$(PATH)
define stage
$(USE_VENV) cmake --preset $(1)
$(USE_VENV) cmake --build --preset $(1)
$(USE_VENV) cmake --install build/$(1) --prefix build/$(1)/stage
endef

library = $(shell $(CXX) -print-file-name=$(1))

.DEFAULT_GOAL := help
.PHONY: help demo test test-vision test-cpp test-isa bench guard lint format wheel asan tsan cuda clean
.DELETE_ON_ERROR:

help:  ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/installed  ## index real photos, search them, write a page (PHOTOS=folder QUERY=photo for yours)
	@$(BIN)/trouvaille demo $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(QUERY),--query "$(QUERY)")

test: $(VENV)/installed $(VENV)/group-test $(VENV)/group-deep  ## run the tests (ARGS="-k words" for some of them)
	$(BIN)/python -m pytest $(ARGS)

test-vision: $(VISION)/installed  ## run the tests that need torchvision and timm, in an environment of their own
	$(VISION)/bin/python -m pytest tests/vision $(ARGS)

test-cpp: $(VENV)/environment  ## build with warnings as errors, and run the C++ tests
	$(call stage,dev)
	$(USE_VENV) ctest --test-dir build/dev --output-on-failure --no-tests=error

test-isa: test-isa-no-avx test-isa-avx2 test-isa-arm64  ## run the kernel tests on emulated CPUs: without AVX, with AVX2 only, arm64 (-j2: two at once)

test-isa-%: $(VENV)/installed $(VENV)/group-test
	@$(USE_VENV) tests/emulate $* $(ARGS)

bench: $(VENV)/installed $(VENV)/group-bench  ## measure against the peers and write benchmarks/RESULTS.md (BENCH=words for one)
	$(BIN)/python -m benchmarks $(BENCH)

guard: $(VENV)/installed $(VENV)/group-bench $(VENV)/group-test  ## time the kernels against the last run of this on this machine
	$(BIN)/python -m pytest benchmarks/test_speed.py --benchmark-autosave --benchmark-compare \
	--benchmark-compare-fail=median:25% $(ARGS)

lint: $(VENV)/environment $(VENV)/group-test $(VENV)/group-lint  ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CPP_FILES)

format: $(VENV)/environment $(VENV)/group-lint  ## rewrite the sources in the house style
	$(BIN)/ruff check --fix-only --exit-zero
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CPP_FILES)

wheel: $(VENV)/environment  ## build a wheel into dist/
	rm -rf dist
	$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist .
	@if command -v auditwheel > /dev/null; then auditwheel show dist/*.whl; \
	else echo "dist/ holds a wheel for this machine; auditwheel is not installed to make it portable"; fi

asan: $(VENV)/installed $(VENV)/group-test  ## run the tests under the address and undefined-behaviour sanitizers
	$(call stage,asan)
	$(USE_VENV) ctest --test-dir build/asan --output-on-failure --no-tests=error
	TROUVAILLE_TESTS_WITHOUT_TORCH=1 PYTHONPATH=build/asan/stage LD_PRELOAD="$(call library,libasan.so) $(call library,libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
	$(BIN)/python -m pytest --capture=sys $(ARGS)

tsan: $(VENV)/environment  ## run the C++ tests under the thread sanitizer
	$(USE_VENV) cmake --preset tsan
	$(USE_VENV) cmake --build --preset tsan
	$(USE_VENV) ctest --test-dir build/tsan --output-on-failure --no-tests=error

cuda: $(VENV)/environment  ## build the CUDA module (needs nvcc)
	$(call stage,cuda)

clean:  ## remove everything that was made
	rm -rf $(VENV) $(VISION) build dist demo out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- The environment. Each stamp is written last, so an interrupted step is done again.

$(VENV)/environment: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "trouvaille needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
	"Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	echo "$(PYTHON) has no venv module. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'  # the first that knows --group
	@$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["dependencies"], sep="\n")' > $(VENV)/dependencies.txt
	@$(PIP) install --group build --requirement $(VENV)/dependencies.txt
	@touch $@

$(VENV)/group-%: $(VENV)/environment tests/constraints.txt
	@$(PIP) install --group $* --constraint tests/constraints.txt
	@touch $@

# scikit-build-core keeps its build folder under build/, so a second build compiles what changed.
$(VENV)/installed: $(VENV)/environment $(SOURCES)
	@echo "Building trouvaille"
	@$(PIP) install --no-build-isolation --no-deps .
	@touch $@

# torchvision loads beside one release of PyTorch only, and that is not the one of the other tests.
$(VISION)/environment: $(VENV)/environment tests/vision/constraints.txt
	@echo "Making $(VISION) (once)"
	@$(PYTHON) -m venv $(VISION)
	@$(VISION_PIP) install --upgrade 'pip>=25.1'
	@$(VISION_PIP) install --group vision --requirement $(VENV)/dependencies.txt \
	--constraint tests/vision/constraints.txt
	@touch $@

$(VISION)/installed: $(VISION)/environment $(VENV)/installed
	@rm -rf build/vision
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir build/vision .
	@$(VISION_PIP) install --force-reinstall --no-deps build/vision/*.whl
	@touch $@
