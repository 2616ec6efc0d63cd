"""The journal's tables, as a history of steps: a file of any older version is brought forward, one of a newer version refused.

A step is never changed after a release; a new one is added at the end. `PRAGMA user_version` counts the steps taken.
Short strings that repeat (containers, routes, methods) are small numbers of the table `names`.
"""

from __future__ import annotations

import sqlite3

#: says in the file's header that it is a journal of Tracemark: "TRMK"
APPLICATION_ID = 0x54524D4B

_TABLES = """
CREATE TABLE names (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Clustered by container and time: charts and joins read neighbours. `position` keeps the order of commits for shipping.
CREATE TABLE samples (
    container INTEGER NOT NULL, source INTEGER NOT NULL, time_ns INTEGER NOT NULL, position INTEGER NOT NULL,
    container_id INTEGER NOT NULL, cpu_total_ns INTEGER NOT NULL, cpu_user_ns INTEGER, cpu_system_ns INTEGER,
    system_cpu_ns INTEGER, online_cpus INTEGER, cpu_percent REAL, throttled_periods INTEGER, throttled_ns INTEGER,
    memory_bytes INTEGER, memory_usage_bytes INTEGER, memory_limit_bytes INTEGER, rx_bytes INTEGER, tx_bytes INTEGER,
    rx_packets INTEGER, tx_packets INTEGER, block_read_bytes INTEGER, block_write_bytes INTEGER, pids INTEGER,
    PRIMARY KEY (container, source, time_ns)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX samples_position ON samples (position);

CREATE TABLE requests (
    position INTEGER PRIMARY KEY, server INTEGER NOT NULL, start_ns INTEGER NOT NULL, duration_ns INTEGER, method INTEGER,
    route INTEGER, status INTEGER, sent_bytes INTEGER, received_bytes INTEGER, upstream_ns INTEGER,
    upstream_header_ns INTEGER, content_type INTEGER, session TEXT, action_id TEXT
) STRICT;
CREATE INDEX requests_start ON requests (start_ns);
CREATE INDEX requests_action ON requests (action_id) WHERE action_id IS NOT NULL;
CREATE INDEX requests_session ON requests (session) WHERE session IS NOT NULL;

CREATE TABLE sessions (
    session TEXT PRIMARY KEY, position INTEGER NOT NULL UNIQUE, source TEXT NOT NULL, client TEXT NOT NULL,
    started_ns INTEGER NOT NULL, role TEXT, setup TEXT, run TEXT, repetition INTEGER, scenario TEXT
) STRICT;
CREATE INDEX sessions_run ON sessions (run) WHERE run IS NOT NULL;

CREATE TABLE markers (
    position INTEGER PRIMARY KEY, session TEXT NOT NULL, seq INTEGER NOT NULL, action_id TEXT NOT NULL,
    action INTEGER NOT NULL, phase INTEGER NOT NULL, wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL,
    offset_ns INTEGER, offset_error_ns INTEGER, received_ns INTEGER NOT NULL, attributes TEXT NOT NULL,
    UNIQUE (session, seq)
) STRICT;
CREATE INDEX markers_action ON markers (action_id);
CREATE INDEX markers_received ON markers (received_ns);

CREATE TABLE transfers (
    position INTEGER PRIMARY KEY, session TEXT NOT NULL, action_id TEXT, start_ns INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL, down_bytes INTEGER NOT NULL, up_bytes INTEGER NOT NULL, packets INTEGER NOT NULL,
    retransmitted INTEGER NOT NULL
) STRICT;
CREATE INDEX transfers_session ON transfers (session);
CREATE TABLE ratings (
    position INTEGER PRIMARY KEY, session TEXT NOT NULL, action_id TEXT, time_ns INTEGER NOT NULL, score INTEGER NOT NULL
) STRICT;
CREATE INDEX ratings_session ON ratings (session);

CREATE TABLE gaps (
    part TEXT NOT NULL, subject TEXT NOT NULL, start_ns INTEGER NOT NULL, position INTEGER NOT NULL UNIQUE,
    end_ns INTEGER, reason TEXT NOT NULL,
    PRIMARY KEY (part, subject, start_ns)
) STRICT, WITHOUT ROWID;

-- `number` never changes; `changed` is the position at which the action or a usage of it last changed; `settled` is 1 when its
-- usage was computed after that.
CREATE TABLE actions (
    number INTEGER PRIMARY KEY, action_id TEXT NOT NULL UNIQUE, position INTEGER NOT NULL UNIQUE,
    action TEXT NOT NULL, session TEXT, source TEXT NOT NULL, start_ns INTEGER NOT NULL, duration_ns INTEGER NOT NULL,
    outcome TEXT NOT NULL, clock_offset_ns INTEGER, clock_error_ns INTEGER, attributes TEXT NOT NULL,
    end_ns INTEGER NOT NULL GENERATED ALWAYS AS (start_ns + duration_ns) STORED,
    changed INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX actions_start ON actions (start_ns);
CREATE INDEX actions_end ON actions (end_ns);
CREATE INDEX actions_changed ON actions (changed);
CREATE INDEX actions_session ON actions (session);
CREATE INDEX actions_unsettled ON actions (end_ns) WHERE settled = 0;

CREATE TABLE usages (
    action_id TEXT NOT NULL, container TEXT NOT NULL, position INTEGER NOT NULL UNIQUE, cpu_seconds REAL,
    cpu_percent_mean REAL, cpu_percent_peak REAL, peak_duration_s REAL, memory_bytes_peak INTEGER, memory_rise_bytes INTEGER,
    rx_bytes INTEGER, tx_bytes INTEGER, throttled_seconds REAL, samples INTEGER NOT NULL, hz REAL, sample_source TEXT,
    overlapped INTEGER NOT NULL, requests INTEGER NOT NULL, sent_bytes INTEGER NOT NULL,
    PRIMARY KEY (action_id, container)
) STRICT, WITHOUT ROWID;
"""

