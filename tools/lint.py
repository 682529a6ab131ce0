#!/usr/bin/python3
"""Our style rules that a program can check. Usage: tools/lint.py [ROOT]

Prints "FILE:LINE: [RULE] message" per finding, exit status 1 if there is any. A finding that is right
as it is goes into tools/lint_exceptions.txt with its reason.
"""

import ast
import fnmatch
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import source_text  # noqa: E402

LINE_COLUMNS_MAX = 120
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500

# (pattern, replacement, folders where it is allowed). Applies to src/ and fuzz/.
BANNED = [
    (r"\b(strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets)\s*\(", "std::string, fmt or snprintf", ()),
    (r"\b(atoi|atol|atoll|atof|strtol|strtoul|strtoll|strtoull|strtod)\s*\(", "std::from_chars", ()),
    (r"\bstd::sto(i|l|ll|ul|ull|f|d|ld)\s*\(", "std::from_chars (it cannot throw)", ()),
    (r"(?<![\w.>])(?:std::|::)?(system|popen)\s*\(", "posix_spawn with an argument vector", ()),
    (r"(?<![\w.>:])(?:std::|::)?signal\s*\(\s*SIG", "sigaction or signalfd", ()),
    (r"(?<![\w_.>])assert\s*\(", "SEGUE_ASSERT, which stays on in release", ()),
    (r"\bstd::endl\b", "'\\n'", ()),
    (r"\bstd::regex\b", "a hand-written parser", ()),
    (r"\bstd::async\b|\.detach\s*\(\s*\)", "the event loop, or a joined thread", ()),
    (r"\b(setjmp|longjmp|alloca)\s*\(", "nothing", ()),
    (r"(?<![\w.>])(?:std::)?s?rand\s*\(", "a seeded generator passed in", ()),
    (r"(?<![\w.>:])(?:::)?(sleep|usleep)\s*\(", "Loop::at", ()),
    (r"\bthrow\b", "return fail(ErrorKind, ...)", ("src/app/",)),
    (r"\bstd::(cout|cerr|clog)\b", "fmt::print in app/, Result elsewhere", ("src/app/",)),
]
BANNED = [(re.compile(pattern), replacement, places) for pattern, replacement, places in BANNED]

COROUTINE = re.compile(r"\bco_(await|return|yield)\b")
LEFT_OVER = re.compile(r"\b(FIXME|TODO|XXX)\b")
PLACE = re.compile(
    r"(?<![\w.])/work/"
    r"|\b(?:pypi\.org|files\.pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|crates\.io"
    r"|proxy\.golang\.org|docker\.io|ghcr\.io|quay\.io|gcr\.io|(?:deb|ftp|security)\.debian\.org)\b"
    r"|\bhttps?://(?:[\w-]*(?:artifactory|nexus|mirror|registry|proxy)[\w-]*)[\w.-]*(?::\d+)?/")
LINK = re.compile(r"!?\[[^\]\n]*\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")


def check_banned(name, code):
    for pattern, replacement, places in BANNED:
        if name.startswith(tuple(places)) and places:
            continue
        for match in pattern.finditer(code):
            word = match.group(0).strip().rstrip("(").strip()
            yield source_text.line_of(code, match.start()), "banned", f"{word}: use {replacement}"


def check_coroutines(name, code):
    if not name.startswith(("src/io/", "src/app/")):
        for match in COROUTINE.finditer(code):
            yield (source_text.line_of(code, match.start()), "coroutine",
                   f"{match.group(0)} outside src/io and src/app (g++ 12 destroys temporaries twice)")


def check_header(name, text):
    opening = [line for line in text.splitlines()[:8] if line.strip()]
    if "#pragma once" not in opening[:2]:
        yield 1, "pragma-once", "a header opens with #pragma once"
    if not any(line.startswith("/// \\file") for line in opening[:3]):
        yield 1, "file-comment", "a header opens with `/// \\file` and what it is for"


def _is_function_head(head):
    if ")" not in head or re.search(r"=\s*$", head):
        return False
    return not re.match(r"\s*(?:template\s*<[^{]*>\s*)?(?:namespace|struct|class|enum|union)\b", head)


