"""The commands of alerts: alerts test, list, send.

Does not belong here: sending (`reco.alerts`), or when something is told (`reco_pipeline.telling`).
"""

import datetime as dt
from typing import TYPE_CHECKING

import typer

from reco_pipeline.cli.options import JsonFlag, default_of_group
from reco_pipeline.cli.output import print_json, say, table

if TYPE_CHECKING:
    from reco.settings import Settings

app = typer.Typer(help="What was told, what waits to be sent, and whether the targets take it.")
NOT_SENT = 1


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, as_json: JsonFlag = False) -> None:
    """What was told, what waits to be sent, and whether the targets take it."""
    if default_of_group(context, as_json):
        show(as_json)


@app.command("test")
def try_targets(as_json: JsonFlag = False) -> None:
    """Send a message to every target now, and say what each answered. Exit code 1 where one did not take it.

    Example: reco alerts test
    """
    from reco.alerts.targets import open_targets
    from reco.alerts.tell import Alert, message

    settings = _settings(needs_targets=True)
    at = dt.datetime.now(dt.UTC)
    alert = Alert("test", "a message to try the way", f"Sent at {at:%Y-%m-%d %H:%M:%S}Z.", "Nothing is to be done.")
    title, text = message(alert, settings)
    answers = [(target.name, target.send(title, text)) for target in open_targets(settings)]
    if as_json:
        print_json({"targets": [{"target": name, "sent": one.sent, "answer": one.said} for name, one in answers]})
    else:
        rows = [(name, "sent" if one.sent else "FAILED", one.said) for name, one in answers]
        table("Targets", ("target", "", "answer"), rows)
    raise typer.Exit(0 if all(one.sent for _, one in answers) else NOT_SENT)


@app.command("list")
def show(as_json: JsonFlag = False) -> None:
    """What was told in the last 30 days, and what waits to be sent, with the last answer.

    Example: reco alerts list
    """
    from reco.alerts.outbox import Outbox

    outbox = Outbox(_settings().home)
    told, waiting = sorted(outbox.told().items(), key=lambda one: one[1], reverse=True), outbox.waiting()
    if as_json:
        shown = [
            {"title": w.title, "at": w.at, "attempts": w.attempts, "due_at": w.due.isoformat(), "answer": w.answer}
            for w in waiting
        ]
        print_json({"told": [{"alert": key, "at": at.isoformat()} for key, at in told], "waiting": shown})
        return
    if told:
        table("Told", ("at", "alert"), [(f"{at:%Y-%m-%d %H:%M:%S}Z", key) for key, at in told])
    if waiting:
        rows = [(w.title, w.attempts, f"{w.due:%H:%M:%S}Z", w.answer) for w in waiting]
        table("Waiting", ("alert", "attempts", "next attempt", "last answer"), rows)
    if not told and not waiting:
        say("Nothing was told in the last 30 days.")


@app.command("send")
def send(as_json: JsonFlag = False) -> None:
    """Send what waits now, without waiting for the next attempt. Exit code 1 where something still waits.

    Example: reco alerts send
    """
    from reco.alerts.outbox import Outbox
    from reco.alerts.tell import send_waiting

    settings = _settings(needs_targets=True)
    sent = send_waiting(settings, now=dt.datetime.now(dt.UTC), due_only=False)
    left = len(Outbox(settings.home).waiting())
    if as_json:
        print_json({"sent": sent, "waiting": left})
    else:
        say(f"{sent} sent, {left} waiting.")
    raise typer.Exit(NOT_SENT if left else 0)


def _settings(*, needs_targets: bool = False) -> "Settings":
    from reco.errors import ConfigError
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command()
    if needs_targets and settings.alert_targets is None:
        raise ConfigError(
            "RECO_ALERT_TARGETS is not set: alerts go to the log alone.",
            hint="Set it or RECO_ALERT_TARGETS_FILE to one or more addresses of Apprise, such as jsons://host/path.",
            settings=["RECO_ALERT_TARGETS"],
        )
    return settings
