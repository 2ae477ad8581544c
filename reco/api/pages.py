"""The pages for people: the explorer, the documentation of the routes and of the problems. They need no other network.

Belongs here: serving these pages. Does not belong here: what they tell, which comes from /openapi.json and `codes`.
"""

import base64
import hashlib
import html
import re
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from reco.api.codes import CODES


def _file(name: str) -> str:
    return files("reco.api").joinpath(name).read_text(encoding="utf-8")


def pages() -> APIRouter:
    """The routes of the pages."""
    router = APIRouter(redirect_slashes=False, include_in_schema=False)
    docs, problems = _page(_file("docs.html")), _page(_problems())
    shop = _page(_file("explorer.html"), style="explorer.css", script="explorer.js")

    @router.get("/")
    async def explorer() -> HTMLResponse:
        """What is bought together, by item and by basket; the data it shows needs a key as ever."""
        return shop

    @router.get("/docs")
    async def documentation() -> HTMLResponse:
        """Every route, with a form that asks it."""
        return docs

    @router.get("/problems")
    async def problem_codes() -> HTMLResponse:
        """Every code of a problem document: when it comes, and what to do."""
        return problems

    return router


def _page(text: str, *, style: str = "page.css", script: str | None = None) -> HTMLResponse:
    """A page that may load nothing and run only what stands in it: each script and style is named by its hash."""
    text = text.replace("/*style*/", _file(style))
    if script is not None:
        text = text.replace("/*script*/", _file(script))
    policy = ["default-src 'none'", "connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'self'"]
    policy.append("frame-ancestors 'none'")
    for tag in ("script", "style"):
        sources = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        policy.append(f"{tag}-src " + (" ".join(map(_hash, sources)) or "'none'"))
    return HTMLResponse(text, headers={"Content-Security-Policy": "; ".join(policy), "Cache-Control": "no-cache"})


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _problems() -> str:
    rows = "".join(
        f'<tr id="{code}"><td>{", ".join(map(str, told.statuses))}</td><td><code>{code}</code></td>'
        f"<td>{html.escape(told.when)}</td><td>{html.escape(told.next_step)}</td></tr>"
        for code, told in CODES.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Problems</title>'
        "<style>/*style*/</style><main><h1>Problems</h1>"
        "<p>Every answer that is no success is a problem document (RFC 9457). Its <code>type</code> points to a row "
        "below, and its <code>code</code> does not change.</p><table><thead><tr><th>status<th>code<th>when"
        f"<th>what to do</tr></thead><tbody>{rows}</tbody></table></main></html>"
    )
