"""The table of settings in docs/reference.md, from `reco/settings.py`: name, default, values, meaning.

    python scripts/settings_table.py           writes it (make settings)
    python scripts/settings_table.py --check   exit code 1 where it is not current

A setting is described in its `description`, once: `reco config` shows it too. Only where to read more stands here.
"""

import sys
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from reco.secretfiles import is_secret
from reco.settings import PREFIX, Settings

PAGE = Path("docs/reference.md")
BEGIN, END = "<!-- settings: written by `make settings` -->\n", "<!-- end of settings -->\n"
MORE = {
    "profile": "#production",
    "redis_url": "redis.md",
    "redis_history_days": "redis.md#going-back-to-a-second",
    "privacy_key": "audit.md",
    "inbox": "#source-profiles",
    "source": "#source-profiles",
    "score": "model.md",
    "score_change_errors": "model.md#the-best-score-for-a-shop",
    "gate_quality_errors": "model.md#quality-at-the-gate",
    "evaluation_lines": "model.md#evaluation",
    "quarantine_raw_days": "quarantine.md#how-long-the-text-is-kept",
    "backup_recipients": "backup.md#keys",
    "backup_former_recipients": "backup.md#changing-keys",
    "backup_keep_days": "backup.md#keeping-and-removing",
    "error_checks": "quality.md#checks",
    "api_host": "api.md#who-may-ask",
    "api_open": "api.md#who-may-ask",
    "api_cache_mb": "api.md#answers-that-were-given-before",
    "api_scraping_items": "api.md#watching-it",
}


def table() -> str:
    """The whole table, as Markdown."""
    rows = ["| setting | default | values | means |", "|---|---|---|---|"]
    return "\n".join([*rows, *(row(name, field) for name, field in Settings.model_fields.items())]) + "\n"


def row(name: str, field: FieldInfo) -> str:
    """One setting."""
    more = f" ([more]({MORE[name]}))" if name in MORE else ""
    title = f"`{PREFIX}{name.upper()}`{' (secret)' if is_secret(field) else ''}"
    means = (field.description or "").removesuffix(".")
    return f"| {title} | {default_of(field)} | {values_of(field)} | {means}{more} |".replace("|  |", "| |")


def default_of(field: FieldInfo) -> str:
    """The default as it would be written into the environment."""
    value = field.default
    if value is None or value == "":
        return "unset"
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"`{value}`"
        if not isinstance(value, int | float)
        else f"{value:g}"
    )


def values_of(field: FieldInfo) -> str:
    """What may be given: one of a list, a range, or a form; empty where the type says it all."""
    choices = [one for kind in (field.annotation, *get_args(field.annotation)) for one in literals(kind)]
    if choices:
        return ", ".join(f"`{one}`" for one in dict.fromkeys(choices))
    bounds = {type(one).__name__: one for one in field.metadata}
    least, above, most = (getattr(bounds.get(kind), kind.lower(), None) for kind in ("Ge", "Gt", "Le"))
    if most is None:
        return ""
    return (
        f"{least:g} to {most:g}".replace("e+0", "e")
        if above is None
        else f"above {above:g}, to {most:g}".replace("e+0", "e")
    )


def literals(kind: Any) -> list[str]:
    """The words of a `Literal`."""
    return [one for one in get_args(kind) if isinstance(one, str)] if "Literal" in str(kind)[:16] else []


def renewed(page: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def main() -> int:
    """Writes or checks; returns the exit code."""
    page = PAGE.read_text(encoding="utf-8")
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(renewed(page), encoding="utf-8")
    elif renewed(page) != page:
        print(f"{PAGE}: the table of settings is not current. `make settings` writes it.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
