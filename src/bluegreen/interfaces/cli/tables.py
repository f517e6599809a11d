"""The tables that are drawn with rich. Cells are plain text: nothing from outside is read as markup."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bluegreen.control import views as v
from bluegreen.domain.deployment import Phase
from bluegreen.interfaces.cli.output import clock_time, count, duration, milliseconds, printable, rate, share

PHASE_STYLES = {
    Phase.COMPLETED: "green",
    Phase.RETAINING: "green",
    Phase.ROLLED_BACK: "red",
    Phase.ROLLING_BACK: "red",
    Phase.FAILED: "red",
    Phase.ABORTED: "yellow",
    Phase.AWAITING_APPROVAL: "yellow",
}


def table(*columns: str, right: Sequence[str] = (), wrap: Sequence[str] = ()) -> Table:
    """An empty table with a light look; `right` are columns of numbers, `wrap` those that may be broken."""
    made = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False, padding=(0, 1))
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column not in wrap,
            overflow="fold" if column in wrap else "ellipsis",
        )
    return made


def phase_text(phase: str) -> Text:
    styles: dict[str, str] = {str(key): style for key, style in PHASE_STYLES.items()}
    return Text(phase.replace("_", " "), style=styles.get(phase, "cyan"))


def healthy_text(slot: v.SlotView) -> Text:
    style = {True: "green", False: "red", None: "dim"}[slot.healthy]
    return Text(f"{slot.replicas_healthy}/{slot.replicas}", style=style)


def error_text(slot: v.SlotView) -> Text:
    return Text(share(slot.error_rate), style="red" if slot.error_rate else "")


def slot_cells(service: v.ServiceView, color: str) -> list[Text]:
    """SLOT VERSION STATE HEALTHY TRAFFIC IN-FLIGHT REQ/S ERRORS RESTARTS of one slot."""
    slot = service.slots[color]
    active = service.active == color
    weight = service.route.weights.get(color, 0) if service.route else None
    return [
        Text(f"{'●' if active else '○'} {color}", style=f"bold {color}" if active else color),
        Text(printable(slot.version or "-")),
        Text(slot.state or "-", style="red" if slot.state == "failed" else ""),
        healthy_text(slot),
        Text("-" if weight is None else f"{weight} %", style="bold" if weight else "dim"),
        Text(count(slot.in_flight)),
        Text(rate(slot.requests_per_second)),
        error_text(slot),
        Text(str(slot.restarts), style="red" if slot.restarts else "dim"),
    ]


SLOT_COLUMNS = ("SLOT", "VERSION", "STATE", "HEALTHY", "TRAFFIC", "IN FLIGHT", "REQ/S", "ERRORS", "RESTARTS")
SLOT_NUMBERS = ("HEALTHY", "TRAFFIC", "IN FLIGHT", "REQ/S", "ERRORS", "RESTARTS")


def occupied_colors(service: v.ServiceView) -> list[str]:
    """The slots with something in them, the active one first."""
    colors = [color for color, slot in service.slots.items() if slot.workload_id is not None]
    return sorted(colors, key=lambda color: color != service.active)


def slots_table(service: v.ServiceView) -> Table:
    made = table(*SLOT_COLUMNS, right=SLOT_NUMBERS)
    for color in occupied_colors(service):
        made.add_row(*slot_cells(service, color))
    return made


def status_screen(view: v.StatusView) -> RenderableType:
    """Every service with its slots, then where each deployment stands."""
    slots = table("SERVICE", *SLOT_COLUMNS, right=SLOT_NUMBERS)
    deployments = table("SERVICE", "DEPLOYMENT", "PHASE", "FOR", "ROUTE", "REASON", right=("FOR",), wrap=("REASON",))
    for service in view.services:
        _add_slots(slots, service)
        _add_deployment(deployments, service)
    router = Text.assemble(
        ("● " if view.router_alive else "✗ ", "green" if view.router_alive else "red bold"),
        f"router {view.router or ('alive' if view.router_alive else 'not alive')} on {view.listen}",
        (f"   daemon {view.version}, pid {view.pid}", "dim"),
    )
    if not view.services:
        return Group(router, Text("no service is configured yet"))
    return Group(router, Text(), slots, Text(), deployments)


def _add_slots(slots: Table, service: v.ServiceView) -> None:
    name = Text(service.name, style="bold")
    for color in occupied_colors(service):
        slots.add_row(name, *slot_cells(service, color))
        name = Text()
    if name.plain:
        slots.add_row(name, Text("empty", style="dim"), *[Text("-", style="dim")] * (len(SLOT_COLUMNS) - 1))


def _add_deployment(deployments: Table, service: v.ServiceView) -> None:
    view, route = service.deployment, service.route
    generation = Text(f"generation {route.generation}" if route else "-")
    if view is None:
        hint = f"nothing deployed yet: bluegreen deploy {service.name}"
        deployments.add_row(Text(service.name, style="bold"), "-", "-", "-", generation, Text(hint, style="dim"))
        return
    ended = view.ended_at is not None
    since = f"{clock_time(view.ended_at or 0.0)}" if ended else duration(time.time() - view.phase_since)
    reason = Text(printable(view.reason))
    if view.attention and not ended:
        reason = Text(printable(f"NEEDS ATTENTION: {view.attention}. {view.reason}"), style="yellow")
    deployments.add_row(
        Text(service.name, style="bold"), Text(view.id), phase_text(view.phase), Text(since), generation, reason
    )


def history_table(view: v.HistoryView) -> Table:
    made = table(
        "DEPLOYMENT", "VERSION", "FROM", "OUTCOME", "WHEN", "TOOK", "SWITCH", "BY", "CAUSE",
        right=("TOOK", "SWITCH"), wrap=("CAUSE",),
    )  # fmt: skip
    for past in view.deployments:
        took = (past.ended_at or time.time()) - past.requested_at
        before = (past.previous_image or "-").rpartition(":")[2]
        made.add_row(
            Text(past.id),
            Text(printable(past.version)),
            Text(printable(before)),
            phase_text(past.phase).append(f" at {past.share} %" if past.shares_traffic else ""),
            Text(clock_time(past.requested_at)),
            Text(duration(took)),
            Text(milliseconds(past.switch_milliseconds)),
            Text(printable(past.requested_by)),
            Text(printable(past.cause)),
        )
    return made


def plan_screen(view: v.PlanView) -> RenderableType:
    lines = [Text.assemble((view.service, "bold"), " → ", (view.image, "bold"), f" as {view.green_color}")]
    lines.append(Text("\nRequirements", style="bold"))
    for requirement in view.requirements:
        mark = ("✓", "green") if requirement.met else ("✗", "red bold")
        lines.append(Text.assemble("  ", mark, f" {requirement.name}: {printable(requirement.detail)}"))
    lines.append(Text("\nSteps", style="bold"))
    lines += [Text(f"  {number}. {printable(step)}") for number, step in enumerate(view.steps, 1)]
    if view.notes:
        lines.append(Text("\nNotes", style="bold"))
        lines += [Text(f"  • {printable(text)}", style="yellow") for text in view.notes]
    return Group(*lines)
