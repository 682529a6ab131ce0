"""What the checks of this folder share: which files are ours, and C++ without comments and strings."""

import fnmatch
import pathlib
import re

CPP_SUFFIXES = {".cpp", ".hpp", ".h", ".cc"}

_TOKEN = re.compile(
    r'R"(?P<tag>[^\s()\\]{0,16})\((?:.|\n)*?\)(?P=tag)"'
    r'|//(?:\\\n|[^\n])*'
    r'|/\*(?:.|\n)*?\*/'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'",
    re.MULTILINE)


def _blank(match):
    text = match.group(0)
    newlines = "\n" * text.count("\n")
    if text.startswith(("//", "/*")):
        return " " + newlines
    return text[0] + text[-1] + newlines if text[0] in "\"'" else '""' + newlines


def code_only(text):
    """The text with comments removed and literals emptied; line numbers stay right.

    Lines with #include keep their quotes.
    """
    kept = {}

    def keep(match):
        kept[len(kept)] = match.group(0)
        return f"#include \x01{len(kept) - 1}\x01"

    text = re.sub(r'^[ \t]*#[ \t]*include[ \t]*(<[^>\n]*>|"[^"\n]*")', keep, text, flags=re.MULTILINE)
    text = _TOKEN.sub(_blank, text)
    return re.sub("#include \x01(\\d+)\x01", lambda match: kept[int(match.group(1))], text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def _ignore_patterns(root):
    path = root / ".gitignore"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _ignored(relative, is_dir, patterns):
    for pattern in patterns:
        if pattern.endswith("/") and not is_dir:
            continue
        bare = pattern.rstrip("/")
        if bare.startswith("/") or "/" in bare:
            if fnmatch.fnmatch(relative, bare.lstrip("/")):
                return True
        elif fnmatch.fnmatch(relative.rsplit("/", 1)[-1], bare):
            return True
    return False


def our_files(root, suffixes=None):
    """All files below root but .git and what .gitignore names, sorted."""
    root = pathlib.Path(root)
    patterns = _ignore_patterns(root)
    found, todo = [], [root]
    while todo:
        for path in todo.pop().iterdir():
            relative = path.relative_to(root).as_posix()
            if path.name == ".git" or _ignored(relative, path.is_dir(), patterns):
                continue
            if path.is_symlink():
                continue
            if path.is_dir():
                todo.append(path)
            elif path.is_file() and (suffixes is None or path.suffix in suffixes):
                found.append(path)
    return sorted(found)


def read_text(path):
    """The file's text, or None for a binary file."""
    data = pathlib.Path(path).read_bytes()
    if b"\0" in data[:8192]:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
