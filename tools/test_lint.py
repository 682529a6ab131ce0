#!/usr/bin/python3
"""Plants violations of the style rules and sees them found."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lint  # noqa: E402
import source_text  # noqa: E402

HEADER = "#pragma once\n/// \\file  What it is for.\n"


class Lint(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.root = pathlib.Path(self.directory.name)

    def plant(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def rules(self):
        return [problem.split("[", 1)[1].split("]", 1)[0] for problem in lint.check_tree(self.root)]

    def found(self, name, text):
        self.plant(name, text)
        rules = self.rules()
        (self.root / name).unlink()
        return rules

    def test_a_clean_tree_is_clean(self):
        self.plant("src/base/a.hpp", HEADER + "int f();\n")
        self.plant("src/base/a.cpp", '#include "base/a.hpp"\n\nint f() {\n    return 1;\n}\n')
        self.plant("README.md", "[a](src/base/a.hpp) [b](https://example.org) [c](#here) `[d](nowhere)`\n")
        self.assertEqual(lint.check_tree(self.root), [])
        self.assertEqual(lint.main([self.directory.name]), 0)

    def test_banned_calls_are_found_and_name_the_replacement(self):
        for text in ("int x = atoi(s);", "int x = std::stoi(s);", "std::strcpy(a, b);", "system(s);",
                     "signal(SIGTERM, f);", "assert(x);", "out << std::endl;", "std::regex r;",
                     "t.detach();", "int r = rand();", "sleep(1);", "throw 1;", 'std::cout << "x";'):
            self.assertEqual(self.found("src/io/a.cpp", text + "\n"), ["banned"], text)
        self.plant("src/io/a.cpp", "\nint x = atoi(s);\n")
        self.assertEqual(lint.check_tree(self.root),
                         ["src/io/a.cpp:2: [banned] atoi: use std::from_chars"])

    def test_what_only_looks_banned_passes(self):
        for text in ("SEGUE_ASSERT(x);", "static_assert(x);", "file_system(x);", "// throw", 's = "throw";',
                     "x.system(1);", "snprintf(b, n, f);", "on_signal(SIGTERM);"):
            self.assertEqual(self.found("src/io/a.cpp", text + "\n"), [], text)
        self.assertEqual(self.found("src/app/segue/a.cpp", "throw 1;\n"), [])

    def test_coroutines_stay_in_io_and_app(self):
        text = "    co_await x;\n"
        self.assertEqual(self.found("src/migration/a.cpp", text), ["coroutine"])
        self.assertEqual(self.found("src/io/a.cpp", text), [])

    def test_left_over_words_are_found(self):
        for word in ("FIXME", "TODO", "XXX"):
            self.assertEqual(self.found("docs/a.md", f"{word}: later\n"), ["todo"])
        self.assertEqual(self.found("a.sh", "mktemp /tmp/XXXXXX\n"), [])

    def test_long_lines_and_files_are_found(self):
        self.assertEqual(self.found("src/io/a.cpp", "int " + "x" * 117 + ";\n"), ["line-length"])
        self.assertEqual(self.found("src/io/a.cpp", "int " + "x" * 115 + ";\n"), [])
        self.assertEqual(self.found("tool", "#!/bin/sh\n" + "x" * 121 + "\n"), ["line-length"])
        self.assertEqual(self.found("src/io/a.cpp", "int x;\n" * 501), ["file-length"])
        self.assertEqual(self.found("src/io/a.cpp", "int x;\n" * 500), [])

    def test_long_functions_are_found(self):
        def body(lines):
            return "    if (x) { y(); }\n" * (lines - 2)

        for head in ("void f() {\n", "Foo::Foo(int a) : a_{a}, b_(1) {\n", "TEST(A, b) {\n",
                     "auto Foo::g() const noexcept -> int {\n", "template <class T>\nT f(T a = {}) {\n"):
            lines = 70 - head.count("\n") + 1
            inside = "namespace n {\nstruct S { int x = 0; };\n" + head + body(lines) + "}\n}\n"
            self.assertEqual(self.found("src/io/a.cpp", inside), [], head)
            inside = "namespace n {\nstruct S { int x = 0; };\n" + head + body(lines + 1) + "}\n}\n"
            self.assertEqual(self.found("src/io/a.cpp", inside), ["function-length"], head)
        self.assertEqual(self.found("a.py", "def f():\n" + "    pass\n" * 70), ["function-length"])
        self.assertEqual(self.found("a.py", "def f():\n" + "    pass\n" * 69), [])

    def test_two_short_functions_are_not_one_long_one(self):
        short = "int f() {\n" + "    y();\n" * 60 + "}\n"
        self.assertEqual(self.found("src/io/a.cpp", short + short), [])
        self.assertEqual(self.found("src/io/a.hpp", HEADER + "class A {\n" + short + short + "};\n"), [])

    def test_headers_say_what_they_are(self):
        self.assertEqual(self.found("src/io/a.hpp", "/// \\file  What.\n#pragma once\n"), [])
        self.assertEqual(self.found("src/io/a.hpp", "/// \\file  What.\n"), ["pragma-once"])
        self.assertEqual(self.found("src/io/a.hpp", "#pragma once\nint x;\n"), ["file-comment"])

    def test_places_of_one_site_are_found(self):
        for text in ("cd /work/main", "https://pypi.org/simple", "http://mirror.corp:8080/debian",
                     "deb http://deb.debian.org/debian bookworm main", "ghcr.io/a/b"):
            self.assertEqual(self.found("a.txt", text + "\n"), ["place"], text)
        for text in ("docs/work/plan", "https://example.org/mirror/", "build/work"):
            self.assertEqual(self.found("a.txt", text + "\n"), [], text)

    def test_links_to_nowhere_are_found(self):
        self.plant("docs/b.md", "x\n")
        self.assertEqual(self.found("docs/a.md", "[b](b.md#part) [c](../docs/b.md) ![d](/docs/b.md)\n"), [])
        self.assertEqual(self.found("docs/a.md", "[b](c.md)\n"), ["link"])
        self.assertEqual(self.found("docs/a.md", "```\n[b](c.md)\n```\n"), [])

    def test_an_exception_is_for_one_rule_in_one_place(self):
        self.plant("tools/lint_exceptions.txt", "# comment\ntodo docs/*  # a reason\n")
        self.assertEqual(self.found("docs/a.md", "TODO\n"), [])
        self.assertEqual(self.found("a.md", "TODO\n"), ["todo"])
        self.assertEqual(self.found("docs/a.md", "[b](c.md)\n"), ["link"])


class CodeOnly(unittest.TestCase):
    def test_comments_and_literals_go_and_lines_stay(self):
        text = 'a("x // y"); // c\n/* d\n e */ b(\'"\', 1\'000, R"(f " g\n)");\n'
        self.assertEqual(source_text.code_only(text),
                         'a("");  \n \n b(\'\', 1\'000, ""\n);\n')

    def test_includes_keep_their_names(self):
        self.assertEqual(source_text.code_only('#include "a/b.hpp" // c\n'), '#include "a/b.hpp"  \n')


if __name__ == "__main__":
    unittest.main()
