#!/usr/bin/python3
"""Plants violations of the include laws and sees them found."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_layers  # noqa: E402


def messages(name, text):
    return [message for _, message in check_layers.check_file(name, text)]


class CheckLayers(unittest.TestCase):
    def assert_clean(self, name, text):
        self.assertEqual(messages(name, text), [])

    def assert_one(self, name, text, part):
        found = messages(name, text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(part, found[0])

    def test_an_arrow_and_what_is_behind_it_may_be_included(self):
        self.assert_clean("policy/a.cpp", '#include "model/x.hpp"\n#include "base/result.hpp"\n')
        self.assert_clean("hypervisor/qemu/a.cpp", '#include "io/loop.hpp"\n#include "model/x.hpp"\n')
        self.assert_clean("app/sim/a.cpp", '#include "hypervisor/sim/world.hpp"\n')

    def test_an_arrow_against_the_laws_is_found(self):
        self.assert_one("model/a.cpp", '#include "policy/x.hpp"\n', "model must not include policy")
        self.assert_one("migration/a.cpp", '#include "hypervisor/qemu/x.hpp"\n', "must not include")
        self.assert_one("policy/a.hpp", '#include "hypervisor/port.hpp"\n', "must not include")
        self.assert_one("hypervisor/qemu/a.cpp", '#include "policy/x.hpp"\n', "must not include")
        self.assert_one("app/guard/a.cpp", '#include "migration/x.hpp"\n', "must not include")
        self.assert_one("app/sim/a.cpp", '#include "app/segue/words/x.hpp"\n', "must not include")

    def test_what_executes_does_not_include_the_command_line(self):
        for folder in check_layers.SEGUE_FOLDERS:
            if folder != "cli":
                self.assert_one(f"app/segue/{folder}/a.cpp", '#include "app/segue/cli/cli.hpp"\n',
                                "must not include app/segue/cli")
        self.assert_one("app/segue/vm/a.cpp", '#include "app/segue/receive/x.hpp"\n', "must not include")
        self.assert_one("app/segue/cli/a.cpp", '#include "app/segue/move/x.hpp"\n', "must not include")
        self.assert_clean("app/segue/recover/a.cpp", '#include "app/segue/words/x.hpp"\n#include "io/loop.hpp"\n')
        self.assert_clean("app/segue/main.cpp", '#include "app/segue/cli/cli.hpp"\n#include "io/loop.hpp"\n')

    def test_no_arrow_of_the_table_leads_back(self):
        for folder, below in check_layers.ARROWS.items():
            for name in below:
                self.assertNotIn(folder, check_layers.allowed(name), f"{folder} -> {name}")

    def test_two_units_that_include_each_other_are_found(self):
        a = ("app/segue/vm/a.hpp", '#include "app/segue/vm/b.hpp"\n')
        b = ("app/segue/vm/b.cpp", '#include "app/segue/vm/b.hpp"\n#include "app/segue/words/c.hpp"\n')
        c = ("app/segue/words/c.hpp", '#include "app/segue/vm/a.hpp"\n')
        self.assertEqual(check_layers.check_circles([a, b]), [])
        self.assertEqual(check_layers.check_circles([a, b, ("app/segue/words/c_test.cpp", c[1])]), [])
        self.assertEqual(check_layers.check_circles([a, b, c]),
                         ["src/app/segue/vm/a: includes itself: app/segue/vm/a -> app/segue/vm/b -> "
                          "app/segue/words/c -> app/segue/vm/a"])

    def test_the_line_is_named(self):
        found = list(check_layers.check_file("units/a.cpp", '\n/* two\n lines */\n#include "io/fd.hpp"\n'))
        self.assertEqual(found[0][0], 4)

    def test_an_include_that_is_only_a_comment_does_not_count(self):
        self.assert_clean("model/a.cpp", '// #include "policy/x.hpp"\n/*\n#include <thread>\n*/\n')

    def test_a_folder_without_a_row_is_found(self):
        self.assert_one("frobnicate/a.cpp", "", "not in the table")
        self.assert_one("io/a.cpp", '#include "frobnicate/x.hpp"\n', "no folder frobnicate")
        self.assert_one("io/a.cpp", '#include "fd.hpp"\n', "by its path")

    def test_the_operating_system_is_out_of_sight_of_pure_folders(self):
        for header in ("thread", "mutex", "atomic", "fstream", "iostream", "unistd.h", "sys/socket.h",
                       "linux/tcp.h", "signal.h", "boost/asio/io_context.hpp", "boost/asio.hpp"):
            for name in ("model/a.cpp", "migration/a.hpp", "hypervisor/sim/a.cpp", "api/a.cpp"):
                self.assertEqual(len(messages(name, f"#include <{header}>\n")), 1, (name, header))
        self.assert_clean("model/a.cpp", "#include <vector>\n#include <chrono>\n#include <map>\n")
        self.assert_clean("hypervisor/qemu/connection.cpp", "#include <sys/socket.h>\n")

    def test_a_codec_is_pure_wherever_it_is(self):
        self.assert_one("hypervisor/qemu/codec.cpp", "#include <unistd.h>\n", "sees no OS")
        self.assert_one("store/file/record_codec.cpp", "#include <fstream>\n", "sees no OS")

    def test_only_guard_has_atomics_and_only_io_has_asio(self):
        self.assert_clean("guard/board.hpp", "#include <atomic>\n")
        self.assert_one("guard/board.hpp", "#include <thread>\n", "sees no OS")
        self.assert_clean("io/loop.cpp", "#include <boost/asio/io_context.hpp>\n")
        self.assert_one("hypervisor/qemu/a.cpp", "#include <boost/asio/ip/tcp.hpp>\n", "behind io/loop.hpp")

    def test_clocks_chance_and_environment_are_found(self):
        for text in ("auto t = std::chrono::steady_clock::now();", "auto t = system_clock :: now();",
                     "auto t = high_resolution_clock::now();", "clock_gettime(CLOCK_MONOTONIC, &t);",
                     "auto t = time(nullptr);", "auto t = std::time(0);", "int r = rand();",
                     "std::random_device d;", 'auto e = std::getenv("X");', "auto t = now_on_this_host();"):
            self.assertEqual(len(messages("policy/a.cpp", text)), 1, text)
            self.assertEqual(messages("io/a.cpp", text), [], text)

    def test_names_and_texts_that_only_look_alike_pass(self):
        for text in ("wall_time(0);", "x.time(0);", 'say("time(nullptr)");',
                     "int operand(int);", "my_getenv_like(1);", "std::chrono::steady_clock::time_point t;"):
            self.assert_clean("policy/a.cpp", text)

    def test_fault_points_are_for_programs_only(self):
        self.assert_clean("base/fault_point.hpp", '#include <csignal>\nauto e = std::getenv("X");\n')
        self.assert_clean("app/guard/a.cpp", '#include "base/fault_point.hpp"\n')
        self.assert_one("migration/a.cpp", '#include "base/fault_point.hpp"\n', "only app/*")
        self.assert_one("io/a.cpp", '#include "base/fault_point.hpp"\n', "only app/*")

    def test_a_test_may_do_more(self):
        self.assert_clean("migration/a_test.cpp", '#include "hypervisor/sim/world.hpp"\n#include <fstream>\n')
        self.assert_one("migration/a_test.cpp", '#include "io/loop.hpp"\n', "must not include")

    def test_a_tree_is_walked_and_build_is_not(self):
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            for name in ("src/base/a.cpp", "build/src/base/b.cpp"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text('#include "io/fd.hpp"\n')
            (root / ".gitignore").write_text("/build/\n")
            found = check_layers.check_tree(root)
            self.assertEqual(len(found), 1)
            self.assertTrue(found[0].startswith("src/base/a.cpp:1: "))
            with contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(check_layers.main([directory]), 1)


if __name__ == "__main__":
    unittest.main()
