"""The tree of commands.

Belongs here: names and help of the commands and their groups. Does not belong here: what they do.
"""

import typer

from reco import __version__
from reco_pipeline.cli import (
    alerts,
    ask,
    audit,
    backup,
    dev,
    drops,
    forget,
    hide,
    inspect,
    keys,
    pipeline,
    quarantine,
    redis,
    restore,
    serve,
    snapshots,
    system,
    trace,
)

app = typer.Typer(
    name="reco",
    help="Order files in, proven recommendations out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"reco {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Order files in, proven recommendations out."""


app.command("run")(pipeline.run)
app.command("dev")(dev.dev)
app.command("drop")(pipeline.drop)
app.command("inspect")(inspect.inspect)
app.command("sample")(pipeline.sample)
app.add_typer(drops.app, name="drops")
app.add_typer(quarantine.app, name="quarantine")
app.command("similar")(ask.similar)
app.command("popular")(ask.popular)
app.command("trending")(ask.trending)
app.command("basket")(ask.basket)
app.command("search")(ask.search)
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
app.add_typer(hide.app, name="hide")
app.add_typer(audit.app, name="audit")
audit.app.command("trace")(trace.trace)
audit.app.command("forget")(forget.forget)
app.add_typer(snapshots.app, name="snapshot")
app.add_typer(redis.app, name="redis")
app.add_typer(alerts.app, name="alerts")
app.add_typer(backup.app, name="backup")
backup.app.command("restore")(restore.restore)
app.command("status")(system.status)
app.add_typer(system.config_app, name="config")
app.command("cleanup")(system.cleanup)
app.command("doctor")(system.doctor)
