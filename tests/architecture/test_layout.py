"""How the tree is cut: layers, source roots, sizes, docstrings, and what no tracked file may say."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = (ROOT / "operator", ROOT / "trainer_image")
PURE = ("api", "contract", "domain", "catalog", "planner", "scheduler", "ledger", "engine")

FILE_LINES = 600
FUNCTION_LINES = 60
TEST_FUNCTION_LINES = 80


def sources(*folders):
    return sorted(file for folder in folders for file in folder.rglob("*.py") if "__pycache__" not in file.parts)


PRODUCT = sources(*SOURCE_ROOTS)
TESTS = sources(ROOT / "tests", ROOT / "scripts")


def tracked():
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


def relative(file):
    return str(file.relative_to(ROOT))


def test_imports_point_one_way():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("root", SOURCE_ROOTS, ids=lambda root: root.name)
def test_a_source_root_is_no_package(root):
    assert not (root / "__init__.py").exists(), "operator/__init__.py would shadow the standard library's operator"
    assert not list(root.glob("*.py"))


def test_nothing_below_is_called_operator():
    named = [relative(path) for root in (*SOURCE_ROOTS, ROOT / "tests") for path in root.rglob("operator*")]

    assert [name for name in named if Path(name).name in ("operator", "operator.py")] == []


def test_a_bare_interpreter_at_the_root_finds_the_standard_library():
    # -S skips the start-up hooks of an editable install, which would hide the trap (research: "The operator/ name").
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import operator, collections; print(operator.__file__)"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert not done.stdout.startswith(str(ROOT))


def test_tests_have_no_packages():
    assert [relative(file) for file in (ROOT / "tests").rglob("__init__.py")] == []


def test_the_readmes_commands_exist():
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    told = re.findall(r"\bmake ([a-z0-9-]+)", (ROOT / "README.md").read_text())

    assert {"demo", "test"} <= set(told), "the README's two commands are make demo and make test"
    assert set(told) <= set(targets)


def test_every_make_target_is_explained_and_phony():
    text = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)[1].split())

    assert set(re.findall(r"^([a-z0-9-]+):.*## \S", text, flags=re.MULTILINE)) == phony


@pytest.mark.parametrize("file", [*PRODUCT, *TESTS], ids=relative)
def test_a_file_has_one_subject_and_an_end(file):
    assert len(file.read_text().splitlines()) <= FILE_LINES


@pytest.mark.parametrize("file", [*PRODUCT, *TESTS], ids=relative)
def test_functions_can_be_read(file):
    limit = FUNCTION_LINES if file in PRODUCT else TEST_FUNCTION_LINES
    text = file.read_text()
    code = code_lines(text)
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    sizes = {node.name: len(code & set(range(node.lineno, node.end_lineno + 1)) - docstring_lines(node)) for node in functions}

    assert {name: size for name, size in sizes.items() if size > limit} == {}


def code_lines(text):
    """Numbers of the lines that hold a token other than a comment."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {line for token in tokens if token.type not in skipped for line in range(token.start[0], token.end[0] + 1)}


def docstring_lines(node):
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return set(range(first.lineno, first.end_lineno + 1)) if is_docstring else set()


@pytest.mark.parametrize("file", [file for file in PRODUCT if set(PURE) & set(file.parts)], ids=relative)
def test_public_names_of_pure_packages_are_explained(file):
    tree = ast.parse(file.read_text())
    assert file.name == "__init__.py" or ast.get_docstring(tree), "the module says what it is about"

    assert [name for name, node in public_definitions(tree) if not ast.get_docstring(node)] == []


def public_definitions(tree, prefix=""):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node, f"{prefix}{node.name}.")


# Written in pieces, so that this file does not say what it forbids.
FORBIDDEN = {
    "a machine's path": r"(/wor[k]/(main|shared)|/hom[e]/[a-z]+/)",
    "a registry's host": r"https?://[^\s/'\"]*(pyp[i]|artifactor[y]|nexu[s]|mirro[r])[^\s/'\"]*",
    "an unfinished part": r"\b(TOD[O]|FIXM[E]|XX[X]|NotImplementedErro[r])\b",
    "a test that does not run": r"pytest\.(mark\.)?(ski[p]|skipi[f]|xfai[l])\b",
}
NOT_OURS = (".sum", ".mod")


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_says(what):
    pattern = re.compile(FORBIDDEN[what])
    found = {relative(file): pattern.search(text(file)) for file in tracked() if file.suffix not in NOT_OURS}

    assert {name: hit[0] for name, hit in found.items() if hit} == {}


def text(file):
    """A file as text; what is no text says nothing."""
    try:
        return file.read_text()
    except UnicodeDecodeError:
        return ""
