"""What is measured, as queries, one module per kind of measurement; `common` has the conditions that they share.

Names are those of `sidecar.model.measurements`, and a test holds the queries to them.
"""
