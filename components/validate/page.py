"""The page for the Kubeflow UI: anomalies on top, then the distributions side by side."""

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.validate.comparison import Message, Sample, counts_of, share_present, words_of
from components.validate.drift import Drift

__all__ = ["render_page"]

STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
WIDTH, HEIGHT, BASE = 290, 120, 96
SHOWN_WORDS = 8
MISSING = "(missing)"


def render_page(verdict: Mapping[str, Any], drift: Drift | None) -> str:
    """Return one HTML page that needs neither scripts nor a network.

    Args:
        verdict: What validation.json holds.
        drift: The comparison; None if no image could be read.
    """
    said = "is fit for training" if verdict["passed"] else "is not fit for training"
    body = [_head(verdict, said), _anomalies(verdict["anomalies"])]
    if drift:
        body.append(_distributions(drift, verdict["anomalies"]))
    body.append(_checks(verdict["checks"]))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>Data set {said}</title>\n"
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><main>\n{''.join(body)}</main></body></html>\n"
    )


def _head(verdict: Mapping[str, Any], said: str) -> str:
    """Return the verdict and what was compared."""
    state = "pass" if verdict["passed"] else "fail"
    word = "passed" if verdict["passed"] else "failed"
    compared = "There is no last release to compare with: its schema is inferred from these images."
    if known := verdict["compared"]:
        compared = (
            f"Compared with the {known['images']:,} images of {known['patients']:,} patients of "
            "the last release."
        )
    reason = f"<p>{_text(verdict['reason'])}</p>" if verdict["reason"] else ""
    faults = ", ".join(verdict["faults"])
    likely = f"<p><strong>Most likely: {_text(faults)}.</strong></p>" if faults else ""
    return (
        f'<section class="verdict {state}"><p><span class="chip {state}">{word}</span></p>'
        f"<h1>The data set {said}</h1>{likely}{reason}"
        f'<p class="muted">{verdict["images"]:,} images. {compared}</p></section>\n'
    )


def _anomalies(anomalies: Sequence[Mapping[str, Any]]) -> str:
    """Return the list of everything that is not as it was, what fails first."""
    if not anomalies:
        return "<section><h2>Anomalies</h2><p>None.</p></section>\n"
    parts = []
    for each in sorted(anomalies, key=lambda each: (not each["fails"], each["feature"])):
        state, word = ("fail", "fails") if each["fails"] else ("told", "told")
        parts.append(
            f'<dt>{_text(each["feature"])} <span class="chip {state}">{word}</span>'
            f'<span class="muted">{each["kind"]}</span></dt>'
            f'<dd><p>{_text(each["likely"])}</p><p class="muted">{_text(each["found"])}</p></dd>'
        )
    return f"<section><h2>Anomalies</h2><dl>{''.join(parts)}</dl></section>\n"


def _checks(checks: Sequence[Mapping[str, Any]]) -> str:
    """Return what the data set holds by itself."""
    parts = []
    for each in sorted(checks, key=lambda each: bool(each["passed"])):
        state, word = ("pass", "passed") if each["passed"] else ("fail", "failed")
        parts.append(
            f'<dt>{_text(each["name"])} <span class="chip {state}">{word}</span></dt>'
            f"<dd>{_text(each['detail'])}</dd>"
        )
    return (
        f"<section><h2>Checks of the data set by itself</h2><dl>{''.join(parts)}</dl></section>\n"
    )


def _distributions(drift: Drift, anomalies: Sequence[Mapping[str, Any]]) -> str:
    """Return one chart a feature, what fails first."""
    failing = {each["feature"] for each in anomalies if each["fails"]}
    current, reference = drift.current or drift.sample, drift.reference
    names = sorted({*current.features(), *(reference.features() if reference else ())})
    names.sort(key=lambda name: name not in failing)
    keys = '<span class="key"><i></i>this data set</span>'
    if reference:
        keys += '<span class="key"><i class="old"></i>last release</span>'
    charts = "".join(_chart(name, current, reference, name in failing) for name in names)
    return (
        f'<section><h2>Distributions</h2><p class="muted">{keys}</p>'
        '<p class="muted">Bars are shares of the images. Numbers are cut where the earlier set '
        "falls into about equal parts; the first and the last part lie outside all that it held."
        "</p>"
        f'<div class="charts">{charts}</div></section>\n'
    )


