"""What the site of the documents needs beside the pages: a hook of MkDocs, named in mkdocs.yml.

Pages link as the repository's file view wants it, also to files outside of docs/ (`../CONTRIBUTING.md`). On the site
such a file stands under repository/ at its own path, and the links of all pages are written to fit.

Belongs here: links, and what is listed by its folder. Does not belong here: text of a page.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = "repository"
_LINK = re.compile(r"\]\((?!#|[a-z]+:)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists the decisions in the navigation, newest first, and at the end of Operations the pages it does not name."""
    docs = Path(config.docs_dir)
    sections = {title: pages for one in config.nav or [] if isinstance(one, dict) for title, pages in one.items()}
    if "Decisions" in sections:
        found = sorted((docs / "decisions").glob("*.md"), reverse=True)
        sections["Decisions"][:] = [path.relative_to(docs).as_posix() for path in found]
        named = str(config.nav)
        sections["Operations"] += [path.name for path in sorted(docs.glob("*.md")) if f"'{path.name}'" not in named]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files outside of docs/ that a page links to, and those that these link to."""
    waiting = list(files.documentation_pages())
    while waiting:
        page = waiting.pop()
        for target in _targets(page.src_uri, page.content_string):
            if target.startswith(OUTSIDE + "/") and files.get_file_from_path(target) is None:
                path = ROOT / target.removeprefix(OUTSIDE + "/")
                if path.is_file():  # else the link stays dead, and the build says so
                    added = File.generated(config, target, abs_src_path=str(path))
                    files.append(added)
                    if added.is_documentation_page():
                        waiting.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Writes the links of a page as they lead on the site."""
    here = posixpath.dirname(page.file.src_uri)

    def written(found: re.Match[str]) -> str:
        target = site_path(page.file.src_uri, found["path"])
        return f"]({posixpath.relpath(target, here or '.')}{found['anchor'] or ''})"

    return _LINK.sub(written, markdown)


def site_path(page: str, link: str) -> str:
    """Where a link of a page leads, as a path of the site; a page of the repository has its own path there."""
    folder = posixpath.dirname(page)
    inside = folder.removeprefix(OUTSIDE).lstrip("/") if page.startswith(OUTSIDE + "/") else f"docs/{folder}"
    path = posixpath.normpath(posixpath.join(inside, link))
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{OUTSIDE}/{path}"


def _targets(page: str, text: str) -> set[str]:
    return {site_path(page, found["path"]) for found in _LINK.finditer(text)}


def on_page_content(html: str, **_: Any) -> str:
    r"""A `\|` inside of code in a table is a bar, as in the file view; the Markdown of the site leaves it as it is."""
    return re.sub(r"<code>[^<]*</code>", lambda found: found[0].replace(r"\|", "|"), html)
