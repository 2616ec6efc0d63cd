"""Renders icon.svg into the PNG files that browsers want; needs Chromium. Run it after changing the drawing.

python extension/icons/render.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = (16, 32, 48, 128)
HERE = Path(__file__).resolve().parent


def main() -> int:
    """Write the PNG files beside the drawing."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("render.py: Chromium is not there: install the package chromium", file=sys.stderr)
        return 2
    drawing = (HERE / "icon.svg").read_text(encoding="utf-8")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "icon.html"
            style = f"html,body{{margin:0;background:transparent}}svg{{display:block;width:{size}px;height:{size}px}}"
            page.write_text(f"<!doctype html><style>{style}</style>{drawing}", encoding="utf-8")
            shot = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--default-background-color=00000000"]
            where = [
                f"--user-data-dir={folder}/profile",
                f"--window-size={size},{size}",
                f"--screenshot={HERE / f'{size}.png'}",
                page.as_uri(),
            ]
            subprocess.run([chromium, *shot, *where], check=True, capture_output=True, timeout=60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
