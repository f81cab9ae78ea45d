"""The links of the documentation.

    python3 .ci/book.py check      every relative link in it leads to a file, and its #anchor to a heading
    (a preprocessor of mdBook)     what leads out of the book leads to the repository, in the book alone
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/leeward-dev/leeward/blob/main/"
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^\s*(```|~~~)")


def prose(text):
    """The lines that are no code, with their numbers; code within a line is blanked."""
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`", lambda code: " " * len(code.group()), line)


def is_relative(link):
    return link and not re.match(r"[a-z][a-z0-9+.-]*:|/", link)


def anchors(text):
    """The headings, as GitHub and mdBook name them."""
    fenced, found = False, set()
    for line in text.split("\n"):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and (heading := re.match(r"#+ +(.*)", line)):
            title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.group(1)).strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return found


def pages():
    found = {ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"}
    found |= {ROOT / "agent" / "README.md", ROOT / "tests" / "README.md"}
    found |= set((ROOT / "agent").glob("*/README.md"))
    found |= set(DOCS.rglob("*.md")) | set((ROOT / "packaging").rglob("README.md"))
    found |= set((ROOT / "systemd").rglob("README.md"))
    return sorted(found)


def check():
    broken, links = [], 0
    summary = (DOCS / "SUMMARY.md").read_text()
    for page in pages():
        text = page.read_text()
        shown = page.relative_to(ROOT)
        if DOCS in page.parents and page.name != "SUMMARY.md":
            if f"({page.relative_to(DOCS)})" not in summary:
                broken.append(f"{shown}: docs/SUMMARY.md does not name it")
        for number, line in prose(text):
            for match in LINK.finditer(line):
                link = match.group(2)
                if not is_relative(link):
                    continue
                links += 1
                path, _, anchor = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                if not target.exists():
                    broken.append(f"{shown}:{number}: {link}: there is no such file")
                elif anchor and anchor not in anchors(target.read_text()):
                    broken.append(f"{shown}:{number}: {link}: there is no such heading")
    print("\n".join(broken) or f"{links} links lead somewhere")
    return bool(broken)


def outward(chapter):
    """The text of a chapter, in which links out of the book lead to the repository."""
    folder = (DOCS / chapter["path"]).parent

    def rewritten(match):
        path, _, anchor = match.group(2).partition("#")
        target = (folder / path).resolve()
        if not path or not is_relative(path) or DOCS == target or DOCS in target.parents and target.is_file():
            return match.group()
        there = REPOSITORY + str(target.relative_to(ROOT)) + (f"#{anchor}" if anchor else "")
        return match.group(1) + there + match.group(3)

    lines = chapter["content"].split("\n")
    for number, blanked in prose(chapter["content"]):
        for match in reversed(list(LINK.finditer(blanked))):
            line = lines[number - 1]
            lines[number - 1] = line[: match.start()] + rewritten(match) + line[match.end() :]
    return "\n".join(lines)


def walk(items):
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            chapter = item["Chapter"]
            if chapter["path"]:
                chapter["content"] = outward(chapter)
            walk(chapter["sub_items"])


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        sys.exit(check())
    if sys.argv[1:2] == ["supports"]:
        sys.exit(0)
    _, book = json.load(sys.stdin)
    walk(book.get("items") or book["sections"])
    json.dump(book, sys.stdout)
