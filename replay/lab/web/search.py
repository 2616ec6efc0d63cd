"""Searches: XNAT's search documents, which fields they may name, and the SQL they become.

The document (namespace http://nrg.wustl.edu/security) names a root element, the fields to show and criteria in nested
AND/OR sets. Values never become part of a statement; field names are looked up in the table below.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from psycopg import sql

from replay.lab.web.errors import Refused

NAMESPACE = "{http://nrg.wustl.edu/security}"
MAX_DOCUMENT_BYTES = 1_000_000

SUBJECT = "xnat:subjectData"
PROJECT = "xnat:projectData"
ANY_SESSION = "xnat:imageSessionData"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """One column a search can show or test: its id, the heading, the SQL it stands for and the other names it goes by."""

    id: str
    header: str
    expression: sql.SQL
    aliases: tuple[str, ...] = ()
    type: str = "string"

    @property
    def key(self) -> str:
        """The name of the column in results."""
        return self.id.lower()


@dataclass(frozen=True, slots=True)
class Criterion:
    """One test: field, comparison (=, !=, <, <=, >, >=, LIKE, IS NULL, IS NOT NULL), value."""

    field: str
    comparison: str
    value: str


@dataclass(frozen=True, slots=True)
class CriteriaSet:
    """Tests joined by AND or OR."""

    method: str
    members: "tuple[Criterion | CriteriaSet, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What a search document asks for."""

    root_element: str
    fields: tuple[str, ...]
    where: CriteriaSet


_COMMON = (
    Field(id="INSERT_DATE", header="Inserted", expression=sql.SQL("main.insert_date::text"), type="date"),
    Field(id="INSERT_USER", header="Inserted By", expression=sql.SQL("main.insert_user")),
)
_SUBJECT_FIELDS = (
    Field(id="SUBJECT_LABEL", header="Subject", expression=sql.SQL("main.label"), aliases=("LABEL",)),
    Field(id="SUBJECTID", header="Subject ID", expression=sql.SQL("main.id"), aliases=("ID", "SUBJECT_ID")),
    Field(id="PROJECT", header="Project", expression=sql.SQL("main.project"), aliases=("PROJECTS",)),
    Field(id="GENDER_TEXT", header="M/F", expression=sql.SQL("main.gender"), aliases=("GENDER",)),
    Field(id="DOB", header="YOB", expression=sql.SQL("main.yob::text"), aliases=("YOB",), type="integer"),
    Field(id="SESSION_COUNT", header="Sessions", expression=sql.SQL("counted.n::text"), type="integer"),
    *_COMMON,
)
_SESSION_FIELDS = (
    Field(id="LABEL", header="Session", expression=sql.SQL("main.label"), aliases=("SESSION_LABEL",)),
    Field(id="SESSION_ID", header="Session ID", expression=sql.SQL("main.id"), aliases=("ID",)),
    Field(id="PROJECT", header="Project", expression=sql.SQL("main.project"), aliases=("PROJECTS",)),
    Field(id="SUBJECT_LABEL", header="Subject", expression=sql.SQL("subject.label")),
    Field(id="SUBJECT_ID", header="Subject ID", expression=sql.SQL("assessor.subject_id"), aliases=("SUBJECTID",)),
    Field(id="DATE", header="Date", expression=sql.SQL("main.date::text"), type="date"),
    Field(id="AGE", header="Age", expression=sql.SQL("assessor.age::text"), type="float"),
    Field(id="SCANNER_CSV", header="Scanner", expression=sql.SQL("image.scanner"), aliases=("SCANNER",)),
    Field(id="SCAN_TYPES", header="Scans", expression=sql.SQL("scanned.types"), aliases=("SCANS", "TYPE")),
    Field(id="XSITYPE", header="Type", expression=sql.SQL("main.xsi_type")),
    *_COMMON,
)
_PROJECT_FIELDS = (
    Field(id="ID", header="ID", expression=sql.SQL("main.id"), aliases=("PROJECT",)),
    Field(id="NAME", header="Title", expression=sql.SQL("main.name")),
    Field(id="DESCRIPTION", header="Description", expression=sql.SQL("main.description")),
    *_COMMON,
)
_SOURCES = {
    SUBJECT: sql.SQL(
        " FROM xnat_subjectdata main JOIN xnat_projectdata project ON project.id = main.project"
        " LEFT JOIN LATERAL (SELECT count(*) AS n FROM xnat_subjectassessordata a"
        " JOIN xnat_experimentdata e ON e.id = a.id WHERE a.subject_id = main.id) counted ON true"
    ),
    PROJECT: sql.SQL(" FROM xnat_projectdata main"),
    ANY_SESSION: sql.SQL(
        " FROM xnat_experimentdata main JOIN xnat_subjectassessordata assessor ON assessor.id = main.id"
        " JOIN xnat_imagesessiondata image ON image.id = main.id"
        " JOIN xnat_subjectdata subject ON subject.id = assessor.subject_id"
        " JOIN xnat_projectdata project ON project.id = main.project"
        " LEFT JOIN LATERAL (SELECT string_agg(DISTINCT c.type, ', ') AS types FROM xnat_imagescandata c"
        " WHERE c.image_session_id = main.id) scanned ON true"
    ),
}
_DEFAULTS = {
    SUBJECT: ("SUBJECT_LABEL", "GENDER_TEXT", "DOB", "SESSION_COUNT", "PROJECT"),
    PROJECT: ("ID", "NAME", "DESCRIPTION"),
    ANY_SESSION: ("LABEL", "SUBJECT_LABEL", "DATE", "AGE", "SCANNER_CSV", "SCAN_TYPES", "PROJECT"),
}
_COMPARISONS = {name: sql.SQL(name) for name in ("=", "!=", "<", "<=", ">", ">=", "IS NULL", "IS NOT NULL")}
_COMPARISONS["LIKE"] = sql.SQL("ILIKE")


