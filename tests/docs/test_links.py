"""Every relative link of a page leads to a file that exists."""

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_links_lead_somewhere(repository: Path) -> None:
    pages = [*repository.glob("*.md")]
    pages += (
        page
        for name in ("components", "docs", "thimble")
        for page in (repository / name).rglob("*.md")
    )
    broken = []
    for page in pages:
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            path = target.partition("#")[0]
            if path and "://" not in path and not (page.parent / path).exists():
                broken.append(f"{page.relative_to(repository)}: {target}")
    assert pages
    assert not broken
