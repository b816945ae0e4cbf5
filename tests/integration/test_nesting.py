"""Parts around other parts, in a daemon."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.app import nesting
from tests.integration.locking import check
from tests.integration.support import IntegrationTestCase, oid_of
from tests.support.processes import ENDED


class NestingTests(IntegrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = self.directory / "plugins"
        self.folder.mkdir()
        shutil.copy(nesting.__file__, self.folder / "gt_nesting.py")

    def config(self, inner: dict[str, Any]) -> dict[str, Any]:
        """Describe a daemon with nested parts of three kinds."""
        return {
            "plugin_path": [str(self.folder)],
            "storage": {
                "type": "gt-wrapper",
                "label": "outer",
                "store": {"type": "gt-wrapper", "label": "inner", "store": inner},
            },
            "auth": [
                {"type": "gt-either", "either": [{"type": "anonymous", "access": "read-write"}]}
            ],
            "locks": {"type": "gt-wrapper", "store": {"type": "sqlite"}, "page_size": 10},
        }

    def test_objects_go_through_the_wrappers(self) -> None:
        objects = self.directory / "objects"
        daemon = self.start_daemon(config=self.config({"type": "local", "path": str(objects)}))
        self.assertEqual(daemon.put(b"wrapped"), 200)
        self.assertEqual(daemon.get(oid_of(b"wrapped")).body, b"wrapped")
        self.assertTrue([path for path in objects.rglob("*") if path.name == oid_of(b"wrapped")])
        self.assertEqual(daemon.stop(), ENDED)
        order = [word for word in daemon.stdout.split() if word in ("starts", "stops")]
        self.assertEqual(order, ["starts", "starts", "stops", "stops"])
        self.assertLess(daemon.stdout.index("inner starts"), daemon.stdout.index("outer starts"))

    def test_check_reaches_what_is_nested(self) -> None:
        daemon = self.make_daemon(config=self.config({"type": "gt-signing", "bucket": "b"}))
        result = check(daemon)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        daemon.environ = {"GIFTLESS_STORAGE__STORE__STORE__BUCKET": "unreachable"}
        result = check(daemon)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(
            result.stderr,
            "giftless: environment GIFTLESS_STORAGE__STORE__STORE__BUCKET:"
            " storage.store.store.bucket: found 'unreachable', which nobody can reach\n",
        )
        daemon.environ = {"GIFTLESS_STORAGE__STORE__STORE__PART_SIZE": "x"}
        self.assertIn(
            "GIFTLESS_STORAGE__STORE__STORE__PART_SIZE: storage.store.store.part_size: found text",
            check(daemon).stderr,
        )

    def test_check_names_plugins_that_nobody_chose_and_that_are_broken(self) -> None:
        (self.folder / "broken_file.py").write_text("import a_module_that_nobody_has\n")
        (self.folder / "broken_plugin.py").write_text(
            "from giftless.app.plugins import LazyPlugin\n"
            "from giftless.interfaces import IStorageFactory\n"
            "lazy = LazyPlugin(IStorageFactory, 'gt-lazy', 'giftless.errors.NoSuchThing')\n"
        )
        daemon = self.make_daemon(config=self.config({"type": "gt-signing", "bucket": "b"}))
        result = check(daemon)
        self.assertEqual(result.returncode, 0)
        self.assertIn("the configuration is fine", result.stdout)
        path = Path(self.folder, "broken_file.py")
        self.assertTrue(
            result.stderr.endswith(
                f"\ngiftless: plugin file {path} could not be imported and is left out\n"
                "giftless: plugin 'gt-lazy' cannot be used:"
                " there is no giftless.errors.NoSuchThing\n"
            ),
            result.stderr,
        )
        self.assertIn("No module named 'a_module_that_nobody_has'", result.stderr)
