"""What every operation of the API keeps to: parameters, fields, pages, versions of rows, keys, packing, endings."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from django.utils.text import slugify
from rest_framework.views import APIView

from agents import housekeeping
from config.packing import takes_gzip
from maintenance import owned
from maintenance.people_models import Skill
from sensors import idempotency, problems
from sensors.contract import Contract
from sensors.models import Site
from sensors.request_models import IdempotentRequest
from tests import factories
from tests.client import JSON, client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

API = "/api/v1/"
SKILLS = f"{API}skills/"


@pytest.fixture
def site() -> Site:
    return factories.site()


@pytest.fixture
def boss(site: Site) -> User:
    return factories.user(site=site, role="ADMIN")


@pytest.fixture
def http(boss: User) -> Client:
    return client(boss)


def added(http: Client, site: Site, name: str = "Welding", **headers: str) -> Any:
    return http.post(SKILLS, {"site": site.pk, "code": slugify(name)[:20], "name": name}, JSON, headers=headers)


def views() -> Iterator[tuple[str, type[APIView]]]:
    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            path = f"{prefix}{pattern.pattern}"
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            elif path.startswith("api/"):
                yield path, getattr(pattern.callback, "cls", None)

    yield from walk(get_resolver().url_patterns, "")


def test_every_view_of_the_api_keeps_the_contract() -> None:
    assert [path for path, kind in views() if not issubclass(kind, Contract)] == ["api/v1/schema/", "api/v1/docs/"]


# Parameters


@pytest.mark.parametrize("path", ["skills/?nam=x", "alarms/?is_opne=true", "kpis/?site=1&top=2", "sites/?x=1&y=2"])
def test_a_parameter_that_there_is_not_is_named_with_those_that_there_are(http: Client, path: str) -> None:
    said = problem(http.get(API + path), status=400, name="invalid")
    assert [error["parameter"] for error in said["errors"]] == [
        part.split("=")[0] for part in path.split("?")[1].split("&") if not part.startswith("site=")
    ]
    assert "There are: " in said["errors"][0]["detail"]


def test_what_is_wrong_with_a_parameter_is_said_of_the_parameter(http: Client) -> None:
    for path, name in (("alarms/?priority=LOUD", "priority"), ("kpis/?site=x", "site"), ("alarms/?cursor=x", "cursor")):
        (error,) = problem(http.get(API + path), status=400, name="invalid")["errors"]
        assert (error["parameter"], "pointer" in error) == (name, False)


@pytest.mark.parametrize("size", ["0", "-1", "1001", "ten", "", "1e2", "9" * 500])
def test_a_page_has_a_size_or_is_refused(http: Client, size: str) -> None:
    for name in ("skills", "ml/models"):
        (error,) = problem(http.get(f"{API}{name}/?page_size={size}"), status=400, name="invalid")["errors"]
        assert error["parameter"] == "page_size"


@pytest.mark.parametrize("page", ["0", "-1", "2", "x", "9" * 500])
def test_a_page_that_is_not_there_is_a_wrong_parameter(http: Client, page: str) -> None:
    (error,) = problem(http.get(f"{API}ml/models/?page={page}"), status=400, name="invalid")["errors"]
    assert error["parameter"] == "page"


def test_a_pointer_escapes_what_has_a_meaning_in_pointers() -> None:
    assert list(problems._pointers({"a/b~c": ["No."]}, "#")) == [{"detail": "No.", "pointer": "#/a~1b~0c"}]


def test_a_list_is_ordered_as_asked_by_what_is_allowed(http: Client, site: Site) -> None:
    for name in ("A", "B", "C"):
        added(http, site, name)
    seen, page = [], http.get(f"{SKILLS}?ordering=id&page_size=2").json()
    while True:
        seen += [row["name"] for row in page["results"]]
        if not page["next"]:
            break
        page = http.get(page["next"]).json()
    assert seen == ["A", "B", "C"]
    (error,) = problem(http.get(f"{SKILLS}?ordering=name"), status=400, name="invalid")["errors"]
    assert error["parameter"] == "ordering"


def test_only_the_fields_that_are_asked_for_are_shown(http: Client, site: Site) -> None:
    key = added(http, site).json()["id"]
    assert http.get(f"{SKILLS}?fields=name,id").json()["results"] == [{"id": key, "name": "Welding"}]
    assert http.get(f"{SKILLS}{key}/?fields=name").json() == {"name": "Welding"}
    (error,) = problem(http.get(f"{SKILLS}?fields=name,secret"), status=400, name="invalid")["errors"]
    assert (error["parameter"], "id, site, code, name" in error["detail"]) == ("fields", True)


# Versions of rows


def test_a_row_has_a_version_that_get_and_writes_tell_alike(http: Client, site: Site) -> None:
    made = added(http, site)
    path = f"{SKILLS}{made.json()['id']}/"
    read = http.get(path)
    assert made["ETag"] == read["ETag"]
    assert not read["ETag"].startswith("W/")
    again = http.get(path, headers={"If-None-Match": read["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", read["ETag"])
    changed = http.patch(path, {"name": "Soldering"}, JSON, headers={"If-Match": read["ETag"]})
    assert changed.status_code == 200
    assert changed["ETag"] == http.get(path)["ETag"] != read["ETag"]
    assert http.get(path, headers={"If-None-Match": read["ETag"]}).status_code == 200


def test_a_change_of_what_has_changed_meanwhile_is_refused_and_without_a_version_it_is_made(
    http: Client, site: Site
) -> None:
    made = added(http, site)
    path, seen = f"{SKILLS}{made.json()['id']}/", {"If-Match": made["ETag"]}
    assert http.patch(path, {"name": "Mine"}, JSON).status_code == 200
    for answer in (
        http.patch(path, {"name": "Yours"}, JSON, headers=seen),
        http.delete(path, headers=seen),
        http.patch(path, {"name": "Yours"}, JSON, headers={"If-Match": f"W/{http.get(path)['ETag']}"}),
    ):
        problem(answer, status=412, name="precondition-failed")
    assert http.get(path).json()["name"] == "Mine"
    assert http.delete(path, headers={"If-Match": f'"other", {http.get(path)["ETag"]}'}).status_code == 204
    problem(http.delete(path, headers={"If-Match": "*"}), status=404, name="not-found")


def test_a_row_of_another_site_has_no_version_to_guess(http: Client) -> None:
    elsewhere = factories.site()
    theirs = added(client(factories.user(site=elsewhere, role="ADMIN")), elsewhere)
    path = f"{SKILLS}{theirs.json()['id']}/"
    for tag in (theirs["ETag"], '"x"', "*"):
        problem(http.patch(path, {"name": "x"}, JSON, headers={"If-Match": tag}), status=404, name="not-found")


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What calls return that are made at the same time, each on a connection of its own."""
    start, found = threading.Barrier(len(calls)), [None] * len(calls)

    def run(number: int) -> None:
        try:
            start.wait(30)
            found[number] = calls[number]()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.django_db(transaction=True)
