"""Paths become routes: only words of XNAT's own URLs stay, everything else becomes `{}`, so that no id can enter.

The words are a closed list. A path of a plugin or of another application keeps its shape (`/xapi/{}/{}`), not its words; that
is the price of never storing a subject's label by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

ID: Final = "{}"
#: the one route of all paths that come after the cap
OTHER: Final = "{other}"
#: distinct routes that are kept; the words above allow many more, real traffic needs about a hundred
MAX_ROUTES = 1000
MAX_SEGMENTS = 20

# What may follow a word: anything; nothing that is told apart; Turbine's pairs /key/value (keys of the closed list stay, values
# never). Every other set means that an id follows, unless the next segment is in the set.
_ANY, _NOTHING, _PAIRS = frozenset({"*"}), frozenset({""}), frozenset({"/"})

_PLAIN = """
    data REST xapi app archive user cache services import prearchive JSESSION auth version status config search saved elements
    action template servlet setup login logout download downloadwithsize zip xml catalog exists generate-all-metadata viewer
    viewerDicomweb viewerConfig roi ohifaiaa ohifroicolor servers roicolor roipreset permissions RoiCollection username profile
    current siteConfig buildInfo notifications token tokens issue validate delete move rebuild commit build
    dicomscp dicom_dump dicomdump pipelines schemas features access access_control refresh
    catalogs studies series instances metadata frames rendered rs history report favicon.ico robots.txt actuator health
    AjaxServlet monitoring xsync automation containers commands plugins swagger-ui.html tables
"""
_BEFORE_AN_ID = """
    projects project subjects subject experiments experiment scans scan reconstructions reconstruction assessors assessor
    resources resource users groups collections sessions session searches aets roles workflows events launchers
    search_value search_field search_element
"""
_LAST = "files scripts style styles images themes css js fonts pdf VIEWER webjars"
_AN_ID_OR = {
    "search": "saved elements",
    "users": "username profile current",
    "catalogs": "download",
    "download": "",
    "profile": "",
    "saved": "",
    "elements": "",
    "status": "",
}
_TURBINE = """
    Index.vm Login.vm Search.vm UploadOptions.vm UploadAssistantPage.vm CompressedUploaderPage.vm DICOMSCPPage.vm XMLUpload.vm
    ImageUpload.vm DataTypeSearch.vm XDATScreen_uploadCSV.vm XDATScreen_prearchives.vm XDATScreen_UpdateUser.vm
    XDATScreen_search_wizard1.vm XDATScreen_search_wizard2.vm XDATScreen_download_sessions.vm
    XDATScreen_report_xnat_projectData.vm XDATScreen_report_xnat_subjectData.vm XDATScreen_report_xnat_mrSessionData.vm
    XDATScreen_report_xnat_ctSessionData.vm XDATScreen_report_xnat_petSessionData.vm XDATScreen_bundle.vm XDATScreen_admin.vm
    Page.vm DisplayItemAction DisplaySearchAction
    QuickSearchAction BundleAction CSVAction DownloadSessionsAction ProjectDownloadAction
    SubjectDownloadAction LogoutUser XDATLoginUser XDATActionRouter SearchAction ModifyItem EditItem
"""
_PAIR_KEYS = """
    search_element search_field search_value project subject experiment session scan popup dataType part params bundle
    tag display view xsiType format destination topTab leftTab id page login
"""


def _vocabulary() -> dict[str, frozenset[str]]:
    after = dict.fromkeys(_PLAIN.split(), _ANY)
    after.update(dict.fromkeys(_BEFORE_AN_ID.split(), frozenset[str]()))
    after.update({word: frozenset(others.split()) for word, others in _AN_ID_OR.items()})
    after.update(dict.fromkeys(_LAST.split(), _NOTHING))
    after.update(dict.fromkeys(_TURBINE.split(), _PAIRS))
    return after


class Routes:
    """Turns paths into routes and counts how many there are.

    `context_path` is the path below which XNAT answers ("" or such as /xnat); it is no part of a route.
    """

    def __init__(self, context_path: str = "", max_routes: int = MAX_ROUTES, extra_words: Iterable[str] = ()) -> None:
        self._context = context_path.rstrip("/")
        self._max = max_routes
        self._after = _vocabulary() | dict.fromkeys(extra_words, _ANY)
        self._pair_keys = frozenset(_PAIR_KEYS.split())
        self._known: dict[str, str] = {}
        self.overflowed = 0

    @property
    def distinct(self) -> int:
        return len(self._known)

    @property
    def words(self) -> frozenset[str]:
        """All segments that a route may have beside `{}`."""
        return frozenset(self._after) | self._pair_keys

    def route(self, target: str) -> str:
        """The route of a request target: no query, no ids, no values; `{other}` when there are too many routes already."""
        path = target.partition("?")[0]
        if path[:1] != "/":
            path = _path_of(path)
        if ";" in path:
            path = "/".join([segment.partition(";")[0] for segment in path.split("/")])
        if self._context and path.startswith(self._context) and path[len(self._context) : len(self._context) + 1] in ("", "/"):
            path = path[len(self._context) :]
        route = self._walk(path)
        known = self._known.get(route)
        if known is not None:
            return known
        if len(self._known) >= self._max:
            self.overflowed += 1
            return OTHER
        self._known[route] = route
        return route

    def _walk(self, path: str) -> str:
        after = self._after
        parts = [""]
        excepted: frozenset[str] | None = None
        segments = path.split("/", MAX_SEGMENTS)
        for place, segment in enumerate(segments):
            if not segment:
                continue
            if excepted is not None and segment not in excepted:
                excepted = None
                parts.append(ID)
                continue
            excepted = None
            following = after.get(segment)
            if following is None:
                parts.append(ID)
                continue
            parts.append(segment)
            if following is _ANY:
                continue
            if following is _NOTHING:
                if any(segments[place + 1 :]):
                    parts.append(ID)
                break
            if following is _PAIRS:
                for nth, word in enumerate(segments[place + 1 :]):
                    parts.append(word if nth % 2 == 0 and word in self._pair_keys else ID)
                break
            excepted = following
        return "/".join(parts) if len(parts) > 1 else "/"


def _path_of(target: str) -> str:
    """The path of a target that does not begin with one: a whole URL, `*`, an address for CONNECT, or bytes without sense."""
    scheme, found, rest = target.partition("://")
    if found and scheme.lower() in ("http", "https"):
        return "/" + rest.partition("/")[2]
    return "/" + target


def experiment_of(target: str) -> str | None:
    """The experiment (id or label) that a target is about; to tell requests of one viewer from another's, never to be stored."""
    _, found, rest = target.partition("/experiments/")
    if not found:
        return None
    return rest.partition("/")[0].partition("?")[0] or None
