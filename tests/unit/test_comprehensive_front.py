"""The front that runs tests by category, on a small project made for it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FRONT = Path(__file__).parents[1] / "test_orchestrator_comprehensive.py"
PASSES = "def test_passes():\n    pass\n"
FAILS = "def test_fails():\n    assert 1 == 2\n"
SKIPS = "import pytest\n\n@pytest.mark.skip\ndef test_skips():\n    pass\n"
BROKEN = "import pytest\n\n@pytest.fixture\ndef bad():\n    raise OSError\n\ndef test_has_bad_fixture(bad):\n    pass\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "a project"
    for folder in ("unit", "contract", "integration", "system", "performance"):
        (root / "tests" / folder).mkdir(parents=True)
    shutil.copy(FRONT, root / "tests")
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "-ra -p no:cacheprovider"\n')
    return root


def write(project: Path, **tests: str) -> None:
    for place, text in tests.items():
        folder, _, name = place.partition("_")
        (project / "tests" / folder / f"test_{name}.py").write_text(text)


def run(project: Path, *arguments: str) -> tuple[int, list[str]]:
    """Return the exit code, and the lines of the guide's form without their times."""
    command = [sys.executable, str(project / "tests" / FRONT.name), *arguments]
    # From another folder, and without what the outer run's environment says to pytest.
    done = subprocess.run(
        command, cwd=project.parent, env={}, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    lines = [line for line in done.stdout.splitlines() if " - OrchestratorTests: " in line]
    stamped = [re.fullmatch(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] (.*)", line) for line in lines]
    return done.returncode, [match[1] if match else "unstamped" for match in stamped]


def names(lines: list[str]) -> list[str]:
    return [match[0] for line in lines if (match := re.search(r"test_\w+(?=: )", line))]


def test_a_passed_test_is_a_line_of_the_guide(project: Path) -> None:
    write(project, unit_a=PASSES)
    assert run(project, "--test-type", "unit") == (
        0,
        [
            "INFO - OrchestratorTests: Starting FinAgent Orchestrator Tests",
            "INFO - OrchestratorTests: ✅ test_passes: PASSED",
        ],
    )


def test_a_failed_test_shows_and_fails_the_run(project: Path) -> None:
    write(project, unit_a=PASSES, unit_b=FAILS, unit_c=BROKEN)
    code, lines = run(project, "--test-type", "unit")
    assert code == 1
    assert lines[1:] == [
        "INFO - OrchestratorTests: ✅ test_passes: PASSED",
        "ERROR - OrchestratorTests: ❌ test_fails: FAILED",
        "ERROR - OrchestratorTests: ❌ test_has_bad_fixture: FAILED in setup",
    ]


def test_a_module_that_does_not_import_fails_the_run(project: Path) -> None:
    write(project, unit_a=PASSES, unit_b="import no_such_module")
    code, lines = run(project, "--test-type", "unit")
    assert code == 2
    assert lines[1:] == ["ERROR - OrchestratorTests: ❌ tests/unit/test_b.py: FAILED to be collected"]


@pytest.mark.parametrize("tests", [{}, {"demo_none": ""}, {"system_demo": ""}, {"system_demo": SKIPS}])
def test_a_run_that_ran_nothing_fails(project: Path, tests: dict[str, str]) -> None:
    (project / "tests" / "demo").mkdir()
    write(project, **tests)
    code, lines = run(project, "--test-type", "demo")
    assert code == 5
    assert lines[-1].startswith("ERROR - OrchestratorTests: ❌")


def test_categories_are_folders(project: Path) -> None:
    places = ("unit", "contract", "integration", "system", "performance")
    write(project, **{f"{place}_{place}": f"def test_{place}():\n    pass\n" for place in places})
    write(project, system_demo="def test_demo():\n    pass\n")
    found = {}
    for category in ("all", "integration", "system", "performance", "demo"):
        code, lines = run(project, "--test-type", category)
        assert code == 0
        found[category] = set(names(lines))
    assert found == {
        "all": {"test_unit", "test_contract", "test_integration", "test_system", "test_demo", "test_performance"},
        "integration": {"test_contract", "test_integration"},
        "system": {"test_system", "test_demo"},
        "performance": {"test_performance"},
        "demo": {"test_demo"},
    }


def test_an_unknown_category_is_refused(project: Path) -> None:
    assert run(project, "--test-type", "smoke") == (2, [])
