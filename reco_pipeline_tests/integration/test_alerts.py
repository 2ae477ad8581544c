"""Promises of alerts: told once, to every target, never lost, never in the way; on real receivers."""

import datetime as dt
import json
import logging
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from reco.alerts.outbox import FOLDER, Outbox
from reco.alerts.targets import masked, open_targets
from reco.alerts.tell import TELL_AGAIN, Alert, note, over, send_waiting, tell
from reco.errors import ConfigError
from reco.settings import Settings, load_settings
from reco_pipeline.cli.app import app
from reco_pipeline_tests.receivers import Webhook, running_mailbox, running_webhook
from reco_pipeline_tests.shop import ROOT

NOW = dt.datetime(2026, 3, 2, 12, 0, tzinfo=dt.UTC)
ALERT = Alert("run_failed", "drops_to_recommendations 1a2b", "Redis is gone.", "Bring it back.", "/runs/1a2b", "run:7")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """A webhook that takes everything."""
    with running_webhook() as found:
        yield found


def settings_of(tmp_path: Path, *targets: str, **more: str) -> Settings:
    return load_settings(home=tmp_path / "home", alert_targets=" ".join(targets) or None, **more)


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of a command and what it printed on stdout."""
    capsys.readouterr()
    try:
        code = app(list(arguments), standalone_mode=False)
    finally:
        structlog.reset_defaults()
    return int(code or 0), capsys.readouterr().out


def test_the_event_has_the_fields_that_the_guide_names(tmp_path: Path) -> None:
    """Whoever collects the log finds in each alert what `docs/howto/alert.md` says."""
    page = (ROOT / "docs" / "howto" / "alert.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"an event at level `error` with(.*?), on the log", page, re.DOTALL)
    named = re.findall(r"`(\w+)`", sentence)
    with capture_logs() as logs:
        tell(ALERT, settings_of(tmp_path), now=NOW)
    (event,) = logs
    assert [event.get(name) for name in named] == [ALERT.what, ALERT.subject, ALERT.reason, ALERT.next_step]
    assert event["log_level"] == "error"


def test_an_alert_reaches_a_webhook_and_a_mailbox_with_its_link(tmp_path: Path, hook: Webhook) -> None:
    """Both get what happened, to what, why, the next step and the page of the UI; nothing waits afterwards."""
    with running_mailbox() as box:
        mail = f"mailto://127.0.0.1:{box.port}?from=reco@shop.test&to=duty@shop.test"
        settings = settings_of(tmp_path, hook.url, mail, alert_ui_url="https://dagster.shop.test/")
        assert tell(ALERT, settings, now=NOW)
    (posted,) = hook.got
    assert posted["title"] == "[reco] run_failed: drops_to_recommendations 1a2b"
    assert posted["message"] == "Redis is gone.\nNext: Bring it back.\nhttps://dagster.shop.test/runs/1a2b"
    assert posted["type"] == "failure"
    (letter,) = box.got
    assert letter["subject"] == posted["title"]
    assert "duty@shop.test" in letter["to"]
    body = letter.get_body(("plain",)) or letter.get_body()
    assert body is not None
    assert "https://dagster.shop.test/runs/1a2b" in body.get_content()
    assert Outbox(settings.home).waiting() == []


def test_the_same_is_told_once_a_day_and_again_when_it_was_over(tmp_path: Path, hook: Webhook) -> None:
    """By its key, whatever its words; after a day it still stands and is told again; what was over is new."""
    settings = settings_of(tmp_path, hook.url)
    again = Alert(ALERT.what, "another run", "Redis is still gone.", ALERT.next_step, key=ALERT.key)
    assert [tell(one, settings, now=NOW) for one in (ALERT, again, ALERT)] == [True, False, False]
    assert tell(again, settings, now=NOW + TELL_AGAIN)
    over([ALERT.key], settings)
    assert tell(ALERT, settings, now=NOW + TELL_AGAIN)
    assert tell(Alert("gate_refused", "a", "b", "c"), settings, now=NOW)
    assert [one["title"].split(": ")[0] for one in hook.got] == ["[reco] run_failed"] * 3 + ["[reco] gate_refused"]


def test_what_cannot_be_sent_waits_is_logged_and_sent_later(tmp_path: Path, hook: Webhook) -> None:
    """A receiver that is away delays its own copy alone; attempts grow apart; once it is back it gets each once."""
    with running_webhook() as other:
        settings = settings_of(tmp_path, hook.url, other.url)
        hook.status = 503
        with capture_logs() as logs:
            assert tell(ALERT, settings, now=NOW)
            assert tell(Alert("drill_missing", "backups", "b", "c"), settings, now=NOW)
        told = [one for one in logs if one["event"] == "alert_not_sent"]
        assert "error=503" in told[0]["answer"]
        assert "planted" not in str(logs)
        assert (len(hook.got), len(other.got)) == (0, 2)
        outbox = Outbox(settings.home)
        assert [(one.attempts, one.due - NOW) for one in outbox.waiting()] == [(1, dt.timedelta(minutes=1))] * 2
        assert send_waiting(settings, now=NOW) == 0
        assert [one.attempts for one in outbox.waiting()] == [1, 1], "neither was due"
        later = NOW + dt.timedelta(minutes=1)
        send_waiting(settings, now=later)
        assert [(one.attempts, one.due - later) for one in outbox.waiting()] == [(2, dt.timedelta(minutes=2))] * 2
        hook.status = 200
        assert send_waiting(settings, now=later + dt.timedelta(days=3)) == 2
    assert [one["title"] for one in hook.got] == [one["title"] for one in other.got]
    assert outbox.waiting() == []


@pytest.mark.parametrize("writes", [0, 1])
def test_an_alert_is_not_lost_to_a_kill(
    tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Killed before any of its writes, it is told by whoever comes to it again, or waits already."""

    class Killed(BaseException):
        """Nothing catches it, as nothing catches a kill."""

    left, replace = [None] * writes, Path.replace

    def kill(self: Path, target: Path) -> Path:
        if not left:
            raise Killed
        left.pop()
        return replace(self, target)

    settings = settings_of(tmp_path, hook.url)
    hook.status = 503
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", kill)
        with pytest.raises(Killed):
            tell(ALERT, settings, now=NOW)
    hook.status = 200
    tell(ALERT, settings, now=NOW)
    send_waiting(settings, now=NOW + dt.timedelta(minutes=1))
    assert [one["title"] for one in hook.got] == ["[reco] run_failed: drops_to_recommendations 1a2b"]
    assert Outbox(settings.home).waiting() == []


