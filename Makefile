# `make demo` and `make test` need Python 3.11+ and a package registry; each sets itself up in $(VENV).
#
#   PYTHON=/path/to/python3.12 make test   chooses the interpreter
#   PIP_TORCH="..." make test              further arguments for the installation of torch, such as the index of
#                                          its CPU-only wheels, where the registry would send gigabytes of CUDA
#   PROCESSES=4 make test                  so many tests at once; each may need 2 GB of memory. PROCESSES=0 runs them in one
#                                          process, which `PYTEST="--pdb"` and `PYTEST=-s` need
#   make test-esmf ESMF=/path/to/environment
#                                          the tests of ESMF, in another Python environment that has esmpy and this
#                                          package, such as the one of environment.yml (docs/regridding.md)

VENV ?= .venv
THREADS ?= 2
PROCESSES ?= 2
PIP_TORCH ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SETUPTOOLS = $(shell grep '^setuptools==' constraints.txt)
TORCH = $(shell grep '^torch==' constraints.txt)

export OMP_NUM_THREADS := $(THREADS)
# Open MPI refuses to start as root unless told that this is meant.
export OMPI_ALLOW_RUN_AS_ROOT := 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM := 1
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: venv demo test references test-esmf lint soak bench bench-long clean distclean

venv: $(STAMP)

# torch alone first: what follows then finds it there and does not choose another build of it.
$(STAMP): pyproject.toml constraints.txt
	@python=; for p in "$(PYTHON)" python3 python3.13 python3.12 python3.11; do \
	  if [ -n "$$p" ] && "$$p" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$p; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer with its venv module is needed and was not found." >&2; \
	  echo "Install it (Debian, Ubuntu: apt-get install python3-venv), or say where: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	  exit 2; fi; \
	echo "Setting up $(VENV) with $$($$python --version); this takes a few minutes, once."; \
	$$python -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(SETUPTOOLS)
	$(BIN)/python -m pip install --quiet $(TORCH) $(PIP_TORCH)
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[mpi,yac,dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/python examples/demo.py

# The same in every run: examples of properties (tests/conftest.py), and the order of sets. The processes share the cores,
# so each has one thread. Tests start hundreds of processes: compiled modules are kept, whatever the machine's variables say.
test: export OMP_NUM_THREADS := 1
test: export PYTHONDONTWRITEBYTECODE :=
test: $(STAMP)
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -m 'not soak' -n $(PROCESSES) --dist worksteal $(PYTEST)

# After a change of results that is meant; see docs/reliability.md.
references: $(STAMP)
	$(BIN)/python tests/reference_runs.py

# Tests skip where ESMF cannot be used; here that is a failure.
define ESMF_USABLE
import importlib.util as u, sys
lacking = [name for name in ("ai4land_coupler", "pytest", "hypothesis", "psutil") if not u.find_spec(name)]
if lacking: sys.exit(f"$(ESMF) lacks {', '.join(lacking)}: $(ESMF)/bin/python -m pip install -e '.[yac,dev]'")
from ai4land_coupler.regrid.backends.esmf_runtime import missing
reason = missing(3)
if reason: sys.exit(f"ESMF cannot be used on several ranks in $(ESMF): {reason} (docs/regridding.md)")
try: import esmpy
except Exception as error: sys.exit(f"the esmpy of $(ESMF) is broken: {error!r}")
print("ESMF", esmpy.__version__, "of $(ESMF)")
endef
export ESMF_USABLE

test-esmf: export PATH := $(ESMF)/bin:$(PATH)
test-esmf:
	@if [ ! -x "$(ESMF)/bin/python" ]; then \
	  echo "Say where esmpy is: make test-esmf ESMF=/path/to/environment, a folder with bin/python; found: '$(ESMF)'" >&2; \
	  exit 2; fi
	@$(ESMF)/bin/python -P -c "$$ESMF_USABLE"
	$(ESMF)/bin/python -m pytest tests/regrid/test_esmf.py \
	  tests/regrid/test_weight_files.py::test_files_made_by_esmf_now \
	  tests/cli/test_cli_regrid.py::test_xesmf_uses_our_weights_and_we_use_its $(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The long tests, and every property on new random examples, ten times as many.
soak: $(STAMP)
	$(BIN)/python -m pytest -m 'soak or hypothesis' --hypothesis-profile=soak $(PYTEST)

# The short set takes a few minutes on two cores; the long set takes hours. BENCH="--json FOLDER" keeps the reports.
bench: $(STAMP)
	$(BIN)/python benchmarks/run_all.py $(BENCH)

bench-long: $(STAMP)
	$(BIN)/python benchmarks/run_all.py --long $(BENCH)

clean:
	rm -rf build dist demo runs *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
