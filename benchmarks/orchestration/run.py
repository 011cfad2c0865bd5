"""What running a pipeline costs beside the stages' own work.

The overhead of a stage is its wall time as the run sees it (process start, imports, kfp, artifacts)
minus what the stage itself measured while it computed. `python benchmarks/orchestration/run.py
[RUN_FOLDER]` reads a run that ended, by default runs/demo, in which at least one task was not
cached when it was last run.
"""

import json
import sys
from pathlib import Path

REACH_SECONDS = 5.0


def main(folder: Path) -> int:
    """Print the table of a run folder."""
    path = folder / "timings.json"
    if not path.exists():
        print(f"{path} is missing. Run `make demo` first, or name a run folder.", file=sys.stderr)
        return 2
    timings = json.loads(path.read_text(encoding="utf-8"))
    tasks = timings["tasks"]
    print(f"| task of {folder} | wall s | own compute s | overhead s |\n|---|---|---|---|")
    for label, task in tasks.items():
        overhead = task["seconds"] - task["stage_seconds"]
        print(f"| {label} | {task['seconds']:.1f} | {task['stage_seconds']:.1f} | {overhead:.1f} |")
    wall = sum(task["seconds"] for task in tasks.values())
    own = sum(task["stage_seconds"] for task in tasks.values())
    each = (wall - own) / len(tasks)
    print(f"| **{len(tasks)} tasks** | {wall:.1f} | {own:.1f} | {wall - own:.1f} |")
    print(f"\n{each:.2f} s a stage; to reach: <= {REACH_SECONDS:.0f} s a stage.")
    cached = sum(task["ended"] == "cached" for task in tasks.values())
    print(f"The latest run there took {timings['seconds']:.1f} s, {cached} tasks were cached.")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")))
