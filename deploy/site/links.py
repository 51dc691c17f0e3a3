"""A preprocessor of mdBook: links that lead out of docs/ lead to the repository's file on the web.

mdBook gives the book as JSON on standard input, and takes it back on standard output.
"""

import json
import pathlib
import posixpath
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REPOSITORY = re.search(r'^repository = "(.*)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
# The target of a link or of a picture, and of a reference; fenced and inline code, which is left alone, comes first.
CODE_OR_TARGET = re.compile(r"(?P<code>^ *```.*?^ *```|``.*?``|`[^`]*`)|(?P<before>\]\(|^ *\[[^]]+\]: +)(?P<target>[^)\s]+)", re.MULTILINE | re.DOTALL)


def outside(target, page):
    """Where a target leads on the web, if it is a file of the repository outside docs/."""
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return target
    place = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), path))
    if place.startswith("docs/") or not (ROOT / place).exists():
        return target
    shown = "tree" if (ROOT / place).is_dir() else "blob"
    return f"{REPOSITORY}/{shown}/main/{place}" + (f"#{anchor}" if anchor else "")


def rewritten(text, page):
    """A page with such links."""

    def one(match):
        return match["code"] or match["before"] + outside(match["target"], page)

    # Linked code, as in [`file`](../file), has its target behind the code.
    return CODE_OR_TARGET.sub(one, text)


def walk(items):
    """All chapters of the book, and those below them."""
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            if chapter.get("path"):
                chapter["content"] = rewritten(chapter["content"], chapter["path"])
            walk(chapter["sub_items"])


def main():
    """Answers that any form of output is supported, or rewrites the book."""
    if len(sys.argv) > 1 and sys.argv[1] == "supports":
        return
    _, book = json.load(sys.stdin)
    walk(book.get("items", book.get("sections", [])))
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
