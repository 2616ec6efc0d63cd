-- The catalogue, laid out like XNAT's generic model: an experiment is spread over one table per level of its type,
-- a resource belongs to any level, results of a search are kept as a table that is then read page by page.

CREATE SCHEMA IF NOT EXISTS xdat_search;

CREATE TABLE IF NOT EXISTS xnat_projectdata (
    id text PRIMARY KEY,
    secondary_id text NOT NULL,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    pi_firstname text NOT NULL DEFAULT '',
    pi_lastname text NOT NULL DEFAULT '',
    insert_user text NOT NULL DEFAULT 'admin',
    insert_date timestamp NOT NULL DEFAULT now()
);

CREATE SEQUENCE IF NOT EXISTS subject_number;
CREATE TABLE IF NOT EXISTS xnat_subjectdata (
    id text PRIMARY KEY DEFAULT 'XNAT_S' || lpad(nextval('subject_number')::text, 5, '0'),
    project text NOT NULL REFERENCES xnat_projectdata,
    label text NOT NULL,
    gender text NOT NULL DEFAULT '',
    yob integer,
    insert_user text NOT NULL DEFAULT 'admin',
    insert_date timestamp NOT NULL DEFAULT now(),
    UNIQUE (project, label)
);

CREATE SEQUENCE IF NOT EXISTS experiment_number;
CREATE TABLE IF NOT EXISTS xnat_experimentdata (
    id text PRIMARY KEY DEFAULT 'XNAT_E' || lpad(nextval('experiment_number')::text, 5, '0'),
    project text NOT NULL REFERENCES xnat_projectdata,
    label text NOT NULL,
    xsi_type text NOT NULL,
    date date,
    insert_user text NOT NULL DEFAULT 'admin',
    insert_date timestamp NOT NULL DEFAULT now(),
    UNIQUE (project, label)
);
CREATE INDEX IF NOT EXISTS xnat_experimentdata_type ON xnat_experimentdata (xsi_type);

CREATE TABLE IF NOT EXISTS xnat_subjectassessordata (
    id text PRIMARY KEY REFERENCES xnat_experimentdata ON DELETE CASCADE,
    subject_id text NOT NULL REFERENCES xnat_subjectdata,
    age double precision
);
CREATE INDEX IF NOT EXISTS xnat_subjectassessordata_subject ON xnat_subjectassessordata (subject_id);

CREATE TABLE IF NOT EXISTS xnat_imagesessiondata (
    id text PRIMARY KEY REFERENCES xnat_subjectassessordata ON DELETE CASCADE,
    scanner text NOT NULL DEFAULT '',
    modality text NOT NULL DEFAULT '',
    uid text NOT NULL DEFAULT ''
);

CREATE TABLE IF NOT EXISTS xnat_imagescandata (
    xnat_imagescandata_id bigserial PRIMARY KEY,
    image_session_id text NOT NULL REFERENCES xnat_imagesessiondata ON DELETE CASCADE,
    id text NOT NULL,
    type text NOT NULL DEFAULT '',
    xsi_type text NOT NULL,
    series_description text NOT NULL DEFAULT '',
    modality text NOT NULL DEFAULT '',
    quality text NOT NULL DEFAULT 'usable',
    note text NOT NULL DEFAULT '',
    frames integer,
    uid text NOT NULL DEFAULT '',
    UNIQUE (image_session_id, id)
);
CREATE INDEX IF NOT EXISTS xnat_imagescandata_type ON xnat_imagescandata (type);

CREATE SEQUENCE IF NOT EXISTS resource_number START 10001;
CREATE TABLE IF NOT EXISTS xnat_abstractresource (
    xnat_abstractresource_id bigint PRIMARY KEY DEFAULT nextval('resource_number'),
    owner_kind text NOT NULL CHECK (owner_kind IN ('project', 'subject', 'experiment', 'scan')),
    owner_id text NOT NULL,
    label text NOT NULL,
    format text NOT NULL DEFAULT '',
    content text NOT NULL DEFAULT '',
    directory text NOT NULL,
    UNIQUE (owner_kind, owner_id, label)
);

-- XNAT keeps these lines in a catalogue file beside the data.
CREATE TABLE IF NOT EXISTS catalog_entry (
    resource_id bigint NOT NULL REFERENCES xnat_abstractresource ON DELETE CASCADE,
    name text NOT NULL,
    size bigint NOT NULL,
    digest text NOT NULL DEFAULT '',
    format text NOT NULL DEFAULT '',
    content text NOT NULL DEFAULT '',
    tags text NOT NULL DEFAULT '',
    PRIMARY KEY (resource_id, name)
);

CREATE TABLE IF NOT EXISTS viewer_study (
    experiment_id text PRIMARY KEY REFERENCES xnat_experimentdata ON DELETE CASCADE,
    made timestamp NOT NULL DEFAULT now(),
    study text NOT NULL
);

CREATE TABLE IF NOT EXISTS xdat_search.prearchive (
    project text NOT NULL,
    "timestamp" text NOT NULL,
    folder_name text NOT NULL,
    name text NOT NULL,
    subject text NOT NULL DEFAULT '',
    status text NOT NULL,
    scan_date text NOT NULL DEFAULT '',
    scan_time text NOT NULL DEFAULT '',
    uploaded timestamp NOT NULL DEFAULT now(),
    lastmod timestamp NOT NULL DEFAULT now(),
    directory text NOT NULL,
    PRIMARY KEY (project, "timestamp", folder_name)
);

CREATE TABLE IF NOT EXISTS xdat_search.cached_table (
    table_id text PRIMARY KEY,
    username text NOT NULL,
    root_element text NOT NULL,
    columns text[] NOT NULL,
    total integer NOT NULL,
    created timestamp NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS cached_table_created ON xdat_search.cached_table (created);

CREATE TABLE IF NOT EXISTS xdat_search.cached_row (
    table_id text NOT NULL REFERENCES xdat_search.cached_table ON DELETE CASCADE,
    position integer NOT NULL,
    cells text[] NOT NULL,
    PRIMARY KEY (table_id, position)
);
