"""The state diagram, drawn from the TRANSITIONS table so that it can't be out of date."""

from __future__ import annotations

from bluegreen.domain.deployment import TERMINAL_PHASES, TRANSITIONS, Phase


def mermaid() -> str:
    """A Mermaid state diagram of every transition that changes the phase."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.PREFLIGHT}: deployment_requested"]
    labels: dict[tuple[Phase, Phase], list[str]] = {}
    for (source, kind), target in TRANSITIONS.items():
        if source is not target:
            labels.setdefault((source, target), []).append(kind)
    for (source, target), kinds in sorted(labels.items(), key=lambda item: (list(Phase).index(item[0][0]), item[0][1])):
        lines.append(f"    {source} --> {target}: {', '.join(kinds)}")
    lines += [f"    {phase} --> [*]" for phase in Phase if phase in TERMINAL_PHASES]
    return "\n".join(lines)
