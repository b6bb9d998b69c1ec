# Two targets do all the set-up: `make demo` and `make test`. PYTHON chooses the interpreter that makes .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WHOLE := $(VENV)/.installed-whole

.PHONY: demo test test-fp32 test-bf16 test-whole test-slow lint docs pictures install benchmarks clean

install: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[weights,onnx,proposals,editing,test]'
	touch $@

# What tests need besides: worlds, HomeGrid with its older gym, LangRoom without the pygame that it asks for and does not use (it would be
# put over pygame-ce), and Ray, which not every system has packages of. In CI they have to be there.
$(WHOLE): $(STAMP) pyproject.toml
	@if $(BIN)/python -m pip install --quiet -e '.[worlds,homegrid,ray]' && \
	$(BIN)/python -m pip install --quiet --no-deps 'langroom==0.1.2'; then touch $@; \
	elif [ -n "$$CI" ]; then exit 1; \
	else echo "the extras 'worlds', 'homegrid' and 'ray' could not be installed: tests that need them are skipped"; fi

demo: $(STAMP)
	$(BIN)/stemma compare u-net faster-rcnn fpn retinanet ssd yolo-v1 --data scenes:128:6000 --limit 200 --budget $(DEMO_BUDGET) --out runs/demo

DEMO_BUDGET ?= 175s

# Without ../shared/data, Chromium or an extra, tests that need them are skipped, and the summary says which; with CI set they fail.
# STEMMA_PRECISION=fp32 or bf16 says which precision trainings take that may choose; the machine does otherwise.
# What takes longest of a run, marked `whole`, is run where CI is set, or by test-whole.
test: $(WHOLE) lint
	$(BIN)/python -m pytest -n 2 $(ALL) $(SAY)

test-whole: $(WHOLE)
	$(BIN)/python -m pytest -n 2 -m 'not slow' $(SAY)

test-fp32 test-bf16: $(WHOLE)
	STEMMA_PRECISION=$(@:test-%=%) $(BIN)/python -m pytest -n 2 $(ALL) $(SAY)

test-slow: $(WHOLE)
	$(BIN)/python -m pytest -m slow -n 2 $(SAY)

ALL = $(if $(CI),-m 'not slow')

# REPORT=file.xml: what pytest found, for benchmarks/papers.py --tests
SAY = $(if $(REPORT),--junitxml=$(REPORT))

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/mypy

# The two pages of papers that are kept, then the site: read site/index.html, no server and no network needed.
docs: $(STAMP) $(VENV)/.docs
	rm -f docs/lineage.html
	$(BIN)/stemma tree --html docs/lineage.html
	$(BIN)/python benchmarks/papers.py --page
	$(BIN)/python -m sphinx -W --keep-going -q -d $(VENV)/.doctrees -b html docs site
	$(BIN)/python docs/check.py site

$(VENV)/.docs: pyproject.toml $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@

# The README's pictures: the demo's report, the lineage, drawn predictions.
pictures: $(STAMP)
	test -f runs/demo/report.html || $(MAKE) demo
	$(BIN)/python docs/pictures.py runs/demo --budget $(DEMO_BUDGET)

benchmarks: $(STAMP)
	$(BIN)/python benchmarks/detectors.py
	$(BIN)/python benchmarks/detectors.py --count --batch 16 --what train
	$(BIN)/python benchmarks/roi_align.py
	$(BIN)/python benchmarks/data_path.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/worlds.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache site docs/made
