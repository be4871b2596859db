"""Which code a result is of: what a file reaches, fingerprints, versions."""

from pathlib import Path

import pytest

import coupler
from coupler.interface.source import fingerprint, reached, software


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package with a registry in its ``__init__.py``, an empty one, and scripts beside."""
    files = {
        "one/__init__.py": '"""Nothing but words."""\n',
        "one/a.py": "from one import b\nfrom two import build\n",
        "one/b.py": "def late():\n    import one.c\n",
        "one/c.py": "import numpy\n",
        "one/other.py": "X = 1\n",
        "two/__init__.py": "from one.b import late as build\n",
        "tools/page.py": "import shared\nfrom parts.first import f\n",
        "tools/shared.py": "from one import a\n",
        "tools/parts/first.py": "f = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_what_a_file_imports_is_followed_into_functions_packages_and_scripts(tree: Path) -> None:
    package = ("one/a.py", "one/b.py", "one/c.py", "two/__init__.py")
    assert reached("one/a.py", inside=("one/", "two/"), root=tree) == package
    assert reached("one/a.py", inside=("one/",), root=tree) == package[:3]
    without = reached("one/a.py", inside=("one/", "two/"), but=("one/b.py",), root=tree)
    assert without == ("one/a.py", "two/__init__.py")
    scripts = ("tools/page.py", "tools/parts/first.py", "tools/shared.py")
    assert reached("tools/page.py", inside=("tools/",), root=tree) == scripts
    everything = reached("tools/page.py", inside=("tools/", "one/", "two/"), root=tree)
    assert everything == (*package[:3], *scripts, package[3])


def test_a_fingerprint_is_of_code_and_of_the_files_names(tree: Path) -> None:
    first = fingerprint(["one/*.py"], tree)
    (tree / "one" / "c.py").write_text('"""Words."""\n\nimport numpy  # and why\n')
    assert fingerprint(["one/*.py"], tree) == first
    (tree / "one" / "c.py").rename(tree / "one" / "d.py")
    assert fingerprint(["one/*.py"], tree) != first


def test_versions_are_said_of_what_is_there_and_what_is_not() -> None:
    found = software("numpy", "no-such-package")
    assert found["isthmus"] == coupler.__version__ and found["numpy"][0].isdigit()
    assert found["no-such-package"] == "not installed"
