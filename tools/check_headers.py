#!/usr/bin/python3
"""Every header compiles by itself. Usage: tools/check_headers.py [--compiler g++] [--root ROOT]

A header that some .cpp includes before anything else is proven by the build already; only the others are
compiled here (syntax only), two at a time.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import source_text  # noqa: E402

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', re.MULTILINE)


def unproven_headers(root):
    """Headers under src/ that no .cpp includes first."""
    src = pathlib.Path(root) / "src"
    headers, proven = [], set()
    for path in source_text.our_files(root, source_text.CPP_SUFFIXES):
        if src not in path.parents:
            continue
        if path.suffix == ".hpp":
            headers.append(path)
        elif path.suffix == ".cpp":
            first = INCLUDE.search(path.read_text(encoding="utf-8"))
            if first:
                proven.add(first.group(1))
    return [path for path in headers if path.relative_to(src).as_posix() not in proven]


def compile_alone(compiler, root, header):
    """The compiler's complaint, or an empty string."""
    name = header.relative_to(pathlib.Path(root) / "src").as_posix()
    command = [compiler, "-std=c++23", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
               "-D_GLIBCXX_ASSERTIONS", "-I", str(pathlib.Path(root) / "src"), "-x", "c++", "-"]
    done = subprocess.run(command, input=f'#include "{name}"\n', capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parent.parent)
    options = parser.parse_args(arguments)
    headers = unproven_headers(options.root)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = list(pool.map(lambda h: compile_alone(options.compiler, options.root, h), headers))
    for header, complaint in zip(headers, complaints):
        if complaint:
            print(f"{header}: does not compile by itself\n{complaint}")
    return 1 if any(complaints) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