def test_of_two_who_change_the_same_version_at_once_one_is_refused() -> None:
    site = factories.site()
    http = client(factories.user(site=site, role="ADMIN"))
    made = added(http, site)
    path, seen = f"{SKILLS}{made.json()['id']}/", {"If-Match": made["ETag"]}

    def change(name: str) -> Callable[[], int]:
        return lambda: http.patch(path, {"name": name}, JSON, headers=seen).status_code

    assert sorted(at_once(change("One"), change("Two"), change("Three"))) == [200, 412, 412]


@pytest.mark.django_db(transaction=True)
def test_a_version_is_looked_at_after_whoever_changes_the_row_is_through() -> None:
    site = factories.site()
    boss = factories.user(site=site, role="ADMIN")
    http = client(boss)
    made = added(http, site)
    path, seen = f"{SKILLS}{made.json()['id']}/", {"If-Match": made["ETag"]}
    answers: list[int] = []

    def late() -> None:
        try:
            answers.append(http.patch(path, {"name": "Late"}, JSON, headers=seen).status_code)
        finally:
            connection.close()

    with transaction.atomic():  # as a page does, without a version
        owned.change(Skill.objects.get(), {"name": "Early"}, actor=boss)
        thread = threading.Thread(target=late)
        thread.start()
        thread.join(0.3)
        assert answers == []
    thread.join(30)
    assert (answers, Skill.objects.get().name) == ([412], "Early")


