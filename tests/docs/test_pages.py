"""What the pages say of the source tree against the source tree."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from giftless import interfaces
from giftless.app.plugins import KINDS
from tests.docs.pages import DOCS, ROOT, code, directives, pages
from tests.test_architecture import LAYERS

PACKAGE = ROOT / "giftless"


class SourceTests(SynchronousTestCase):
    """The pages name what is there."""

    def test_every_named_file_exists(self) -> None:
        """Every file of the checkout that a page names exists."""
        names = re.compile(
            r"``((?:etc|giftless|systemd|examples|docs|tests|twisted/plugins)/[\w./-]+\w)``"
            r"|<((?:docs/)?[\w-]+(?<!_)(?:\.rst|\.yaml)?)>`_"
        )
        found = {
            (page.name, one or other)
            for page in (*pages(), ROOT / "CONTRIBUTING.rst", ROOT / "SECURITY.rst")
            for one, other in names.findall(page.read_text())
            if not one.startswith("docs/_build")
        }
        self.assertGreater(len(found), 5)
        missing = [(page, name) for page, name in found if not (ROOT / name).exists()]
        self.assertEqual(missing, [])

    def test_every_interface_is_in_the_reference(self) -> None:
        """Every public class of ``giftless.interfaces`` is in the reference."""
        public = {
            f"{interfaces.__name__}.{name}"
            for name, value in vars(interfaces).items()
            if getattr(value, "__module__", "").startswith(f"{interfaces.__name__}.")
        }
        shown = {entry.argument for entry in directives(DOCS / "interfaces.rst", "from-source")}
        self.assertGreater(len(public), 10)
        self.assertEqual(public - shown, set())

    def test_every_package_is_on_the_architecture_page(self) -> None:
        """Every module and package at the top is on the page about architecture."""
        page = (DOCS / "architecture.rst").read_text()
        parts = [
            path.stem
            for path in PACKAGE.iterdir()
            if not path.name.startswith("__") and (path.suffix == ".py" or path.is_dir())
        ]
        missing = [part for part in parts if f"``{part}``" not in page]
        self.assertEqual(missing, [])

    def test_the_documented_layers_are_the_tested_ones(self) -> None:
        """The layers on the page are those that imports are held to, from the top down."""
        (drawing,) = code(DOCS / "architecture.rst", "text")
        layers = [set(line.partition("  ")[0].split()) for line in drawing.content.splitlines()]
        self.assertEqual(layers, list(reversed(LAYERS)))

    def test_contributors_are_told_the_tested_layers(self) -> None:
        """``CONTRIBUTING.rst`` has them in the same order, each with what it is for."""
        text = (ROOT / "CONTRIBUTING.rst").read_text()
        listed = text.partition("From the top:")[2].partition("\n\nTests lie")[0]
        layers = [set(re.findall(r"``(\w+)``", item)) for item in re.split(r"\n\d+\. ", listed)[1:]]
        self.assertEqual(layers, list(reversed(LAYERS)))

    def test_every_kind_of_plugin_is_explained(self) -> None:
        """To plugin authors and to contributors; the models that the latter get exist."""
        kinds = {interface.__name__ for interface in KINDS}
        page = (DOCS / "plugins.rst").read_text()
        shown = re.findall(r"^:class:`~giftless\.interfaces\.(I\w+Factory)`  ", page, re.M)
        self.assertEqual(set(shown), kinds)
        text = (ROOT / "CONTRIBUTING.rst").read_text()
        row = re.compile(r"^   \S[\w ]+  ``(I\w+Factory)`` +``(giftless/[\w/]+)``: (.+)$", re.M)
        rows = row.findall(text)
        self.assertEqual({interface for interface, _, _ in rows}, kinds)
        for _, folder, models in rows:
            for model in re.findall(r"``(\w+)``", models):
                path = ROOT / folder / model
                self.assertTrue(path.is_dir() or path.with_suffix(".py").is_file(), path)

    def test_modules_on_the_picture(self) -> None:
        """Every module that the picture of a push names exists."""
        picture = (DOCS / "push.svg").read_text()
        named = re.findall(r'class="(?:name|second)"[^>]*>([a-z]+(?:\.[a-z]+)*)<', picture)
        self.assertGreater(len(named), 10)
        for name in named:
            path = PACKAGE.joinpath(*name.split("."))
            self.assertTrue(path.with_suffix(".py").exists() or path.is_dir(), name)

    def test_every_module_on_the_architecture_page_exists(self) -> None:
        """Dotted names are modules or packages; paths are files or folders."""
        page = (DOCS / "architecture.rst").read_text()
        parts = {path.stem for path in PACKAGE.iterdir()}
        dotted = [
            name
            for name in re.findall(r"``([a-z_]+(?:\.[a-z_0-9]+)+)``", page)
            if name.partition(".")[0] in parts
        ]
        self.assertGreater(len(dotted), 30)
        modules = [PACKAGE.joinpath(*name.split(".")) for name in dotted]
        paths = [
            ROOT / name
            for name in re.findall(r"``((?:giftless|tests|docs|twisted)/[\w./-]+)``", page)
        ]
        self.assertGreater(len(paths), 30)
        missing = [
            str(path)
            for path in (*modules, *paths)
            if not path.exists() and not path.with_suffix(".py").exists()
        ]
        self.assertEqual(missing, [])

    def test_the_architecture_page_answers_where_things_are(self) -> None:
        page = (DOCS / "architecture.rst").read_text()
        rows = re.findall(r"^\S.* {2,}``giftless/[\w/]+\.py``$", page, re.MULTILINE)
        self.assertGreaterEqual(len(rows), 15)
