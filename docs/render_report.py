"""Pictures a report for the README: `python docs/render_report.py runs/demo/report.html`.

Needs Debian's chromium and chromium-driver. Only a report of phantoms may be pictured here: others
hold scans.
"""

import argparse
import base64
import shutil
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "report.png"
WIDTH, HEIGHT = 1280, 1400


def render(report: Path, picture: Path, width: int = WIDTH, height: int = HEIGHT) -> None:
    """Write the top of a report as a PNG.

    Args:
        report: An HTML report.
        picture: The PNG to write.
        width: Width of the window, CSS pixels.
        height: How much of the page is shown, CSS pixels; 0 for all of it.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver"))) as window:
        shown = {"width": width, "height": height or 900, "deviceScaleFactor": 1, "mobile": False}
        window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shown)
        window.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        window.get(report.absolute().as_uri())
        WebDriverWait(window, 20).until(
            lambda page: page.execute_script("return !!document.querySelector('.chart .xtick')")
        )
        full = window.execute_script("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": height or full, "scale": 1}
        given = {"clip": clip, "captureBeyondViewport": True}
        data = window.execute_cdp_cmd("Page.captureScreenshot", given)["data"]
    picture.write_bytes(base64.b64decode(data))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("--picture", type=Path, default=PAGE)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--height", type=int, default=HEIGHT, help="0 pictures the whole page")
    given = parser.parse_args()
    if not given.report.is_file() or not shutil.which("chromium"):
        print(f"{given.report} must be a report, and chromium must be installed", file=sys.stderr)
        return 2
    render(given.report, given.picture, given.width, given.height)
    print(f"wrote {given.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
