"""Imports point down: schemas < streams < agents < rl < orchestrator < infra."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RANKS = {"schemas": 0, "streams": 1, "agents": 2, "rl": 3, "orchestrator": 4, "infra": 5}
ORDER = "schemas < streams < agents < rl < orchestrator < infra"

Imported = tuple[int, str, tuple[str, ...]]
"""Line, top-level package, names of the functions around the import, outermost first."""


def violations(root: Path) -> list[str]:
    """Return each import that points up or sideways, as file:line and the rule it breaks."""
    return [
        f"{path.relative_to(root)}:{line}: {package} imports {target}, against {ORDER}"
        for package in RANKS
        for path in sorted((root / package).rglob("*.py"))
        for line, target, functions in imports(ast.parse(path.read_text(), str(path)))
        if target != package and RANKS.get(target, -1) >= RANKS[package]
        if not is_allowed_lazily(path.relative_to(root), target, functions)
    ]


def is_allowed_lazily(path: Path, target: str, functions: tuple[str, ...]) -> bool:
    """Tell whether the orchestrator may start what serves it: from start_server, and where it runs as a program."""
    if path.parts[0] != "orchestrator" or target != "infra":
        return False
    return "start_server" in functions or (path == Path("orchestrator/__main__.py") and bool(functions))


def imports(node: ast.AST, functions: tuple[str, ...] = ()) -> Iterator[Imported]:
    """Yield the absolute imports below a node; relative ones stay in their package."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        functions = (*functions, node.name)
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name.split(".")[0], functions) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.lineno, node.module.split(".")[0], functions
    for child in ast.iter_child_nodes(node):
        yield from imports(child, functions)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_imports_of_the_project_point_down() -> None:
    assert all((ROOT / package / "__init__.py").exists() for package in RANKS)
    assert violations(ROOT) == []


def test_imports_down_within_and_of_libraries_are_allowed(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "schemas/a.py": "import numpy\nfrom . import b\nfrom .infra import x",
            "streams/a.py": "import schemas.a\nfrom streams import b",
            "agents/deep/a.py": "from streams.a import x",
            "rl/a.py": "import agents\ndef f():\n    import streams",
            "orchestrator/a.py": "import agents, rl",
            "infra/a.py": "from orchestrator import a",
        },
    )
    assert violations(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "text", "line", "target"),
    [
        ("schemas/a.py", "import streams", 1, "streams"),
        ("schemas/a.py", "import json, infra.cli", 1, "infra"),
        ("streams/a.py", "\nfrom agents.pool import x", 2, "agents"),
        ("streams/deep/a.py", "def f():\n    from orchestrator import x", 2, "orchestrator"),
        ("agents/a.py", "import rl", 1, "rl"),
        ("rl/a.py", "try:\n    pass\nfinally:\n    import orchestrator", 4, "orchestrator"),
        ("orchestrator/a.py", "if TYPE_CHECKING:\n    from infra import x", 2, "infra"),
        ("orchestrator/a.py", "def serve():\n    import infra", 2, "infra"),
        ("orchestrator/__main__.py", "import infra", 1, "infra"),
        ("streams/a.py", "def start_server():\n    import infra", 2, "infra"),
    ],
)
def test_an_import_up_or_sideways_is_named(tmp_path: Path, name: str, text: str, line: int, target: str) -> None:
    write(tmp_path, {name: text})
    package = name.split("/")[0]
    assert violations(tmp_path) == [f"{name}:{line}: {package} imports {target}, against {ORDER}"]


def test_the_orchestrator_starts_infra_lazily(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "orchestrator/__main__.py": "def main():\n    from infra.cli import main",
            "orchestrator/facade.py": "class A:\n    async def start_server(self):\n        from infra import api",
        },
    )
    assert violations(tmp_path) == []