def _chart(name: str, current: Sample, reference: Sample | None, fails: bool) -> str:
    """Return the bars of one feature."""
    found = [sample.features().get(name) if sample else None for sample in (reference, current)]
    first = next(each for each in found if each is not None)
    if counts_of(first).size:
        labels, shares = _number_bars(found)
    else:
        labels, shares = _word_bars(found)
    state = "fail" if fails else ""
    chip = '<span class="chip fail">fails</span>' if fails else ""
    described = ", ".join(
        f"{label}: "
        + " then ".join(f"{100 * part[n]:.0f} %" for part in shares if part is not None)
        for n, label in enumerate(labels)
    )
    bars = "".join(_bars(labels, shares))
    return (
        f'<figure class="{state}"><figcaption><h3>{_text(name)}</h3>{chip}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_text(described)}">'
        f"{bars}</svg></figure>\n"
    )


def _number_bars(
    found: Sequence[Message | None],
) -> tuple[list[str], list[np.ndarray[Any, Any] | None]]:
    """Return the upper edge of each part, and its share in either sample."""
    first = next(each for each in found if each is not None)
    histogram = next(h for h in first.num_stats.histograms if h.type == h.STANDARD)
    edges = [bucket.high_value for bucket in histogram.buckets[:-1]]
    labels = [f"{edge:.3g}" for edge in edges] + [""]
    shares = [None if each is None else _normal(counts_of(each), len(labels)) for each in found]
    return labels, shares


def _word_bars(
    found: Sequence[Message | None],
) -> tuple[list[str], list[np.ndarray[Any, Any] | None]]:
    """Return the most frequent words, and their share in either sample."""
    counted = [None if each is None else words_of(each) for each in found]
    total: dict[str, float] = {}
    for words in counted:
        for word, count in (words or {}).items():
            total[word] = total.get(word, 0) + count
    labels = sorted(total, key=lambda word: -total[word])[:SHOWN_WORDS]
    shares: list[np.ndarray[Any, Any] | None] = []
    for each, words in zip(found, counted, strict=True):
        if each is None or words is None:
            shares.append(None)
            continue
        present = share_present(each)
        whole = sum(words.values()) or 1
        parts = [words.get(label, 0) / whole * present for label in labels]
        shares.append(np.array([*parts, 1 - present]))
    if all(part is None or part[-1] < 1e-9 for part in shares):
        return labels, [None if part is None else part[:-1] for part in shares]
    return [*labels, MISSING], shares


def _normal(counts: np.ndarray[Any, Any], parts: int) -> np.ndarray[Any, Any]:
    """Return counts as shares; zeros where there are none."""
    return counts / counts.sum() if counts.size == parts and counts.sum() else np.zeros(parts)


def _bars(labels: Sequence[str], shares: Sequence[np.ndarray[Any, Any] | None]) -> Iterator[str]:
    """Yield the bars of the earlier sample, those of this one beside them, and the axis."""
    drawn = [part for part in shares if part is not None and part.size]
    top = max([float(part.max()) for part in drawn] + [1e-9])
    room = WIDTH / max(len(labels), 1)
    each = 0.8 * room / len(shares)
    numbers = all(label == "" or label[0] in "-0123456789" for label in labels)
    for kind, part, offset in zip(
        ("before", "now"), shares, (0.1 * room, 0.1 * room + each), strict=True
    ):
        for n, share in enumerate(part if part is not None else ()):
            high = (BASE - 12) * float(share) / top
            yield (
                f'<rect class="{kind}" x="{n * room + offset:.1f}" y="{BASE - high:.1f}" '
                f'width="{each:.1f}" height="{high:.1f}"/>'
            )
    yield f'<line class="axis" x1="0" x2="{WIDTH}" y1="{BASE}" y2="{BASE}"/>'
    yield f'<text x="{WIDTH}" y="10" text-anchor="end">{100 * top:.0f} %</text>'
    if numbers:
        shown = sorted({0, (len(labels) - 1) // 2, len(labels) - 2} & set(range(len(labels))))
        for n in shown:
            yield _label((n + 1) * room, labels[n])
        return
    for n, label in enumerate(labels):
        yield _label((n + 0.5) * room, label[: max(3, int(room / 6.2))])


def _label(place: float, text: str) -> str:
    """Return a word under the axis."""
    anchor = "start" if place < 20 else "end" if place > WIDTH - 20 else "middle"
    return f'<text x="{place:.1f}" y="{BASE + 15}" text-anchor="{anchor}">{_text(text)}</text>'


def _text(words: str) -> str:
    """Return text that HTML takes as text."""
    return html.escape(str(words))
