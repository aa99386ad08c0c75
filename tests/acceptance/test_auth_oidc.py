"""A real server that believes an issuer of JSON web tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import Server, client_of, running
from tests.integration.oidc_issuer import AUDIENCE, DISCOVERY, Published, published


@pytest.fixture(scope="module")
def issuer() -> Iterator[Published]:
    with published() as one:
        yield one


@pytest.fixture(scope="module")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory, issuer: Published) -> Iterator[Server]:
    settings = {"BALLAST_OIDC_ISSUER": issuer.url, "BALLAST_OIDC_AUDIENCE": AUDIENCE}
    with running(server_url, tmp_path_factory.mktemp("server"), **settings) as started:
        yield started


def test_people_of_the_issuer_have_their_own_threads_and_the_role_it_gives_them(
    server: Server, issuer: Published
) -> None:
    with (
        client_of(server, issuer.sign(sub="ann")) as ann,
        client_of(server, issuer.sign(sub="bob", roles=["approver"])) as bob,
        client_of(server, issuer.sign(sub="eve", roles=["admin"])) as eve,
    ):
        thread = ann.post("/threads", json={}).json()

        assert thread["metadata"] == {"owner": "oidc:ann"}
        assert bob.get(f"/threads/{thread['thread_id']}").status_code == 404
        assert eve.get(f"/threads/{thread['thread_id']}").is_success
        assert bob.post("/assistants", json={"graph_id": "react"}).status_code == 403
        assert eve.post("/assistants", json={"graph_id": "react"}).is_success


def test_no_token_and_a_foreign_one_let_nobody_in(server: Server, issuer: Published) -> None:
    with client_of(server) as nobody, client_of(server, issuer.sign(aud="another")) as foreign:
        answers = [one.post("/threads/search", json={}) for one in (nobody, foreign)]

    assert [one.status_code for one in answers] == [401, 401]
    assert f"sign-in: every request needs a JWT of {issuer.url}" in (server.folder / "server.log").read_text()


def test_an_issuer_that_is_away_lets_nobody_in(server: Server, issuer: Published) -> None:
    server.kill()
    server.start()
    found = issuer.documents.pop(DISCOVERY)  # of a server that has not read its keys
    with client_of(server, issuer.sign(sub="ann")) as ann:
        answer = ann.post("/threads/search", json={})
    issuer.documents[DISCOVERY] = found

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert f"the issuer {issuer.url} can't be asked for its keys" in answer.json()["detail"]
