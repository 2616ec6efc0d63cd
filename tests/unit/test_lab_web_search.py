"""Search documents: what is read out of them, what SQL they become, what is refused."""

from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from replay.lab.web.errors import Refused
from replay.lab.web.search import (
    ANY_SESSION,
    SUBJECT,
    CriteriaSet,
    Criterion,
    SearchRequest,
    chosen_fields,
    condition,
    field_named,
    parse_search,
)


def document(body: str, element: str = "xnat:ctSessionData") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><xdat:search ID="@x" xmlns:xdat="http://nrg.wustl.edu/security">'
        f"<xdat:root_element_name>{element}</xdat:root_element_name>{body}</xdat:search>"
    ).encode()


def criterion(field: str, comparison: str, value: str) -> str:
    return (
        f'<xdat:criteria override_value_formatting="0"><xdat:schema_field>{field}</xdat:schema_field>'
        f"<xdat:comparison_type>{comparison}</xdat:comparison_type><xdat:value>{escape(value)}</xdat:value></xdat:criteria>"
    )


def where_of(found: SearchRequest) -> tuple[str, list[str]]:
    composed, values = condition(found)
    return composed.as_string(None), values


def test_fields_come_in_their_sequence() -> None:
    fields = "".join(
        f"<xdat:search_field><xdat:element_name>e</xdat:element_name><xdat:field_ID>{name}</xdat:field_ID>"
        f"<xdat:sequence>{at}</xdat:sequence></xdat:search_field>"
        for at, name in ((2, "DATE"), (0, "LABEL"), (1, "AGE"))
    )
    found = parse_search(document(fields))
    assert found.root_element == "xnat:ctSessionData"
    assert [field.id for field in chosen_fields(found)] == ["LABEL", "AGE", "DATE"]


def test_no_fields_means_the_usual_ones() -> None:
    assert [field.id for field in chosen_fields(parse_search(document("", SUBJECT)))][:2] == ["SUBJECT_LABEL", "GENDER_TEXT"]


def test_nested_criteria_become_nested_sql_and_values_stay_apart() -> None:
    inner = criterion("xnat:ctSessionData.LABEL", "LIKE", "%CT1%") + criterion("xnat:ctSessionData/age", ">=", "60")
    body = (
        f'<xdat:search_where method="AND">{criterion("xnat:ctSessionData/project", "=", "P")}'
        f'<xdat:child_set method="OR">{inner}</xdat:child_set></xdat:search_where>'
    )
    statement, values = where_of(parse_search(document(body)))
    assert statement == (
        " WHERE main.xsi_type = %s AND ((main.project = %s AND"
        " (main.label ILIKE %s OR (assessor.age::text)::float8 >= %s::float8)))"
    )
    assert values == ["xnat:ctSessionData", "P", "%CT1%", "60.0"]


def test_any_session_does_not_ask_for_a_type() -> None:
    assert where_of(parse_search(document("", ANY_SESSION))) == (" WHERE true", [])


def test_null_tests_take_no_value() -> None:
    body = f"<xdat:search_where>{criterion('LABEL', 'IS NOT NULL', 'x')}</xdat:search_where>"
    statement, values = where_of(parse_search(document(body, ANY_SESSION)))
    assert statement == " WHERE ((main.label IS NOT NULL))"
    assert values == []


def test_dates_of_clients_become_dates_of_the_database() -> None:
    body = f"<xdat:search_where>{criterion('DATE', '>', '03/04/2021')}</xdat:search_where>"
    assert where_of(parse_search(document(body, ANY_SESSION)))[1] == ["2021-03-04"]


@settings(deadline=None)
@given(value=st.text(st.characters(min_codepoint=32, codec="utf-8"), max_size=50))
def test_no_value_ever_stands_in_the_statement(value: str) -> None:
    request = SearchRequest(root_element=SUBJECT, fields=(), where=CriteriaSet("AND", (Criterion("LABEL", "=", value),)))
    composed, values = condition(request)
    assert composed.as_string(None) == " WHERE (main.label = %s)"
    assert values == [value]


@pytest.mark.parametrize("name", ["LABEL", "label", "xnat:ctSessionData/label", "xnat:ctSessionData.LABEL"])
def test_a_field_has_many_spellings(name: str) -> None:
    assert field_named("xnat:ctSessionData", name).id == "LABEL"


@pytest.mark.parametrize(
    ("body", "element", "status", "complaint"),
    [
        ("<xdat:search_where>" + criterion("x/nonsense", "=", "1") + "</xdat:search_where>", SUBJECT, 400, "no field"),
        ("<xdat:search_where>" + criterion("x/LABEL", "; DROP", "1") + "</xdat:search_where>", SUBJECT, 400, "comparison"),
        ("<xdat:search_where>" + criterion("x/DOB", ">", "old") + "</xdat:search_where>", SUBJECT, 400, "a number"),
        ('<xdat:search_where method="NOR"/>', SUBJECT, 400, "AND or OR"),
        ("", "", 400, "root_element_name"),
        ("", "xnat:nonsense", 404, "no data type"),
    ],
)
def test_what_is_wrong_is_named(body: str, element: str, status: int, complaint: str) -> None:
    with pytest.raises(Refused, match=complaint) as caught:
        condition_of_fields(parse_search(document(body, element)))
    assert caught.value.status == status


def condition_of_fields(found: SearchRequest) -> sql.Composable:
    chosen_fields(found)
    return condition(found)[0]


@pytest.mark.parametrize("body", [b"", b"<a", b"not xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        parse_search(body)
    assert caught.value.status == 400