# Idempotency keys


def test_a_request_with_a_key_is_carried_out_once(http: Client, site: Site) -> None:
    first = added(http, site, **{"Idempotency-Key": "k-1"})
    again = added(http, site, **{"Idempotency-Key": '"k-1"'})
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.content, again["ETag"]) == (first.content, first["ETag"])
    assert (first.has_header("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (False, "true")
    assert Skill.objects.count() == 1
    problem(added(http, site, "Other", **{"Idempotency-Key": "k-1"}), status=422, name="unprocessable")
    problem(
        http.post(f"{API}teams/", {"site": site.pk, "name": "Welding"}, JSON, headers={"Idempotency-Key": "k-1"}),
        status=422, name="unprocessable",
    )  # fmt: skip


def test_a_key_is_of_one_account_and_holds_for_a_day(http: Client, site: Site) -> None:
    added(http, site, **{"Idempotency-Key": "k"})
    other = added(client(factories.user(site=site, role="ADMIN")), site, "Other", **{"Idempotency-Key": "k"})
    assert other.status_code == 201
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert added(http, site, "New", **{"Idempotency-Key": "k"}).status_code == 201
    assert Skill.objects.count() == 3
    assert (housekeeping.forget_requests(), IdempotentRequest.objects.count()) == (1, 1)


def test_what_was_refused_is_not_kept(http: Client, site: Site) -> None:
    key = {"Idempotency-Key": "k"}
    problem(added(http, site, "", **key), status=400, name="invalid")
    assert IdempotentRequest.objects.count() == 0
    assert added(http, site, **key).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "ä"])
def test_what_is_no_key_is_refused(http: Client, site: Site, key: str) -> None:
    problem(added(http, site, **{"Idempotency-Key": key}), status=400, name="invalid")
    assert Skill.objects.count() == 0


def test_a_file_is_taken_once_too(http: Client, site: Site) -> None:
    machine = factories.machine(site=site)
    asked = {"machine": machine.pk, "title": "Guard", "maintenance_type": "INSPECTION"}
    order = http.post(f"{API}work-orders/", asked, JSON).json()["id"]
    key = {"Idempotency-Key": "file"}
    for text, status in (("Notes", 201), ("Notes", 201), ("Other", 422)):
        upload = SimpleUploadedFile("notes.txt", text.encode())
        answer = http.post(f"{API}attachments/", {"order": order, "file": upload}, headers=key)
        assert answer.status_code == status, answer.content
    assert http.get(f"{API}attachments/?order={order}").json()["results"][1:] == []


@pytest.mark.django_db(transaction=True)
def test_of_requests_with_the_same_key_at_once_one_is_carried_out() -> None:
    site = factories.site()
    http = client(factories.user(site=site, role="ADMIN"))
    ask = lambda: added(http, site, **{"Idempotency-Key": "k"}).status_code  # noqa: E731
    assert set(at_once(*[ask] * 4)) <= {201, 409}
    assert (Skill.objects.count(), ask()) == (1, 201)


@pytest.mark.django_db(transaction=True)
def test_a_request_that_is_under_way_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    site = factories.site()
    boss = factories.user(site=site, role="ADMIN")
    http, inside, go = client(boss), threading.Event(), threading.Event()
    add = owned.add

    def slow(*args: Any, **more: Any) -> Any:
        inside.set()
        go.wait(30)
        return add(*args, **more)

    monkeypatch.setattr(owned, "add", slow)

    def first() -> int:
        return added(http, site, **{"Idempotency-Key": "k"}).status_code

    def second() -> int:
        inside.wait(30)
        answer = added(http, site, **{"Idempotency-Key": "k"})
        go.set()
        problem(answer, status=409, name="conflict")
        return int(answer["Retry-After"])

    assert at_once(first, second) == [201, 1]


@pytest.mark.django_db(transaction=True)
def test_whoever_dies_between_doing_and_telling_has_done_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    site = factories.site()
    http = client(factories.user(site=site, role="ADMIN"))
    http.raise_request_exception = False

    def dies(*_: Any) -> bytes:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "_body", dies)
        problem(added(http, site, **{"Idempotency-Key": "k"}), status=500, name="internal")
    assert Skill.objects.count() == 0
    assert added(http, site, **{"Idempotency-Key": "k"}).status_code == 201
    assert added(http, site, **{"Idempotency-Key": "k"})["Idempotent-Replayed"] == "true"
    assert Skill.objects.count() == 1


