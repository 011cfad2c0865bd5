"""Writes the rules of base/observability/rules.yaml as the Prometheus operator takes them."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
RULES = HERE / "base/observability/rules.yaml"
RESOURCE = HERE / "components/monitoring/prometheus-rule.yaml"
HEAD = """\
# Made from base/observability/rules.yaml by `make golden`; do not edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: thimble
spec:
"""


def prometheus_rule(rules: str) -> str:
    """Return the resource; the rules' own text is kept, two spaces further in."""
    body = rules[rules.index("groups:") :]
    return HEAD + "".join(f"  {line}" if line.strip() else line for line in body.splitlines(True))


if __name__ == "__main__":
    RESOURCE.write_text(prometheus_rule(RULES.read_text(encoding="utf-8")), encoding="utf-8")
