"""Colours and units: one family with the live page and the report."""

from __future__ import annotations

#: as in the study: CPU is blue, memory red; the hues of the live page
CPU = "#0072B2"
MEMORY = "#C44E52"
#: what is known to be absent
GAP = "#8A8A8A"
#: what is compared: the baseline is grey, today is not
BASELINE = "#8A8A8A"
TODAY = "#D55E00"
DOWN, UP = "#0072B2", "#E69F00"
SERVER, WIRE = "#009E73", "#CC79A7"
#: limits: from here on look at it, from here on act
WARN, BAD, GOOD = "#E69F00", "#D55E00", "#009E73"

# Grafana's names of units
PERCENT = "percent"
BYTES = "bytes"
BYTES_PER_S = "Bps"
BITS_PER_S = "bps"
MILLISECONDS = "ms"
SECONDS = "s"
COUNT = "short"
PER_SECOND = "reqps"
PER_MINUTE = "cpm"
RATIO = "percentunit"