# Packing


def test_a_packed_body_is_read_wherever_a_body_is_read(http: Client, site: Site) -> None:
    packed = gzip.compress(json.dumps({"site": site.pk, "code": "W", "name": "Welding"}).encode())
    made = http.post(SKILLS, packed, JSON, headers={"Content-Encoding": "gzip"})
    assert made.status_code == 201, made.content
    change = gzip.compress(b'{"name": "Soldering"}')
    path = f"{SKILLS}{made.json()['id']}/"
    assert http.patch(path, change, JSON, headers={"Content-Encoding": "gzip"}).json()["name"] == "Soldering"
    for body, encoding, status, name in (
        (b"no gzip", "gzip", 400, "malformed"),
        (packed[:-9], "gzip", 400, "malformed"),
        (gzip.compress(b" " * 50_000_000), "gzip", 413, "too-large"),
        (b"{}", "br", 415, "unsupported-media-type"),
    ):
        answer = http.post(SKILLS, body, JSON, headers={"Content-Encoding": encoding})
        problem(answer, status=status, name=name)


def test_a_long_answer_to_a_token_is_packed_and_its_tag_still_holds(http: Client, site: Site) -> None:
    for number in range(12):
        added(http, site, f"Skill {number} with a rather long name, so that it counts")
    packed = http.get(SKILLS, headers={"Accept-Encoding": "br, gzip"})
    assert (packed["Content-Encoding"], "Accept-Encoding" in packed["Vary"]) == ("gzip", True)
    assert gzip.decompress(packed.content) == http.get(SKILLS).content
    assert not http.get(f"{SKILLS}?fields=id", headers={"Accept-Encoding": "gzip"}).has_header("Content-Encoding")
    made = added(http, site, "x" * 100)
    path = f"{SKILLS}{made.json()['id']}/"
    tag = f'{made["ETag"][:-1]}-gzip"'
    assert http.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert http.patch(path, {"name": "y"}, JSON, headers={"If-Match": tag}).status_code == 200


def test_nothing_is_packed_for_a_page_or_without_a_token() -> None:
    for path in ("/admin/login/", f"{API}sites/"):
        assert not Client().get(path, headers={"Accept-Encoding": "gzip"}).has_header("Content-Encoding")


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [("gzip", True), ("br;q=1, GZIP ; q=0.5", True), ("*", True), ("gzip;q=0", False), ("gzip; q=0.000", False),
     ("", False), ("identity", False)],
)  # fmt: skip
def test_gzip_is_taken_where_it_is_named(accepted: str, taken: bool) -> None:
    assert takes_gzip(accepted) is taken


# Endings


def test_the_second_addresses_of_tokens_say_that_they_end() -> None:
    for name in ("token-refresh", "token-blacklist"):
        old = Client().post(reverse(f"{name}-under-token"), {"refresh": "x"}, JSON)
        assert old["Deprecation"].startswith("@")
        assert old["Sunset"].endswith("GMT")
        assert f'<{reverse(name)}>; rel="successor-version"' in old["Link"]
        assert 'rel="deprecation"' in old["Link"]
        assert not Client().post(reverse(name), {"refresh": "x"}, JSON).has_header("Deprecation")


def test_every_kind_of_problem_has_its_page() -> None:
    for name in problems.TITLES:
        page = Client().get(reverse("problem", args=[name]))
        assert (page.status_code, name in problems.MEANINGS) == (200, True)
    assert {400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 429, 500, 503} <= set(problems.ANSWERS)


def test_what_django_refuses_is_a_problem_for_clients(http: Client) -> None:
    problem(Client().get(f"{API}nothing/"), status=404, name="not-found")
    problem(Client().get(f"{API}sites/", headers={"Host": "elsewhere.example"}), status=400, name="invalid")
    problem(http.put(f"{API}sites/"), status=405, name="method-not-allowed")
    problem(http.get(f"{API}sites/", headers={"Accept": "text/csv"}), status=406, name="not-acceptable")
