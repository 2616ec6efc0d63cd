"""What people see: login, home, project, subject and session pages, download, upload and prearchive pages."""

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from replay.lab.web import replies
from replay.lab.web.auth import Accounts
from replay.lab.web.catalogue import Catalogue
from replay.lab.web.database import Row
from replay.lab.web.errors import Refused
from replay.lab.web.gate import LOGIN, Gate, path_pairs, quoted, user_name, web_session
from replay.lab.web.rest_search import SearchService, session_search

INDEX = "/app/template/Index.vm"


class Pages:
    """The pages and Turbine actions."""

    def __init__(self, gate: Gate, accounts: Accounts, catalogue: Catalogue, search: SearchService) -> None:
        self._gate = gate
        self._accounts = accounts
        self._catalogue = catalogue
        self._search = search

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("pages", __name__)
        routes.add_url_rule("/", view_func=self.home)
        routes.add_url_rule("/app", view_func=self.home, endpoint="app")
        routes.add_url_rule("/login", view_func=self.log_in, methods=["POST"])
        routes.add_url_rule("/app/action/LogoutUser", view_func=self.log_out)
        routes.add_url_rule("/app/action/QuickSearchAction", view_func=self.quick_search, methods=["GET", "POST"])
        routes.add_url_rule("/app/action/DisplayItemAction/<path:pairs>", view_func=self.item)
        routes.add_url_rule("/app/action/DownloadSessionsAction/<path:pairs>", view_func=self.download)
        routes.add_url_rule("/app/action/ProjectDownloadAction/project/<project>", view_func=self.download_project)
        routes.add_url_rule(
            "/app/action/SubjectDownloadAction/project/<project>/subject/<subject>", view_func=self.download_subject
        )
        routes.add_url_rule("/app/template/<path:rest>", view_func=self.template)
        return routes

    def home(self) -> AnyResponse:
        """The home page; the login page for clients that look without logging in."""
        if web_session().user is None:
            return make_response(render_template("login.html", failed=False))
        return make_response(render_template("home.html", counts=self._catalogue.counts(), projects=self._catalogue.projects()))

    def log_in(self) -> AnyResponse:
        """Takes the login form: a new session and on to the page that was asked for, or back with `failed=true`."""
        name = request.form.get("username", "")
        user = self._accounts.check(name, request.form.get("password", ""))
        if user is None:
            self._gate.record_login(name or "guest", "FAILED (BadCredentialsException): Bad credentials")
            return redirect(self._gate.path_of(LOGIN) + "?failed=true")
        wanted = web_session().wanted
        self._gate.log_in(user)
        self._gate.record_login(user, "SUCCESS")
        return redirect(self._gate.path_of(wanted or INDEX + "?login=true"))

    def log_out(self) -> AnyResponse:
        """Ends the session and goes back to the login page."""
        self._gate.log_out()
        return redirect(self._gate.path_of(LOGIN))

    def quick_search(self) -> AnyResponse:
        """Searches sessions; a single find opens its page at once, as XNAT does."""
        words = request.values.get("searchValue", "").strip()
        if not words:
            return redirect(self._gate.path_of(INDEX))
        wanted = session_search(words)
        if self._search.count(wanted) == 1:
            found = self._search.rows(wanted, limit=1)[0]
            experiment = self._catalogue.the_experiment(found["label"], found["project"])
            return redirect(self._gate.path_of("/data/" + session_path(experiment)))
        return make_response(render_template("search.html", words=words))

    def item(self, pairs: str) -> AnyResponse:
        """Shows the item that the path pairs `search_element/…/search_value/…` name."""
        values = path_pairs("/app/action/DisplayItemAction/" + pairs)
        return self._show(values.get("search_element", ""), values.get("search_value", ""), values.get("project"))

    def template(self, rest: str) -> AnyResponse:
        """Shows the screen of that name; an unknown one is a 404."""
        name = rest.split("/", 1)[0]
        values = path_pairs("/app/template/" + rest)
        if name == "Login.vm":
            return make_response(render_template("login.html", failed=request.args.get("failed") == "true"))
        if name == "Index.vm":
            return self.home()
        if name.startswith("XDATScreen_report_"):
            return self._show(values.get("search_element", ""), values.get("search_value", ""), values.get("project"))
        if name == "XDATScreen_download_sessions.vm":
            return self._download_page(self._named_sessions({**values, **request.args.to_dict()}))
        if name in ("UploadOptions.vm", "CompressedUploaderPage.vm"):
            return make_response(render_template("upload.html", projects=self._catalogue.projects()))
        if name == "XDATScreen_prearchives.vm":
            return make_response(render_template("prearchive.html"))
        return replies.error_page(404, f"Unable to find the screen {name}.")

    def download(self, pairs: str) -> AnyResponse:
        """The download page of one session."""
        return self._download_page(self._named_sessions(path_pairs("/app/action/DownloadSessionsAction/" + pairs)))

    def download_project(self, project: str) -> AnyResponse:
        """The download page of a whole project."""
        return self._download_page(self._catalogue.experiments(self._catalogue.the_project(project)["id"]))

    def download_subject(self, project: str, subject: str) -> AnyResponse:
        """The download page of one subject."""
        found = self._catalogue.the_subject(subject, project)
        return self._download_page(self._catalogue.experiments(project, found["id"]))

    def project_page(self, project: Row) -> Response:
        """The page of a project with its listings."""
        return make_response(render_template("project.html", project=project))

    def subject_page(self, subject: Row) -> Response:
        """The page of a subject with its sessions."""
        sessions = self._catalogue.experiments(subject["project"], subject["id"])
        return make_response(render_template("subject.html", subject=subject, sessions=sessions))

    def session_page(self, experiment: Row) -> Response:
        """The page of an image session with its scans."""
        scans = self._catalogue.scans(experiment["id"])
        context = [
            {"id": scan["id"], "series_description": scan["series_description"], "xsitype": scan["xsi_type"]} for scan in scans
        ]
        return make_response(render_template("session.html", session=experiment, scans=scans, scan_context=context))

    def _show(self, element: str, value: str, project: str | None) -> Response:
        if element == "xnat:projectData":
            return self.project_page(self._catalogue.the_project(value))
        if element == "xnat:subjectData":
            return self.subject_page(self._catalogue.the_subject(value, project))
        if element.endswith("SessionData"):
            return self.session_page(self._catalogue.the_experiment(value, project))
        raise Refused(404, f"there is no page for {element or 'an item without search_element'}")

    def _named_sessions(self, values: dict[str, str]) -> list[Row]:
        value = values.get("search_value") or values.get("session") or ""
        return [self._catalogue.the_experiment(value, values.get("project"))]

    def _download_page(self, sessions: list[Row]) -> Response:
        types = self._catalogue.scan_types_of([session["id"] for session in sessions])
        return make_response(render_template("download.html", sessions=sessions, scan_types=types))


def session_path(experiment: Row) -> str:
    """The usual address of a session below /data/."""
    return (
        quoted("projects", experiment["project"], "subjects", experiment["subject_label"])
        + "/"
        + quoted("experiments", experiment["id"])
    )


def page_context(gate: Gate) -> dict[str, object]:
    """What every template may use: user, CSRF token, addresses with the context path."""
    return {"user": user_name(), "csrf": web_session().csrf, "path": gate.path_of, "quoted": quoted}
