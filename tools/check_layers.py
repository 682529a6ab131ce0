#!/usr/bin/python3
"""The include laws: which folder of src/ may include which, and which may see the operating system.

Usage: tools/check_layers.py [ROOT]. Prints one line per violation, exit status 1 if there is any.
A new folder under src/ needs a row in ARROWS (and a segue_folder() line in CMakeLists.txt); one under src/app/segue a
row in SEGUE_FOLDERS alone.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import source_text  # noqa: E402

# What a folder includes directly. What those include, it may include too; itself always.
ARROWS = {
    "base": [],
    "units": ["base"],
    "model": ["units"],
    "policy": ["model"],
    "policy/converge": ["policy"],
    "policy/external": ["policy"],
    "brake": ["units"],
    "brake/cgroup": ["brake", "io"],
    "io": ["units"],
    "guard": ["units"],
    "hypervisor": ["model"],
    "hypervisor/qemu": ["hypervisor", "io"],
    "hypervisor/sim": ["hypervisor", "channel", "guard", "model", "brake"],
    "channel": ["units"],
    "channel/tcp": ["channel", "io"],
    "migration": ["policy", "brake", "hypervisor", "channel", "guard", "store"],
    "recovery": ["migration", "store"],
    "receive": ["hypervisor", "store"],
    "store": ["model"],
    "store/file": ["store", "io"],
    "store/sqlite": ["store", "io"],
    "vm": ["units"],
    "settings": ["vm"],
    "api": ["migration", "policy/converge"],
    "app/guard": ["base", "units", "guard", "io"],
    "app/sim/study": ["policy/converge", "hypervisor/sim"],
}
LIBRARY = [name for name in ARROWS if not name.startswith("app/")]
ARROWS["app/sim"] = LIBRARY + ["app/sim/study"]

# The folders of the command, from what an operator asks to what is done. Beside these arrows each has the library.
SEGUE_FOLDERS = {
    "words": [],
    "process": ["words"],
    "output": ["words"],
    "host": ["words"],
    "destination": ["process", "host"],
    "vm": ["process"],
    "receive": ["vm", "output", "host"],
    "settings": ["vm"],
    "jobs": ["output"],
    "move": ["destination"],
    "replay": ["jobs"],
    "recover": ["move", "jobs", "vm"],
    "doctor": ["move", "settings"],
    "cli": ["vm"],
}
for folder_name, below in SEGUE_FOLDERS.items():
    ARROWS["app/segue/" + folder_name] = LIBRARY + ["app/segue/" + name for name in below]
# It plays a recorded move in the study's virtual time.
ARROWS["app/segue/replay"].append("app/sim/study")
# main.cpp alone: it puts everything together.
ARROWS["app/segue"] = ["app/segue/" + name for name in SEGUE_FOLDERS]

# Where no two units (a header with its source) may include each other, also not by way of others.
NO_CIRCLES = "app/segue/"

# A *_test.cpp (and *_test.hpp) may include these besides.
TEST_ARROWS = {"migration": ["hypervisor/sim"], "policy": ["hypervisor/sim"]}

# These folders, and every codec, see no OS, no clock, no thread.
PURE = {"base", "units", "model", "policy", "policy/converge", "policy/external", "brake", "guard", "hypervisor",
        "hypervisor/sim", "channel", "migration", "recovery", "receive", "store", "vm", "settings", "api",
        "app/sim/study"}
PURE_FILES = re.compile(r"(^|/)[a-z_]*codec\.(hpp|cpp)$")

# Empty in what ships; what a test build puts there stops the process. Only programs may contain it.
FAULT_POINT = "base/fault_point.hpp"

# The guard folder is the layout of memory shared by two processes: atomics are its trade.
MAY_USE_ATOMIC = {"guard"}

OS_HEADERS = re.compile(
    r"^(thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|stop_token"
    r"|fstream|iostream|filesystem|ctime|time\.h|csignal|signal\.h|unistd\.h|fcntl\.h|poll\.h"
    r"|pthread\.h|sched\.h|dlfcn\.h|netdb\.h|termios\.h|spawn\.h|sys/.*|netinet/.*|arpa/.*|net/.*"
    r"|linux/.*|boost/(asio|beast|filesystem|process|thread)([./].*)?)$")
ATOMIC = re.compile(r"^(atomic|stdatomic\.h)$")
ASIO = re.compile(r"^boost/(asio|beast)([./].*)?$")
MAY_USE_ASIO = {"io"}

IMPURE_CALLS = [
    (re.compile(r"\b(steady_clock|system_clock|high_resolution_clock|utc_clock)\s*::\s*now\b"),
     "a clock; take the time as an argument"),
    (re.compile(r"\b(clock_gettime|gettimeofday|now_on_this_host|nanosleep|usleep|sleep_(for|until))\s*\("),
     "a clock; take the time as an argument"),
    (re.compile(r"(?<![\w.>])(?:std\s*::\s*)?time\s*\(\s*(?:nullptr|NULL|0|&\w+)\s*\)"),
     "a clock; take the time as an argument"),
    (re.compile(r"(?<![\w.>])(?:std\s*::\s*)?s?rand(?:om)?(?:_r)?\s*\(|\brandom_device\b"),
     "chance; take a seeded generator as an argument"),
    (re.compile(r"\b(?:secure_)?getenv\s*\("), "the environment; take the setting as an argument"),
    (re.compile(r"\bstd\s*::\s*j?thread\b|\bthis_thread\b"), "a thread"),
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>\n]+)>|"([^"\n]+)")', re.MULTILINE)


def allowed(folder):
    """Every folder that `folder` may include."""
    seen, todo = {folder}, list(ARROWS[folder])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(ARROWS[name])
    return seen


def _check_include(name, folder, target, is_test):
    if "/" not in target:
        return f'include "{target}" by its path from src/'
    target_folder = target.rsplit("/", 1)[0]
    if target_folder not in ARROWS:
        return f"includes {target}: no folder {target_folder} in the table of tools/check_layers.py"
    if target == FAULT_POINT and not folder.startswith("app/"):
        return f"{folder} must not include {target}: only app/* is compiled a second time with fault points"
    permitted = allowed(folder)
    if is_test:
        for extra in TEST_ARROWS.get(folder, []):
            permitted = permitted | allowed(extra)
    if target_folder not in permitted:
        return f"{folder} must not include {target_folder} ({target})"
    return None


def _check_system_header(folder, header, pure):
    if ASIO.match(header) and folder not in MAY_USE_ASIO:
        return f"<{header}>: Asio stays behind io/loop.hpp"
    if pure and OS_HEADERS.match(header):
        return f"<{header}> in {folder}, which sees no OS, no clock, no thread"
    if pure and ATOMIC.match(header) and folder not in MAY_USE_ATOMIC:
        return f"<{header}> in {folder}, which sees no thread"
    return None


def check_file(name, text):
    """Violations of one file; name is relative to src/. Yields (line, message)."""
    folder = name.rsplit("/", 1)[0] if "/" in name else ""
    if folder not in ARROWS:
        yield 1, f"folder {folder or 'src'} is not in the table of tools/check_layers.py"
        return
    is_test = re.search(r"_test\.(cpp|hpp)$", name) is not None
    pure = (folder in PURE or PURE_FILES.search(name) is not None) and not is_test and name != FAULT_POINT
    code = source_text.code_only(text)
    for match in INCLUDE.finditer(code):
        system, own = match.groups()
        if own is not None:
            message = _check_include(name, folder, own, is_test)
        else:
            message = None if is_test else _check_system_header(folder, system, pure)
        if message:
            yield source_text.line_of(code, match.start()), message
    if pure:
        for pattern, what in IMPURE_CALLS:
            for match in pattern.finditer(code):
                yield source_text.line_of(code, match.start()), f"{match.group(0).strip()}: {what}"


def find_circle(includes):
    """One circle of `includes` (a unit, those that it includes) as a list that ends where it begins, or None."""
    done = set()

    def walk(unit, way):
        if unit in way:
            return way[way.index(unit):] + [unit]
        if unit in done:
            return None
        for other in sorted(includes.get(unit, ())):
            circle = walk(other, way + [unit])
            if circle:
                return circle
        done.add(unit)
        return None

    for unit in sorted(includes):
        circle = walk(unit, [])
        if circle:
            return circle
    return None


def check_circles(files):
    """Violations of NO_CIRCLES; `files` is name (relative to src/), text."""
    includes = {}
    for name, text in files:
        if not name.startswith(NO_CIRCLES) or re.search(r"_test\.(cpp|hpp)$", name):
            continue
        unit = name.rsplit(".", 1)[0]
        others = (match.group(2).rsplit(".", 1)[0] for match in INCLUDE.finditer(source_text.code_only(text))
                  if match.group(2))
        includes.setdefault(unit, set()).update(other for other in others if other != unit)
    circle = find_circle(includes)
    return [f"src/{circle[0]}: includes itself: {' -> '.join(circle)}"] if circle else []


def check_tree(root):
    src = pathlib.Path(root) / "src"
    problems = []
    files = []
    for path in source_text.our_files(root, source_text.CPP_SUFFIXES):
        if src not in path.parents:
            continue
        name = path.relative_to(src).as_posix()
        files.append((name, path.read_text(encoding="utf-8")))
    for name, text in files:
        for line, message in check_file(name, text):
            problems.append(f"src/{name}:{line}: {message}")
    return problems + check_circles(files)


def main(arguments):
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parent.parent
    problems = check_tree(root)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
