#!/usr/bin/python3
"""Plants a header that leans on its includer and sees it found."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_headers  # noqa: E402


class CheckHeaders(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.root = pathlib.Path(self.directory.name)
        (self.root / "src" / "a").mkdir(parents=True)

    def plant(self, name, text):
        path = self.root / "src" / "a" / name
        path.write_text(text)
        return path

    def test_a_header_that_leans_on_its_includer_is_found(self):
        bad = self.plant("bad.hpp", "#pragma once\ninline std::size_t f() { return 0; }\n")
        good = self.plant("good.hpp",
                          "#pragma once\n#include <cstddef>\ninline std::size_t f() { return 0; }\n")
        self.assertIn("bad.hpp", check_headers.compile_alone("g++", self.root, bad))
        self.assertEqual(check_headers.compile_alone("g++", self.root, good), "")
        self.assertEqual(check_headers.unproven_headers(self.root), [bad, good])

    def test_a_header_that_a_source_includes_first_is_proven_by_the_build(self):
        self.plant("x.hpp", "#pragma once\n")
        second = self.plant("y.hpp", "#pragma once\n")
        self.plant("x.cpp", '// text\n#include "a/x.hpp"\n#include "a/y.hpp"\n')
        self.assertEqual(check_headers.unproven_headers(self.root), [second])


if __name__ == "__main__":
    unittest.main()
