"""Where a row, a bar or a region leads: from an action to its cost, and to the curves of its time."""

from __future__ import annotations

_KEEP = "${datasource:queryparam}&${site:queryparam}"

#: the curves between the begin and five seconds after the end of a row's action
THIS_ACTION = (
    "Curves of this action",
    f"/d/tracemark-resources?from=${{__data.fields.Time.numeric}}&to=${{__data.fields.to.numeric}}&{_KEEP}",
)
COST_OF_ROW = (
    "What such actions cost",
    f"/d/tracemark-costs?var-action=${{__data.fields.action}}&from=$__from&to=$__to&{_KEEP}",
)
COST_OF_BAR = (
    "What such actions cost",
    f"/d/tracemark-costs?var-action=${{__field.labels.lane}}&from=$__from&to=$__to&{_KEEP}",
)
REGIONS_OF_ROW = (
    "Curves with such actions",
    f"/d/tracemark-resources?var-action=${{__data.fields.action}}&from=$__from&to=$__to&{_KEEP}",
)
REQUESTS_OF_ROUTE = (
    "Requests of this route",
    f"/d/tracemark-requests?var-route=${{__data.fields.route:percentencode}}&from=$__from&to=$__to&{_KEEP}",
)