def numbered(count: int) -> list[Alert]:
    return [Alert("check_failed", f"check {number}", "It fails.", "Look.") for number in range(count)]


def test_a_target_that_is_away_keeps_nothing_from_the_others(tmp_path: Path, hook: Webhook) -> None:
    """Asked to send all, all goes to whom it can; and what was refused for hours does not stand before what is new."""
    with running_webhook() as other:
        settings = settings_of(tmp_path, other.url, hook.url)
        hook.status = 503
        assert note(numbered(8), settings, now=NOW) == 8
        send_waiting(settings, now=NOW, due_only=False)
        assert [one["title"][-7:] for one in other.got] == [f"check {number}" for number in range(8)]
        assert hook.tried == 1, "a target that refused is asked once a round"
        later = NOW + dt.timedelta(hours=2)
        note([ALERT], settings, now=later)
        send_waiting(settings, now=later)
        assert other.got[-1]["title"].startswith("[reco] run_failed")
        assert len(Outbox(settings.home).waiting()) == 9
        hook.status = 200
        assert send_waiting(settings, now=later, due_only=False) == 9
    assert len(hook.got) == 9


def test_what_cannot_be_written_down_is_waited_for_once(tmp_path: Path, hook: Webhook) -> None:
    """Of a home that takes no file all is sent at once; a target that refuses is asked once."""
    settings = settings_of(tmp_path, hook.url)
    (tmp_path / "home").write_text("a file where the folder should be")
    assert note(numbered(3), settings, now=NOW) == 3
    assert (len(hook.got), hook.tried) == (3, 3)
    hook.status = 503
    with capture_logs() as logs:
        note(numbered(3), settings, now=NOW)
    assert hook.tried == 4
    assert [one["event"] for one in logs] == ["check_failed"] * 3 + ["alert_lost"] * 3


def test_without_targets_nothing_that_waits_is_lost(tmp_path: Path, hook: Webhook) -> None:
    """Taking the targets out of the settings keeps what waits for the next ones."""
    hook.status = 500
    tell(ALERT, settings_of(tmp_path, hook.url), now=NOW)
    later = NOW + dt.timedelta(hours=2)
    assert send_waiting(settings_of(tmp_path), now=later) == 0
    hook.status = 200
    assert send_waiting(settings_of(tmp_path, hook.url), now=later) == 1
    assert len(hook.got) == 1


def test_an_alert_never_fails_what_tells_it(tmp_path: Path, hook: Webhook) -> None:
    """A home that takes no file, a file cut off, a wrong target: it is logged, and sent where that can be."""
    settings = settings_of(tmp_path, hook.url)
    (tmp_path / "home").write_text("a file where the folder should be")
    with capture_logs() as logs:
        assert tell(ALERT, settings, now=NOW)
    assert len(hook.got) == 1
    assert "not_written_down" in logs[0]
    settings = load_settings(home=tmp_path / "second", alert_targets=hook.url)
    tell(ALERT, settings, now=NOW)
    (settings.home / FOLDER / "state.json").write_text('{"told": {')
    with capture_logs() as logs:
        assert tell(ALERT, settings, now=NOW), "what was told is not known any more: told again rather than not at all"
    assert logs[0]["event"] == "alerts_file_damaged"
    assert (settings.home / FOLDER / "state.damaged.json").read_text() == '{"told": {'
    wrong = load_settings(home=tmp_path / "third", alert_targets=f"{hook.url}, nonsense://planted-secret")
    with capture_logs() as logs:
        assert tell(ALERT, wrong, now=NOW)
    assert len(Outbox(wrong.home).waiting()) == 1
    assert "planted" not in str(logs)


