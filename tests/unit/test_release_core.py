"""The stand-in core's pure parts: errors, lists, cron, tokens, switches, faults."""

import json
from email.message import Message

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.release.standin.core import listing
from lab.release.standin.core.configuration import Switches
from lab.release.standin.core.cron import check_cron
from lab.release.standin.core.errors import ApiError
from lab.release.standin.core.faults import Faults
from lab.release.standin.core.local import Manifest
from lab.release.standin.core.redisclient import Target
from lab.release.standin.core.security import hash_password, verify_password
from lab.release.standin.core.tokens import Tokens
from lab.release.standin.web import Body, Request, Response


def request(path="/api/v2.0/projects", method="GET", **query):
    headers = Message()
    return Request(method, path, query, "", headers, Body(None, headers))


def body(response):
    return json.loads(response.body)


# errors


def test_error_bodies_are_harbors():
    response = ApiError(409, "it is there").response()

    assert response.status == 409
    assert body(response) == {"errors": [{"code": "CONFLICT", "message": "it is there"}]}


def test_internal_errors_are_masked():
    error = body(ApiError(500, "the password is x").response())["errors"][0]

    assert error == {"code": "UNKNOWN", "message": "internal server error"}


# lists

ITEMS = [{"id": n, "name": f"proxy.{n}", "project_id": n % 2} for n in range(25)]


def names(**query):
    found = listing.respond(request(**query), list(ITEMS), lambda item: item["name"])
    return body(found), found.headers


def test_a_page_has_ten_by_default_and_says_how_many_there_are():
    page, headers = names()

    assert len(page) == 10
    assert headers["X-Total-Count"] == "25"
    assert 'rel="next"' in headers["Link"]
    assert 'rel="prev"' not in headers["Link"]


def test_the_last_page_has_no_next():
    page, headers = names(page="3")

    assert page == [f"proxy.{n}" for n in range(20, 25)]
    assert "next" not in headers["Link"]


def test_more_than_a_hundred_at_once_is_refused():
    with pytest.raises(ApiError) as refused:
        names(page_size="101")
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("q", "count"),
    [
        ("name=proxy.2", 1),
        ("name=~proxy.2", 6),
        ("ProjectID=1", 12),
        ("name=~2,ProjectID=1", 2),
        ("name=none", 0),
    ],
)
def test_q_filters_exactly_fuzzily_and_together(q, count):
    _, headers = names(q=q)

    assert headers["X-Total-Count"] == str(count)


# cron


@pytest.mark.parametrize(
    "text", ["0 0 3 * * *", "0 */10 * * * *", "0 0 0 * * 1-5", "0 0 0 1,15 * ?"]
)
def test_six_fields_that_start_with_zero(text):
    check_cron(text, "test")


@pytest.mark.parametrize("text", ["", "0 3 * * *", "1 0 3 * * *", "* * * * * *", "0 0 3 * * * *"])
def test_other_cron_strings_are_400(text):
    with pytest.raises(ApiError) as refused:
        check_cron(text, "test")
    assert refused.value.status == 400


# tokens and passwords


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "private_key.pem"
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return path


def test_a_token_is_verified_by_the_key_that_signed_it(key):
    tokens = Tokens(key)
    access = [{"type": "repository", "name": "p/x", "actions": ["pull"]}]

    assert tokens.verify(tokens.issue("admin", access, 60))["access"] == access


def test_altered_and_old_tokens_are_worth_nothing(key):
    tokens = Tokens(key)
    good = tokens.issue("admin", [], 60)

    assert tokens.verify(good[:-4] + "AAAA") is None
    assert tokens.verify("word") is None
    assert tokens.verify(tokens.issue("admin", [], -61)) is None


def test_passwords():
    stored = hash_password("ChangeMe123")

    assert verify_password(stored, "ChangeMe123")
    assert not verify_password(stored, "ChangeMe124")
    assert not verify_password("", "")


# switches and faults


def test_other_addresses_for_public_hosts(tmp_path):
    switches = Switches(tmp_path)
    assert switches.upstream("https://registry-1.docker.io") == "https://registry-1.docker.io"

    (tmp_path / "docker-hub-url").write_text("http://198.18.0.5:5000\n")
    (tmp_path / "upstreams.json").write_text('{"quay.io": "http://198.18.0.6:5000/"}')

    assert switches.upstream("https://hub.docker.com") == "http://198.18.0.5:5000"
    assert switches.upstream("https://quay.io") == "http://198.18.0.6:5000"
    assert switches.upstream("https://ghcr.io/") == "https://ghcr.io"


def test_windows_have_defaults_and_can_be_set(tmp_path):
    switches = Switches(tmp_path)
    default = switches.windows()
    (tmp_path / "settings.json").write_text('{"tag": 10, "index": 400}')

    assert (default.tag, switches.windows().tag, switches.windows().index) == (0.5, 10, 400)


def test_faults_are_used_up_and_come_back_with_the_file(tmp_path):
    path = tmp_path / "faults.json"
    faults = Faults(path)
    good = Response.text("good")

    def status(method="POST", where="/api/v2.0/projects"):
        answered = faults.around(request(where, method), lambda: good)
        return "cut" if answered.cut else answered.status

    assert status() == 200
    path.write_text(
        json.dumps(
            [
                {"method": "POST", "path": "/projects$", "times": 2, "status": 500},
                {"path": "/registries", "cut": True},
            ]
        )
    )
    assert [status(), status("GET"), status(), status()] == [500, 200, 500, 200]
    assert [status(where="/api/v2.0/registries/1") for _ in range(2)] == ["cut", "cut"]


def test_a_fault_after_the_deed(tmp_path):
    (tmp_path / "faults.json").write_text('[{"path": ".", "times": 1, "cut": true, "after": true}]')
    done = []

    answered = Faults(tmp_path / "faults.json").around(
        request(), lambda: done.append(1) or Response()
    )

    assert answered.cut
    assert done == [1]


# manifests


def test_a_trimmed_index_has_another_digest():
    children = [{"digest": f"sha256:{n}", "size": 1, "mediaType": "x"} for n in "abc"]
    index = Manifest(
        json.dumps({"schemaVersion": 2, "manifests": children}).encode(),
        "application/vnd.oci.image.index.v1+json",
    )
    trimmed = index.trimmed(["sha256:b"])

    assert index.is_index
    assert [one["digest"] for one in trimmed.children] == ["sha256:b"]
    assert trimmed.digest != index.digest


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://redis:6379/0?idle_timeout_seconds=30", ((("redis", 6379),), "", "", 0, "")),
        ("redis://u:p%40@h/3", ((("h", 6379),), "u", "p@", 3, "")),
        ("redis+sentinel://:p@a:1,b/m/2", ((("a", 1), ("b", 26379)), "", "p", 2, "m")),
    ],
)
def test_redis_urls(url, target):
    assert Target.parse(url) == Target(*target)
