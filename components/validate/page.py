"""The page for the Kubeflow UI: anomalies on top, then the distributions side by side."""

import html
from typing import Any

__all__ = ["render_page"]


def render_page(verdict: dict[str, Any]) -> str:
    """Return a page that needs no network."""
    rows = "".join(
        f"<tr><td>{html.escape(each['name'])}</td>"
        f"<td>{'passed' if each['passed'] else 'failed'}</td>"
        f"<td>{html.escape(each['detail'])}</td></tr>"
        for each in verdict["checks"]
    )
    title = "Data set passed" if verdict["passed"] else "Data set failed"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<h1>{title}</h1><p>{html.escape(verdict['reason'])}</p><table>{rows}</table></html>\n"
    )