def test_a_target_that_is_none_is_named_without_its_secret(tmp_path: Path) -> None:
    """By its place and kind; addresses may stand on lines, behind commas or blanks."""
    good = "json://127.0.0.1/a,json://127.0.0.1/b\njson://127.0.0.1/c json://127.0.0.1/d"
    assert [one.name for one in open_targets(settings_of(tmp_path, good))] == [f"{n} (JSON)" for n in (1, 2, 3, 4)]
    with pytest.raises(ConfigError, match=r"Target 2 .*nonsense") as error:
        open_targets(settings_of(tmp_path, "json://127.0.0.1/a", "nonsense://planted-secret"))
    assert "planted" not in str(error.value)


def test_an_answer_holds_no_part_of_the_address_however_short(tmp_path: Path, hook: Webhook) -> None:
    """Neither where the receiver quotes a short password or its header, nor where Apprise says the address itself."""
    hook.status = 401
    address = f"json://shop:pw7@127.0.0.1:{hook.port}/tk4/planted-token"
    (target,) = open_targets(settings_of(tmp_path, address))
    answer = target.send("a", "b")
    assert "error=401" in answer.said
    (target,) = open_targets(settings_of(tmp_path, "json://shop:pw7@127.0.0.1:1/tk4"))
    unreachable = target.send("a", "b")
    assert not unreachable.sent
    for part in ("shop", "pw7", "tk4", "planted", "127.0.0.1", b64encode(b"shop:pw7").decode()):
        assert part not in answer.said + unreachable.said
    said = f"login shop with pw7: {b64encode(b'shop:pw7').decode()} for tk4, planted-tokens; 401 of the shopkeeper"
    assert masked(said, address) == "login *** with ***: *** for ***, ***s; 401 of the shopkeeper"


def test_no_handler_of_the_process_hears_of_an_address(tmp_path: Path, hook: Webhook) -> None:
    """Of whatever level a handler on the root logger is: no token of a target that answers, refuses or is wrong."""

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    heard: list[str] = []
    ears, root = Ears(logging.NOTSET), logging.getLogger()
    level = root.level
    root.addHandler(ears)
    root.setLevel(logging.NOTSET)
    try:
        (target,) = open_targets(settings_of(tmp_path, hook.url))
        assert target.send("a", "b").sent
        hook.status = 403
        assert not target.send("a", "b").sent
        with pytest.raises(ConfigError):
            open_targets(settings_of(tmp_path, "slack://planted-token"))
        logging.getLogger("urllib3").debug("heard again")
    finally:
        root.setLevel(level)
        root.removeHandler(ears)
    assert "heard again" in heard
    assert [one for one in heard if "planted" in one] == []


def test_the_command_tries_every_target_and_tells_the_answers(
    tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`alerts test` says what each receiver answered, masked, exit 1 where one refused; `send` sends what waits."""
    secret = tmp_path / "targets"
    secret.write_text(hook.url + "\n")
    secret.chmod(0o600)
    monkeypatch.setenv("RECO_HOME", str(tmp_path / "home"))
    with pytest.raises(ConfigError, match="RECO_ALERT_TARGETS is not set"):
        called(capsys, "alerts", "test")
    monkeypatch.setenv("RECO_ALERT_TARGETS_FILE", str(secret))
    code, out = called(capsys, "alerts", "test", "--json")
    assert (code, json.loads(out)["targets"][0]["sent"]) == (0, True)
    assert hook.got[0]["title"].startswith("[reco] test")
    hook.status = 403
    code, out = called(capsys, "alerts", "test", "--json")
    (answer,) = json.loads(out)["targets"]
    assert (code, answer["sent"]) == (1, False)
    assert "error=403" in answer["answer"]
    assert "planted" not in out
    tell(ALERT, load_settings(), now=NOW)
    code, out = called(capsys, "alerts", "--json")
    assert (code, len(json.loads(out)["waiting"])) == (0, 1)
    assert called(capsys, "alerts", "send")[0] == 1
    hook.status = 200
    code, out = called(capsys, "alerts", "send", "--json")
    assert (code, json.loads(out)) == (0, {"sent": 1, "waiting": 0})
    assert hook.got[-1]["message"].startswith("Redis is gone.")
