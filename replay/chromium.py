"""Which programs are started and how: Chromium's command line, and its driver below a reaper."""

from __future__ import annotations

import ipaddress
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from selenium.webdriver.chrome.service import Service

from replay.address import taken_apart
from sidecar.model.faults import UsageFault

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--disable-features=MediaRouter,OptimizationHints,Translate",
    "--disable-gpu",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
)


#: what Chromium makes in its folder for temporary files, and the longest path that a socket may have on every system
_SOCKET, _LONGEST_SOCKET = "/org.chromium.Chromium.scoped_dir.XXXXXX/SingletonSocket", 103


class BrowserMissingError(UsageFault):
    """Chromium or its driver is not installed."""

    kind = "version"


class BrowserVersionError(UsageFault):
    """Chromium and its driver do not belong together."""

    kind = "version"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserPaths:
    """The two programs that are needed."""

    driver: str
    browser: str

    @classmethod
    def find(
        cls,
        environment: Mapping[str, str],
        driver: str | None = None,
        browser: str | None = None,
        which: Callable[[str], str | None] = shutil.which,
    ) -> BrowserPaths:
        """Given paths first, then SE_CHROMEDRIVER, then PATH; raises BrowserMissingError that names the package."""
        wanted = driver or environment.get("SE_CHROMEDRIVER") or "chromedriver"
        found_driver = which(wanted)
        if found_driver is None:
            remedy = "install the package chromium-driver, or give --chromedriver (or SE_CHROMEDRIVER)"
            raise BrowserMissingError(f"{wanted} is not there", remedy)
        found_browser = next(filter(None, map(which, (browser,) if browser else _NAMES)), None)
        if found_browser is None:
            raise BrowserMissingError(f"{browser or 'Chromium'} is not there", "install the package chromium, or give --chromium")
        return cls(driver=found_driver, browser=found_browser)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserOptions:
    """How the browser runs; `hosts` are all that it may reach.

    `trusted_keys` are fingerprints (`replay.trust`) of servers whose certificates are taken although no authority that the
    browser knows has signed them. `plain_origins` are sites without TLS that it may download from (`plain_origins`).
    `extension` is an unpacked one that is loaded into it.
    """

    paths: BrowserPaths
    hosts: tuple[str, ...]
    window: tuple[int, int]
    visible: bool
    trusted_keys: tuple[str, ...] = ()
    plain_origins: tuple[str, ...] = ()
    extension: Path | None = None


class ReapedService(Service):
    """The driver below `replay/reaper.py`, in a process group of its own: a Ctrl-C does not reach it, and no process stays.

    It and its browser leave their temporary files in the folder `temporary`, unless its path is too long for the browser's socket
    there: Chromium does not start then.
    """

    def __init__(self, driver: str, temporary: Path) -> None:
        reaper = Path(__file__).with_name("reaper.py")
        self._before = ["-I", str(reaper), driver] if sys.platform == "linux" else []
        program = sys.executable if self._before else driver
        # Without SE_CHROMEDRIVER, which would replace the program.
        environment = {name: value for name, value in os.environ.items() if name != "SE_CHROMEDRIVER"}
        if len(str(temporary) + _SOCKET) <= _LONGEST_SOCKET:
            environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
        super().__init__(program, env=environment, popen_kw={"start_new_session": True}, driver_path_env_key="-")

    def send_remote_shutdown_command(self) -> None:
        """Ask the driver to end; one that is gone in the middle of its answer has done so."""
        with suppress(OSError, HTTPException):
            super().send_remote_shutdown_command()

    def command_line_args(self) -> list[str]:
        return [*self._before, *super().command_line_args()]


def host_of(url: str) -> str:
    """The host of a site's address; raises UsageFault when it is no http(s) address."""
    parts = taken_apart(url, "http", "https")
    if parts is None or parts.hostname is None:
        raise UsageFault(f"{url!r} is no address of a site", "write for example --url https://xnat.example.org/xnat")
    return parts.hostname


def plain_origins(site: str) -> tuple[str, ...]:
    """The origin of a site that is reached without TLS over a network; nothing for any other.

    Chromium holds a download from such a site back until a person says to keep it, and no option of the driver says so: the file
    would never be complete.
    """
    parts = urlsplit(site)
    host = host_of(site)
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    return () if parts.scheme == "https" or local else (f"http://{parts.netloc.rpartition('@')[2]}",)


def arguments(options: BrowserOptions, profile: str | None, *, root: bool) -> list[str]:
    """Chromium's command line; the sandbox is only left out for root, who cannot have one.

    Without a `profile` the driver makes a fresh one.
    """
    width, height = options.window
    rules = ", ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {host}" for host in options.hosts)])
    return [
        *_ARGUMENTS,
        f"--host-resolver-rules={rules}",
        *([f"--user-data-dir={profile}"] if profile is not None else []),
        f"--window-size={width},{height}",
        *([] if options.visible else ["--headless=new"]),
        *([f"--ignore-certificate-errors-spki-list={','.join(options.trusted_keys)}"] if options.trusted_keys else []),
        *([f"--unsafely-treat-insecure-origin-as-secure={','.join(options.plain_origins)}"] if options.plain_origins else []),
        *(["--no-sandbox"] if root else []),
    ]
