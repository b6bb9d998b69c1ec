"""The margins of tests that learn, and skips that are failures in CI: tried on tests of their own,
in a process of their own."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine_help import ROOT
from learning import MARGIN, Learned, table

INNER = '''
import pytest

def test_far(learned):
    learned("AP", 0.9, at_least=0.3, untrained=0.1)

def test_near(learned):
    learned("loss", 0.8, at_most=1.2, untrained=5.0)

def test_missed(learned):
    learned("AP", 0.2, at_least=0.3, untrained=0.1)

def test_skipped():
    pytest.skip("no such thing on this machine")

@pytest.mark.xfail(reason="known")
def test_expected():
    assert False
'''


GIVEN = '''
import os
import pytest

@pytest.mark.given("STEMMA_TEST_FILE")
def test_given():
    assert os.environ["STEMMA_TEST_FILE"]

def test_other():
    pass
'''


def inner(folder: Path, ci: str | None, *options: str, tests: str = INNER) -> str:
    """What pytest says of tests, those above, which know nothing but tests/learning.py."""
    shutil.copy(ROOT / "tests" / "learning.py", folder / "conftest.py")
    (folder / "test_inner.py").write_text(tests)
    (folder / "test_whole.py").write_text('import pytest\npytest.skip("nothing here", allow_module_level=True)\n')
    (folder / "pytest.ini").write_text("[pytest]\n")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CI", "PYTEST_"))} | ({} if ci is None
                                                                                          else {"CI": ci})
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # some take seconds to import
    words = [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "no:cacheprovider", "-q", *options, str(folder)]
    return subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, timeout=600).stdout


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two"])
def test_the_summary_lists_margins_and_ci_allows_no_skip(tmp_path: Path, options: tuple[str, ...]) -> None:
    said = inner(tmp_path, None, *options)
    assert "1 failed, 2 passed, 2 skipped, 1 xfailed" in said, said
    margins = [line.split()[0] for line in said.splitlines() if "untrained" in line and " x  " in line]
    assert margins == ["0.7", "1.5", "3.0"] and said.count("closer than a factor of two") == 2
    assert "skipped on this machine" in said and "no such thing on this machine" in said and "nothing here" in said
    said = inner(tmp_path, "true", "--continue-on-collection-errors", *options)
    assert "2 failed, 2 passed, 1 xfailed, 1 error" in said and "skipped" not in said.splitlines()[-1], said
    assert "A skip is a failure where CI is set" in said


def test_what_needs_a_file_is_left_out_where_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file, said in (("", "1 passed, 1 skipped, 1 deselected"), ("x", "2 passed, 1 skipped")):
        monkeypatch.setenv("STEMMA_TEST_FILE", file)
        assert said in inner(tmp_path, None, tests=GIVEN)


def test_a_gain_that_an_untrained_system_has_is_none() -> None:
    noted: list[object] = []
    learned = Learned(lambda name, value: noted.append((name, value)))
    with pytest.raises(AssertionError, match="untrained it is 0.5 already"):
        learned("AP", 0.9, at_least=0.4, untrained=0.5)
    with pytest.raises(AssertionError, match="untrained it is 1 already"):
        learned("loss", 0.1, at_most=2.0, untrained=1.0)
    for value in (float("nan"), 3.0):
        with pytest.raises(AssertionError, match="loss is"):
            learned("loss", value, at_most=2.0, untrained=9.0)
    learned("loss", 0.0, at_most=2.0, untrained=9.0)
    assert len(noted) == 5 and noted[-1] == (MARGIN, ("loss", 0.0, 2.0, 9.0, float("inf")))
    assert ("<= 2" in table([("t", ("loss", 0.5, 2.0, 9.0, 4.0))])[0]
            and ">= 2" in table([("t", ("AP", 4.0, 2.0, 0.0, 2.0))])[0])
