"""Alerts that people do not want to hear of for a while: a document of the kind `silence` per alert name."""

from __future__ import annotations

from datetime import UTC, datetime

from bluegreen.control.ports import DocumentStore

KIND = "silence"


async def silenced(documents: DocumentStore, alert_name: str, now: float) -> str:
    """Who silenced this alert, until when and why; empty when nobody did, or no longer. Raises StoreError.

    The document has `until` (epoch seconds), `by` and `reason`.
    """
    document = await documents.get(KIND, alert_name)
    if document is None or not now < float(document["until"]):
        return ""
    until = datetime.fromtimestamp(float(document["until"]), UTC).isoformat(timespec="seconds")
    reason = document.get("reason", "")
    return f"silenced by {document.get('by') or 'somebody'} until {until}{f': {reason}' if reason else ''}"
