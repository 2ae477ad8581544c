"""Commands of `reco` in this process, where starting one would cost more than what it does.

Belongs here: calling one. Does not belong here: any claim.
"""

import pytest
import structlog

from reco_pipeline.cli.app import app


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command prints on stdout; an error of ours comes as it was raised."""
    capsys.readouterr()
    try:
        app([str(one) for one in arguments], standalone_mode=False)
    finally:
        structlog.reset_defaults()  # a command sends log events to the stderr of now, which is gone after the test
    return capsys.readouterr().out
