"""Which files of a package a chapter depends on, found by reading imports and running nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

from medssl.book._percent import code_cells, without_magics

__all__ = ["imported_files"]


def imported_files(chapter_source: str, root: Path, package: str = "medssl") -> list[Path]:
    """Return the files of `package` that the code of a chapter may load.

    Imports are followed through modules, function-level imports and the ``__init__`` files of every
    parent package.
    Where a module imports by name (``import_module("medssl.training")``), every string in it that
    names a module, in full or within its own package, counts; in an ``__init__`` this happens when
    something takes a function, a class or an undefined name from that package.
    Data files that lie in the folder of a loaded package (CSV, JSON and so on) are part of the answer.

    Parameters
    ----------
    chapter_source : str
        The chapter in percent format.
    root : Path
        The folder that holds the package's folder.
    package : str
        The package to follow; other packages are pinned by the lock.

    Returns
    -------
    list of Path
        Sorted; every ``.py`` file and data file once.
    """
    code = without_magics("\n".join(cell.code for cell in code_cells(chapter_source)))
    walk = _Walk(root, package)
    walk.follow(ast.parse(code), module="", is_package=False)
    return sorted(walk.files)


class _Walk:
    """The set of files found so far, and the steps from one module to those it names."""

    def __init__(self, root: Path, package: str):
        self.root, self.package = root, package
        self.files: set[Path] = set()
        self._strings_read: set[str] = set()

    def follow(self, tree: ast.AST, module: str, is_package: bool) -> None:
        """Add everything that one syntax tree imports."""
        for name, attributes in _imports(tree, module, is_package):
            if self._add_with_parents(name):
                for attribute in attributes:
                    self._add_attribute(name, attribute)
        if module and not is_package:
            self._add_strings(tree, module.rpartition(".")[0])

    def _add_with_parents(self, name: str) -> bool:
        """Add a module and its parent packages; False when the package has no such module."""
        if name.split(".")[0] != self.package or self._path(name) is None:
            return False
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            self._add(".".join(parts[:depth]))
        return True

    def _add(self, name: str) -> None:
        path = self._path(name)
        if path is None or path in self.files:
            return
        self.files.add(path)
        is_package = path.name == "__init__.py"
        if is_package:
            self.files.update(_data_files(path.parent))
        self.follow(_tree(path), name, is_package)

    def _add_attribute(self, name: str, attribute: str) -> None:
        """Follow one name taken from a module: a submodule, or something that may import by name."""
        path = self._path(name)
        if self._add_with_parents(f"{name}.{attribute}") or path.name != "__init__.py":
            return
        tree = _tree(path)
        if name not in self._strings_read and attribute not in _plain_names(tree):
            self._strings_read.add(name)
            self._add_strings(tree, name)

    def _add_strings(self, tree: ast.AST, package: str) -> None:
        """Add each module that a string names, in a file that imports by name."""
        if not _imports_by_name(tree):
            return
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text.replace(".", "").isidentifier():
                self._add_with_parents(text) or self._add_with_parents(f"{package}.{text.lstrip('.')}")

    def _path(self, name: str) -> Path | None:
        base = self.root.joinpath(*name.split("."))
        candidates = (base / "__init__.py", base.with_name(base.name + ".py"))
        return next((path for path in candidates if path.is_file()), None)


def _imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield each imported module's absolute name with the names taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, _attributes_of(tree, alias.asname or alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield _absolute(node, module, is_package), [alias.name for alias in node.names]


def _attributes_of(tree: ast.AST, dotted: str) -> list[str]:
    """Return the names that the code takes from an imported module, as in ``medssl.pretrain``."""
    accessed = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return [node.attr for node in accessed if ast.unparse(node.value) == dotted]


def _imports_by_name(tree: ast.AST) -> bool:
    words = {getattr(node, "id", None) or getattr(node, "attr", None) for node in ast.walk(tree)}
    return bool(words & {"import_module", "__import__"})


def _plain_names(tree: ast.Module) -> set[str]:
    """Return the names that a module binds by import or assignment, not by def or class."""
    found = {alias.asname or alias.name for node in tree.body for alias in getattr(node, "names", [])}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parent = parts[: len(parts) - node.level + is_package]
    return ".".join([*parent, *([node.module] if node.module else [])])


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _data_files(folder: Path) -> Iterator[Path]:
    """Yield a package's own files but source; subfolders count unless they are packages or private."""
    for path in folder.iterdir():
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir() and not (path / "__init__.py").exists() and not list(path.glob("*.py")):
            yield from _data_files(path)
        elif path.is_file() and path.suffix not in {".py", ".pyc"}:
            yield path
