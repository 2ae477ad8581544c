"""The files of the embedded S3 server: its ports, its one user, and the command that starts it.

Belongs here: what stands in `ports.json` and `s3.json`, and SeaweedFS's options. Does not belong here: starting,
stopping or asking anything.
"""

import json
import secrets
from contextlib import suppress
from pathlib import Path

from reco.local import conf
from reco.local.process import s3_binary
from reco.local.wire import HOST

# Each role listens on a port for HTTP and one for gRPC; unnamed, the latter would be 10,000 above the former, in the
# range from which systems take the ports of outgoing connections.
ROLES = ("master", "volume", "filer", "s3", "admin")
# SeaweedFS's own worker looks for the admin server 10,000 above its port, whatever the options say.
ADMIN_OFFSET = 10_000
ADMIN_PORTS = range(conf.PORTS.start, conf.PORTS.stop - ADMIN_OFFSET)

ACTIONS = ["Admin", "Read", "List", "Tagging", "Write"]
MEMORY_LIMIT = "300MiB"  # unbounded it keeps 800 MB after a large upload; Go frees memory in time to stay near this

Ports = dict[str, int]


def read_ports(path: Path) -> Ports | None:
    """The ports of the last start; None when there are none that could be used."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and set(found) == set(_names()) and all(type(p) is int for p in found.values()):
            return found
    return None


def choose_ports(last: Ports | None) -> Ports | None:
    """The last ports if all are free, else other free ones; None when there are not enough."""
    if last is not None and all_free(last):
        return last
    chosen: Ports = {}
    for _ in range(conf.PORT_ATTEMPTS):
        admin = secrets.choice(ADMIN_PORTS)
        if conf.is_free(admin) and conf.is_free(admin + ADMIN_OFFSET):
            chosen = {"admin.port": admin, "admin.port.grpc": admin + ADMIN_OFFSET}
            break
    else:
        return None
    for name in _names():
        if name not in chosen:
            port = next((p for p in _drawn() if p not in chosen.values()), None)
            if port is None:
                return None
            chosen[name] = port
    return chosen


def all_free(ports: Ports) -> bool:
    """Whether a server could listen on every one of the ports now."""
    return all(conf.is_free(port) for port in ports.values())


def _names() -> list[str]:
    return [f"{role}.port{kind}" for role in ROLES for kind in ("", ".grpc")]


def _drawn() -> list[int]:
    found = (conf.choose_port(None) for _ in range(len(ROLES) * 4))
    return [port for port in found if port is not None]


def credentials_of(path: Path) -> tuple[str, str]:
    """Access key and secret of the one user in the server's `s3.json`; made at the first call."""
    with suppress(FileNotFoundError, ValueError, LookupError, TypeError):
        kept = json.loads(path.read_bytes())["identities"][0]["credentials"][0]
        return str(kept["accessKey"]), str(kept["secretKey"])
    access, secret = f"reco-{secrets.token_hex(8)}", secrets.token_urlsafe(32)
    keys = [{"accessKey": access, "secretKey": secret}]
    users = {"identities": [{"name": "reco", "credentials": keys, "actions": ACTIONS}]}
    conf.write_private(path, (json.dumps(users, indent=1) + "\n").encode())
    return access, secret


def command(ports: Ports) -> list[str]:
    """The command line, to be run in the server's folder: paths are relative, since sockets allow only short ones."""
    return [
        str(s3_binary()),
        "mini",
        "-dir=data",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        *(f"-{name}={port}" for name, port in ports.items()),
        "-s3.config=s3.json",
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
        # The filer knows neither credentials nor object locks: over HTTP anybody could remove a locked object.
        "-disableHttp",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-master.telemetry=false",
        # The one master need not wait for others: this saves five seconds after a crash.
        "-master.electionTimeout=1s",
        "-master.heartbeatInterval=100ms",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=0",  # as many volumes as the disk holds
        "-volume.preStopSeconds=0",
    ]


def shell(ports: Ports) -> list[str]:
    """The command line of SeaweedFS's administration shell for a server."""
    master, filer = (f"{HOST}:{ports[f'{role}.port']}.{ports[f'{role}.port.grpc']}" for role in ("master", "filer"))
    return [str(s3_binary()), "shell", f"-master={master}", f"-filer={filer}"]