#: points that the store refused, with its reason
_SET_ASIDE = """
CREATE TABLE set_aside (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL, line TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
"""

#: transfers that the browser told have no packets; all before were captures
_TRANSFERS_OF_THE_BROWSER = """
ALTER TABLE transfers RENAME COLUMN packets TO had_packets;
ALTER TABLE transfers RENAME COLUMN retransmitted TO had_retransmitted;
ALTER TABLE transfers ADD COLUMN packets INTEGER;
ALTER TABLE transfers ADD COLUMN retransmitted INTEGER;
ALTER TABLE transfers ADD COLUMN method TEXT NOT NULL DEFAULT 'capture';
ALTER TABLE transfers ADD COLUMN out_of_order INTEGER;
ALTER TABLE transfers ADD COLUMN lost INTEGER;
UPDATE transfers SET packets = had_packets, retransmitted = had_retransmitted;
ALTER TABLE transfers DROP COLUMN had_packets;
ALTER TABLE transfers DROP COLUMN had_retransmitted;
"""

#: which attempt at a repetition a session belongs to, and what became of it; before, every session of a run counted
_ATTEMPTS = """
ALTER TABLE sessions ADD COLUMN attempt TEXT;
ALTER TABLE sessions ADD COLUMN series INTEGER;
ALTER TABLE sessions ADD COLUMN outcome TEXT;
"""

#: step n brings a journal of version n to version n + 1; version 0 is an empty file
MIGRATIONS: tuple[str, ...] = (_TABLES, _SET_ASIDE, _TRANSFERS_OF_THE_BROWSER, _ATTEMPTS)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Take the steps from `version` to ours, each in a transaction of its own: a crash leaves a whole older or newer version."""
    for done, step in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in _statements(step):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {done}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")


def _statements(script: str) -> list[str]:
    # `executescript` would commit the transaction that we opened.
    statements, rest = [], ""
    for line in script.splitlines():
        rest += line + "\n"
        if sqlite3.complete_statement(rest):
            statements.append(rest)
            rest = ""
    return statements
