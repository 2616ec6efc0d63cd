"""The boards, in the order in which one asks: each a module with `board()`."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from grafana.boards import baseline, costs, experience, long, network, overview, own, requests, resources


def boards() -> tuple[dashboard.Dashboard, ...]:
    """All boards."""
    return (
        overview.board(),
        resources.board(),
        costs.board(),
        network.board(),
        requests.board(),
        baseline.board(),
        experience.board(),
        long.board(),
        own.board(),
    )
