"""Grafana as code: signals (what is asked) -> panels (how it is drawn) -> boards (what stands together).

`python grafana/build.py` writes `dashboards/*.json` and `provisioning/**`; both are committed and byte-checked by a test.
Reading order: influxql, style, signals, looks, panels, frame, boards, alerts, provision, build.
"""
