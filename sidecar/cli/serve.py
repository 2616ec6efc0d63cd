"""`tracemark serve`: run the sidecar until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import sys
import threading
from collections.abc import Sequence

from sidecar.cli.common import add_config, read_config
from sidecar.clock import SystemClock
from sidecar.service import Service
from sidecar.settings import SETTINGS, Setting

EXAMPLE = "example:\n  TRACEMARK_NGINX_LOG=/srv/xnat/logs/nginx/xnat.access.log tracemark serve\n"


def _row(setting: Setting) -> str:
    default = setting.default or "(empty)"
    return f"  {setting.variable}\n      {setting.help}\n      default: {default}; allowed: {setting.allowed}"


def settings_text() -> str:
    """The settings table as `tracemark serve --help` prints it."""
    return "settings (environment, or lower case without the prefix in the TOML file):\n" + "\n".join(map(_row, SETTINGS))


def look_for_garbage_rarely() -> None:
    """Records live for a moment and hold no cycles: looking for garbage every 700 allocations costs a tenth of the work."""
    gc.set_threshold(20_000, 20, 20)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tracemark serve",
        description=__doc__,
        epilog=f"{EXAMPLE}\n{settings_text()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    config = read_config(parser.parse_args(argv))
    logging.basicConfig(
        level=config["log_level"].upper(), format="tracemark: %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    look_for_garbage_rarely()
    service = Service(config, SystemClock())
    service.start()
    host, port = service.http_address
    print(f"tracemark: the live page is at http://{host}:{port}", flush=True)
    ended.wait()
    return 0 if service.stop() else 1
