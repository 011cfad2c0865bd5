"""The report in a real browser: Debian's chromium, without a network, wide and narrow."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed (apt install chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("chromium")
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    for flag in (*flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(driver))
    yield window
    window.quit()


def show(browser: Any, page: Path, size: str, scheme: str = "light") -> None:
    """Open the page at a size, wait until its charts are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())
    drawn = (
        "return [...document.querySelectorAll('.chart')]"
        ".every((chart) => chart.querySelector('svg.main-svg .xtick'))"
    )
    WebDriverWait(browser, 20).until(lambda window: window.execute_script(drawn))


def requests(browser: Any) -> list[str]:
    """The addresses that the page asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_offline_and_fits(browser: Any, page: Path, size: str, scheme: str) -> None:
    show(browser, page, size, scheme)
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "DEBUG"] == []
    asked = requests(browser)
    assert page.as_uri() in asked
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    root = "document.documentElement"
    width, inner = browser.execute_script(f"return [{root}.scrollWidth, innerWidth]")
    assert width <= inner == SIZES[size][0]
    assert browser.execute_script("return document.querySelectorAll('.chart svg').length") > 6
    clipped = browser.execute_script(
        "return [...document.querySelectorAll('.chart')].flatMap((chart) => {"
        "  const box = chart.getBoundingClientRect();"
        "  return [...chart.querySelectorAll('svg text')].filter((text) => {"
        "    const r = text.getBoundingClientRect();"
        "    return r.width && (r.left < box.left - 1 || r.right > box.right + 1);"
        "  }).map((text) => chart.id + ': ' + text.textContent);"
        "})"
    )
    assert clipped == []


def test_it_says_what_ships(browser: Any, page: Path) -> None:
    show(browser, page, "desktop")
    words = browser.find_element("id", "verdict").text
    assert "teacher-float32 ships in 215 kB, 36.5× smaller" in words
    for part in ("Passed", "not verified on a phone", "Research use only.", "interval"):
        assert part in words
    assert browser.title == "Passed: Phantom membranes"


def test_bytes_are_on_a_logarithmic_axis(browser: Any, page: Path) -> None:
    show(browser, page, "desktop")
    for chart in ("tradeoff", "size-teacher", "size-student"):
        axis = f"return document.getElementById('chart-{chart}')._fullLayout.xaxis.type"
        assert browser.execute_script(axis) == "log"


def test_tables_sort(browser: Any, page: Path) -> None:
    show(browser, page, "desktop")
    table = browser.find_element("id", "variants")

    def column(index: int) -> list[str]:
        script = (
            "return [...arguments[0].tBodies[0].rows].map((r) => r.cells[arguments[1]].innerText)"
        )
        return list(browser.execute_script(script, table, index))

    def press(title: str) -> str | None:
        head = next(
            each
            for each in table.find_elements("css selector", "th[scope=col]")
            if each.text.startswith(title)
        )
        head.find_element("tag name", "button").send_keys("\n")
        return head.get_attribute("aria-sort")

    given = column(0)
    assert press("Bytes") == "ascending"
    assert column(1)[0] == "30,877"
    assert press("Bytes") == "descending"
    assert column(1)[0] == "7,412,310"
    assert press("Bytes") is None
    assert column(0) == given
    # What is missing stays last both ways.
    for order in ("ascending", "descending"):
        assert press("Difference") == order
        assert column(5)[-1] == "–"


def test_pictures_enlarge_by_keyboard(browser: Any, page: Path) -> None:
    show(browser, page, "phone")
    is_open = "return document.getElementById('zoom').open"
    picture = browser.find_elements("class name", "picture")[3]
    picture.send_keys("\n")
    assert browser.execute_script(is_open)
    dialog = browser.find_element("id", "zoom")
    assert "teacher-float32 against truth" in dialog.text
    dialog.find_element("class name", "close").send_keys("\n")
    assert not browser.execute_script(is_open)


def test_everything_is_named_for_a_screen_reader(browser: Any, page: Path) -> None:
    show(browser, page, "desktop")
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    wanted = {"button", "table", "image", "heading", "link", "columnheader"}
    found: dict[str, list[str]] = {role: [] for role in wanted}
    for node in nodes:
        role = node.get("role", {}).get("value", "")
        if role in wanted and not node.get("ignored"):
            found[role].append(node.get("name", {}).get("value", ""))
    assert all(found[role] for role in wanted)
    assert [role for role in wanted if "" in found[role]] == []


def test_dark_changes_charts_too(browser: Any, page: Path) -> None:
    ink = "return document.getElementById('chart-tradeoff')._fullLayout.font.color"
    colours = {}
    for scheme in ("light", "dark"):
        show(browser, page, "desktop", scheme)
        colours[scheme] = browser.execute_script(ink)
    assert colours == {"light": "#1b2129", "dark": "#e7ebf0"}


def test_it_prints(browser: Any, page: Path) -> None:
    show(browser, page, "desktop", "dark")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(printed["data"]) > 100_000
