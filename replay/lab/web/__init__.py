"""The web application of the practice system: it answers like XNAT where users and clients touch it.

In reading order: `settings` (environment), `__main__` (builds everything and listens), `app` (the Flask application out of
its parts), `gate` (who may do what: login, cookies, CSRF) over `auth` (sessions, accounts), `catalogue` over `database`
(PostgreSQL, `schema.sql`, `seed`), `pages` and `templates` (what people see), `search` (listings), `rest_*` (what clients
call), `rest_files` over `zipstream` (downloads), `importer` and `prearchive` (uploads), `viewer`, `schemas`, `logs`.

Every test and measurement against it stands for the same against XNAT only as far as this resemblance goes.
"""
