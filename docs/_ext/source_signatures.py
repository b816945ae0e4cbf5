"""A Sphinx directive for zope interfaces and the values that they speak of.

autodoc sees neither an interface's methods nor their annotations, because
``zope.interface`` keeps neither; so this reads the source.  Usage::

    .. from-source:: giftless.interfaces.IObjectStore

A class that ends in ``Interface`` or whose base begins with ``I`` is shown
with its methods and attributes, any other with its fields as a signature.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class FromSource(SphinxDirective):
    """``.. from-source:: dotted.name.of.a.class``."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """Turn the class's source into what the Python domain understands."""
        module, _, name = self.arguments[0].rpartition(".")
        classes = _classes(module)
        if name not in classes:
            raise self.error(f"there is no class {name} in {module}")
        return self.parse_text_to_nodes("\n".join(_describe(module, classes[name])))


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """Return the classes of a module; those of a package's modules, if it is one."""
    found = importlib.import_module(module)
    below = pkgutil.iter_modules(getattr(found, "__path__", ()), f"{module}.")
    sources = [found, *(importlib.import_module(name) for _, name, _ in below)]
    trees = [ast.parse(inspect.getsource(source)) for source in sources]
    return {
        node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)
    }


def _describe(module: str, node: ast.ClassDef) -> Iterator[str]:
    bases = [ast.unparse(base) for base in node.bases]
    interface = any(base.startswith("I") for base in bases)
    fields = [member for member in node.body if isinstance(member, ast.AnnAssign)]
    yield f".. py:class:: {node.name}{'' if interface else _fields(fields)}"
    yield f"   :module: {module}"
    yield "   :no-contents-entry:"
    yield ""
    known = [base for base in bases if base in _classes(module)]
    if known:
        names = ", ".join(f":py:class:`~{module}.{base}`" for base in known)
        yield f"   Extends {names}."
        yield ""
    yield from _documentation(node)
    for member in node.body:
        if isinstance(member, _Function):
            yield from _method(member)
        elif interface and isinstance(member, ast.AnnAssign):
            yield from _attribute(member)


def _fields(fields: list[ast.AnnAssign]) -> str:
    return f"({', '.join(ast.unparse(field) for field in fields)})"


def _method(node: _Function) -> Iterator[str]:
    if node.name.startswith("_"):
        return
    arguments = ast.unparse(node.args).removeprefix("self").removeprefix(", ")
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if "property" in decorators:
        yield f"   .. py:property:: {node.name}"
        yield f"      :type: {returns.removeprefix(' -> ')}"
    else:
        yield f"   .. py:method:: {node.name}({arguments}){returns}"
    yield "      :no-contents-entry:"
    yield ""
    yield from _documentation(node, "   ")


def _attribute(node: ast.AnnAssign) -> Iterator[str]:
    yield f"   .. py:attribute:: {ast.unparse(node.target)}"
    yield f"      :type: {ast.unparse(node.annotation)}"
    yield "      :no-contents-entry:"
    yield ""
    if isinstance(node.value, ast.Call):
        yield f"      {ast.literal_eval(node.value.args[0])}"
        yield ""


def _documentation(node: ast.ClassDef | _Function, indent: str = "") -> Iterator[str]:
    for line in (ast.get_docstring(node) or "").splitlines():
        yield f"{indent}   {line}".rstrip()
    yield ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("from-source", FromSource)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
