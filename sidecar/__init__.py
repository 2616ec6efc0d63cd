"""Tracemark's sidecar: it runs beside XNAT and shows what every user action costs.

The map of the package, in reading order:

    service.py    builds every part and wires them; reads like the picture in ARCHITECTURE.md
    model/        records, pairing, points, wire messages: the shared kernel, no I/O
    collect/      frames, cgroup files and access logs become samples, requests and gaps
    markers/      the channel on which browsers and the replayer tell what users do
    journal/      the one place that holds data: SQLite, one writer, many readers
    settle.py     an ended action is joined with its samples and requests
    analysis/     pure: joins, usage tables
    ship/         the journal delivered to InfluxDB
    web/          the HTTP API and the live page
    report/       tables and the self-contained report
    cli/          one module per command (what `check` looks at is in check_*.py); __main__.py is the table of them
"""

__version__ = "0.1.0"