def parse_search(document: bytes) -> SearchRequest:
    """Reads a search document; raises Refused(400) that says what is wrong with it."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise Refused(400, "the search document is larger than 1 MB")
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise Refused(400, "the search document must not declare a document type")
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - entities were refused above
    except ElementTree.ParseError as problem:
        raise Refused(400, f"the search document is no XML ({problem})") from problem
    element = root.findtext(f"{NAMESPACE}root_element_name", "").strip()
    if not element:
        raise Refused(400, "the search document names no root_element_name")
    fields = [
        (int(node.findtext(f"{NAMESPACE}sequence", "0") or 0), node.findtext(f"{NAMESPACE}field_ID", "").strip())
        for node in root.findall(f"{NAMESPACE}search_field")
    ]
    members = tuple(_criteria_set(node) for node in root.findall(f"{NAMESPACE}search_where"))
    return SearchRequest(
        root_element=element,
        fields=tuple(name for _, name in sorted(fields, key=lambda pair: pair[0]) if name),
        where=CriteriaSet("AND", members),
    )


def _criteria_set(node: ElementTree.Element) -> CriteriaSet:
    method = node.get("method", "AND").upper()
    if method not in ("AND", "OR"):
        raise Refused(400, f"criteria are joined by AND or OR, not {method}")
    members: list[Criterion | CriteriaSet] = []
    for member in node:
        if member.tag == f"{NAMESPACE}criteria":
            members.append(
                Criterion(
                    member.findtext(f"{NAMESPACE}schema_field", "").strip(),
                    member.findtext(f"{NAMESPACE}comparison_type", "=").strip().upper(),
                    member.findtext(f"{NAMESPACE}value", ""),
                )
            )
        elif member.tag == f"{NAMESPACE}child_set":
            members.append(_criteria_set(member))
    return CriteriaSet(method, tuple(members))


def family(root_element: str) -> str:
    """The kind of table that answers for a root element; raises Refused(404) for one that does not exist here."""
    if root_element in (SUBJECT, PROJECT):
        return root_element
    if root_element.startswith("xnat:") and root_element.endswith(("SessionData", "xperimentData", "AssessorData")):
        return ANY_SESSION
    raise Refused(404, f"there is no data type {root_element}")


def fields_of(root_element: str) -> tuple[Field, ...]:
    """All fields of a root element."""
    return {SUBJECT: _SUBJECT_FIELDS, PROJECT: _PROJECT_FIELDS, ANY_SESSION: _SESSION_FIELDS}[family(root_element)]


def field_named(root_element: str, name: str) -> Field:
    """Finds the field that `xnat:ctSessionData/label`, `xnat:ctSessionData.LABEL` or `LABEL` means; Refused(400) if none."""
    short = name.replace("/", ".").rsplit(".", 1)[-1].upper()
    for field in fields_of(root_element):
        if short == field.id or short in field.aliases:
            return field
    raise Refused(400, f"{root_element} has no field {name}")


def chosen_fields(request: SearchRequest) -> tuple[Field, ...]:
    """The fields to show, without repeats; the usual ones when the document names none."""
    names: Sequence[str] = request.fields or _DEFAULTS[family(request.root_element)]
    return tuple(dict.fromkeys(field_named(request.root_element, name) for name in names))


def source_of(root_element: str) -> sql.SQL:
    """The FROM part of a search."""
    return _SOURCES[family(root_element)]


def condition(request: SearchRequest) -> tuple[sql.Composable, list[str]]:
    """The WHERE part of a search and the values for its placeholders."""
    values: list[str] = []
    made = _set_sql(request.root_element, request.where, values)
    root = request.root_element
    if root != ANY_SESSION and root.endswith("SessionData"):
        made = sql.SQL("main.xsi_type = %s AND ") + made
        values.insert(0, root)
    return sql.SQL(" WHERE ") + made, values


def _set_sql(root_element: str, criteria: CriteriaSet, values: list[str]) -> sql.Composable:
    parts: list[sql.Composable] = []
    for member in criteria.members:
        if isinstance(member, CriteriaSet):
            parts.append(_set_sql(root_element, member, values))
            continue
        comparison = _COMPARISONS.get(member.comparison)
        if comparison is None:
            raise Refused(400, f"{member.comparison} is no comparison: use {', '.join(_COMPARISONS)}")
        field = field_named(root_element, member.field)
        if "NULL" in member.comparison:
            parts.append(sql.SQL("{} {}").format(field.expression, comparison))
            continue
        numbers = field.type in ("integer", "float") and member.comparison != "LIKE"
        form = sql.SQL("({})::float8 {} %s::float8" if numbers else "{} {} %s")
        parts.append(form.format(field.expression, comparison))
        values.append(_value(field, member, numbers))
    if not parts:
        return sql.SQL("true")
    return sql.SQL("({})").format(sql.SQL(f" {criteria.method} ").join(parts))


def _value(field: Field, criterion: Criterion, number: bool) -> str:
    """The value as the database compares it; dates may come as month/day/year, as some clients write them."""
    if number:
        try:
            return str(float(criterion.value))
        except ValueError as problem:
            raise Refused(400, f"{field.id} is a number and cannot be compared with {criterion.value}") from problem
    american = re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", criterion.value) if field.type == "date" else None
    return f"{american[3]}-{american[1]}-{american[2]}" if american else criterion.value