def cpp_functions(code):
    """Yields (first line, last line) of function bodies, approximately: by counting braces."""
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda match: "\n" * match.group(0).count("\n"), code,
                  flags=re.MULTILINE)
    stack, head, head_line, line = [], "", 1, 1
    for character in code:
        if character == "\n":
            line += 1
        if character == "{":
            inside = any(kind == "function" for kind, _, _ in stack)
            is_value = head[-1:].isalnum() or head[-1:] in ("_", ">") or re.search(r"[=(,]\s*$", head)
            if is_value and not re.search(r"\b(else|do|try|const|noexcept|override|final)$", head):
                stack.append(("value", head, head_line))
            elif not inside and _is_function_head(head):
                stack.append(("function", "", head_line))
            else:
                stack.append(("other", "", head_line))
            head = ""
        elif character == "}":
            kind, saved, first = stack.pop() if stack else ("other", "", line)
            if kind == "function":
                yield first, line
            head, head_line = (saved + "{}", first) if kind == "value" else ("", line)
        elif character == ";":
            head = ""
        else:
            if not head.strip():
                head, head_line = "", line
            head += character


def check_lengths(name, text, code):
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > LINE_COLUMNS_MAX and "://" not in line:
            yield number, "line-length", f"{len(line)} columns, at most {LINE_COLUMNS_MAX}"
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield lines, "file-length", f"{lines} lines, at most {FILE_LINES_MAX}"
    if code is not None:
        spans = cpp_functions(code)
    elif name.endswith(".py") or text.startswith("#!/usr/bin/python3"):
        try:
            nodes = ast.walk(ast.parse(text))
        except SyntaxError as error:
            yield error.lineno or 1, "syntax", str(error)
            return
        spans = [(node.lineno, node.end_lineno) for node in nodes
                 if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    else:
        spans = []
    for first, last in spans:
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield (first, "function-length",
                   f"function of {last - first + 1} lines, at most {FUNCTION_LINES_MAX}")


def check_words(text):
    for pattern, rule, message in ((LEFT_OVER, "todo", "left over"),
                                   (PLACE, "place", "a place that only one site has")):
        for match in pattern.finditer(text):
            yield source_text.line_of(text, match.start()), rule, f"{match.group(0)}: {message}"


def check_links(root, path, text):
    text = re.sub(r"^```.*?^```", lambda match: "\n" * match.group(0).count("\n"), text,
                  flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    for match in LINK.finditer(text):
        target = match.group(1).split("#", 1)[0]
        if not target or re.match(r"[a-z][a-z+.-]*:", target):
            continue
        base = root if target.startswith("/") else path.parent
        if not (base / target.lstrip("/")).exists():
            yield source_text.line_of(text, match.start()), "link", f"{target} does not exist"


def check_file(root, path):
    name = path.relative_to(root).as_posix()
    text = source_text.read_text(path)
    if text is None or name == "LICENSE":
        return
    yield from check_words(text)
    is_cpp = path.suffix in source_text.CPP_SUFFIXES
    code = source_text.code_only(text) if is_cpp else None
    is_script = path.suffix in (".py", ".sh", ".cmake") or text.startswith("#!")
    if is_cpp or is_script or path.name == "CMakeLists.txt":
        yield from check_lengths(name, text, code)
    if path.suffix == ".md":
        yield from check_links(root, path, text)
    if is_cpp:
        yield from check_coroutines(name, code)
        if path.suffix in (".hpp", ".h"):
            yield from check_header(name, text)
        if name.startswith(("src/", "fuzz/")):
            yield from check_banned(name, code)


def read_exceptions(root):
    path = root / "tools" / "lint_exceptions.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(line.split("#", 1)[0].split()) for line in lines if line.split("#", 1)[0].strip()]


def check_tree(root):
    root = pathlib.Path(root).resolve()
    exceptions = read_exceptions(root)
    problems = []
    for path in source_text.our_files(root):
        name = path.relative_to(root).as_posix()
        for line, rule, message in check_file(root, path):
            if not any(rule == r and fnmatch.fnmatch(name, glob) for r, glob in exceptions):
                problems.append(f"{name}:{line}: [{rule}] {message}")
    return problems


def main(arguments):
    root = arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent
    problems = check_tree(root)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
