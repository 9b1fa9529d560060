"""Publishing upon a hub on this machine: one commit or none, and always known which."""

import threading
import time

import pytest
from hub_server import Hub

from keras_inception.hub import card, publish
from keras_inception.hub.download import ChecksumError
from keras_inception.hub.publish import PublishError, upload

NAME = "me/net"
COMMIT = f"/api/models/{NAME}/commit/main"
CARD = f"---\nlicense: mit\nmodel-index: []\n---\n# net\n\n{card.BEGIN}\nfresh\n{card.END}\n"


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "folder"
    place.mkdir()
    content = {"README.md": CARD, "keras_inception.json": "{}", "model.safetensors": "\0" * 1000}
    for name, text in content.items():
        (place / name).write_text(text)
    return place


def send(hub, folder, token="hf_me", **options):
    return upload(folder, NAME, message="mine", token=token, endpoint=hub.url, **options)


def history(hub):
    repository = hub.repositories[NAME]
    return [description["title"] for _, description in repository.history(repository.resolve("main"))]


def sent(hub):
    """Requests that would change something."""
    return [entry.path for entry in hub.log if entry.method in ("PUT", "POST", "DELETE") and "create" not in entry.path]


def test_one_commit_and_its_tag(hub, folder):
    commit = send(hub, folder, version="v1")
    repository = hub.repositories[NAME]
    assert repository.refs["tags"] == {"v1": commit} and repository.resolve("main") == commit
    assert history(hub) == ["mine", "initial commit"] and repository.settings["private"] is False
    stored = {name: repository.content(file) for name, file in repository.files(commit).items()}
    assert all(stored[path.name] == path.read_bytes() for path in folder.iterdir())
    assert send(hub, folder) == commit and history(hub) == ["mine", "initial commit"]  # nothing has changed
    (folder / "model.safetensors").write_text("\0" * 1001)
    second = send(hub, folder, version="v2")
    assert second != commit and repository.refs["tags"] == {"v1": commit, "v2": second}


def test_private_as_asked_for(hub, folder):
    send(hub, folder, private=True)
    assert hub.repositories[NAME].settings["private"] is True
    with pytest.raises(ValueError, match="expected me/net to be public, as private=False says"):
        send(hub, folder, private=False)
    send(hub, folder)


def test_a_public_repository_gets_nothing_that_is_private(hub, folder):
    hub.create(NAME, {"x": b"1"})
    with pytest.raises(ValueError, match="expected me/net to be private, as private=True says; .* nothing was sent"):
        send(hub, folder, private=True)
    assert not sent(hub) and history(hub) == ["pushed", "initial commit"]


def test_a_version_that_is_there(hub, folder):
    commit = send(hub, folder, version="v1")
    hub.log.clear()
    (folder / "model.safetensors").write_text("other")
    with pytest.raises(ValueError, match=f"expected a version that me/net does not have yet; .* is commit {commit}"):
        send(hub, folder, version="v1")
    assert not sent(hub)


@pytest.mark.parametrize("token", ["hf_you", "hf_reader", "hf_wrong", False])
def test_who_may_not_write(hub, folder, token):
    hub.create(NAME, {"x": b"1"})
    with pytest.raises(
        ValueError, match="expected a token that may write to me/net; Received: the Hub answered with HTTP"
    ):
        send(hub, folder, token=token)
    assert history(hub) == ["pushed", "initial commit"]


def test_a_branch_of_its_own_and_a_pull_request(hub, folder):
    hub.create(NAME, {"x": b"1"})
    commit = send(hub, folder, revision="trial")
    refs = hub.repositories[NAME].refs
    assert refs["branches"]["trial"] == commit != refs["branches"]["main"]
    (folder / "model.safetensors").write_text("other")
    request = send(hub, folder, create_pr=True, token="hf_you")
    refs = hub.repositories[NAME].refs
    assert refs["requests"] == {"refs/pr/1": request} and refs["branches"]["main"] not in (request, commit)
    send(hub, folder)
    with pytest.raises(ValueError, match="expected changes for a pull request; Received: the files of"):
        send(hub, folder, create_pr=True)


def test_of_two_publishers_one_wins_and_the_other_is_told(hub, folder):
    repository = hub.create(NAME, {"x": b"1"})
    hub.order("first", "POST", COMMIT, call=lambda hub: repository.push({"y": b"2"}, "theirs"))
    with pytest.raises(PublishError, match="another commit came to main since .*; nothing was published"):
        send(hub, folder)
    assert hub.fired() == ["first"] and history(hub) == ["theirs", "pushed", "initial commit"]
    send(hub, folder)
    assert history(hub) == ["mine", "theirs", "pushed", "initial commit"]


def test_two_publishers_in_earnest(hub, folder, tmp_path):
    hub.create(NAME, {"x": b"1"})
    barrier, results = threading.Barrier(2), []
    hub.order("first", "POST", COMMIT, times=2, call=lambda hub: barrier.wait(30))

    def run(number):
        place = tmp_path / f"folder{number}"
        place.mkdir()
        (place / "model.safetensors").write_text(f"{number}" * 1000)
        try:
            results.append(upload(place, NAME, message=f"of {number}", token="hf_me", endpoint=hub.url))
        except PublishError as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    losers = [result for result in results if isinstance(result, PublishError)]
    winners = [result for result in results if isinstance(result, str)]
    assert len(losers) == 1 and winners == [hub.repositories[NAME].resolve("main")]
    assert len(history(hub)) == 3 and "nothing was published" in str(losers[0])


@pytest.mark.parametrize("kind", ["lost_answer", "status"])
def test_an_answer_that_is_lost_is_looked_up(hub, folder, kind):
    hub.order(kind, "POST", COMMIT)
    commit = send(hub, folder, version="v1")
    assert hub.fired() == [kind]
    assert history(hub) == ["mine", "initial commit"] and hub.repositories[NAME].refs["tags"]["v1"] == commit
    # Answered never, or not at first: committed once, or once more because it was not.
    assert len([entry for entry in hub.log if entry.path == COMMIT]) == (1 if kind == "lost_answer" else 2)


def test_an_answer_that_is_lost_while_another_publishes(hub, folder):
    repository = hub.create(NAME, {"x": b"1"})
    hub.order("lost_answer", "POST", COMMIT)
    hub.order("first", "GET", f"/api/models/{NAME}/commits/main", call=lambda h: repository.push({"y": b"2"}, "theirs"))
    commit = send(hub, folder, version="v1")
    assert hub.fired() == ["lost_answer", "first"]
    assert history(hub) == ["theirs", "mine", "pushed", "initial commit"]
    assert repository.refs["tags"] == {"v1": commit} and repository.describe(commit)["title"] == "mine"


def test_an_answer_that_is_lost_of_a_commit_that_was_not_made(hub, folder):
    repository = hub.create(NAME, {"x": b"1"})
    hub.order("status", "POST", COMMIT)
    hub.order("first", "GET", f"/api/models/{NAME}/commits/main", call=lambda h: repository.push({"y": b"2"}, "theirs"))
    with pytest.raises(PublishError, match="another commit came to main since .*; nothing was published"):
        send(hub, folder)
    assert hub.fired() == ["status", "first"] and history(hub) == ["theirs", "pushed", "initial commit"]


@pytest.mark.parametrize("kind", ["lost_answer", "status"])
def test_an_upload_that_fails_once_is_sent_again(hub, folder, kind):
    hub.order(kind, "PUT", f"/lfs/{NAME}/.*", status=400)
    commit = send(hub, folder)
    assert hub.fired() == [kind] and history(hub) == ["mine", "initial commit"]
    assert hub.repositories[NAME].resolve("main") == commit


@pytest.mark.parametrize("status", [400, 403])
def test_an_upload_that_fails_is_one_error(hub, folder, status):
    hub.create(NAME, {"x": b"1"})
    hub.order("status", "PUT", f"/lfs/{NAME}/.*", status=status, times=None)
    with pytest.raises(PublishError, match="it failed twice .*; nothing was published"):
        send(hub, folder)
    assert set(hub.fired()) == {"status"} and history(hub) == ["pushed", "initial commit"]


STEPS = {
    "create": ("POST", "/api/repos/create"),
    "info": ("GET", f"/api/models/{NAME}"),
    "refs": ("GET", f"/api/models/{NAME}/refs"),
    "validate": ("POST", "/api/validate-yaml"),
    "preupload": ("POST", f"/api/models/{NAME}/preupload/main"),
    "batch": ("POST", f"/{NAME}.git/info/lfs/objects/batch"),
    "commit": ("POST", COMMIT),
    "check": ("GET", f"/api/models/{NAME}/revision/[0-9a-f]+"),
    "tag": ("POST", f"/api/models/{NAME}/tag/.*"),
}


@pytest.mark.parametrize("page", [b"<html>Please log in</html>", "<html>nötig</html>".encode("latin-1")])
@pytest.mark.parametrize("step", STEPS)
def test_a_page_instead_of_an_answer_is_never_taken_for_one(hub, folder, step, page):
    if step != "create":
        hub.create(NAME, {"x": b"1"})
    hub.order("strange_answer", *STEPS[step], page=page)
    try:
        commit = send(hub, folder, version="v1")
    except PublishError as error:
        published = step == "check"
        assert ("was published, but could not be checked" in str(error)) is published
        assert ("nothing was published" in str(error)) is not published
        assert (history(hub)[0] == "mine") is published and not hub.repositories[NAME].refs["tags"]
    else:  # it was looked up, or asked again
        assert hub.repositories[NAME].refs["tags"] == {"v1": commit}
        assert hub.repositories[NAME].resolve("main") == commit and history(hub).count("mine") == 1
    assert hub.fired() == ["strange_answer"]


def test_a_tag_that_is_not_there_is_not_said_to_be(hub, folder):
    hub.create(NAME, {"x": b"1"})
    repository = hub.repositories[NAME]
    hub.order("strange_answer", "POST", f"/api/models/{NAME}/tag/.*")
    refs = f"/api/models/{NAME}/refs"
    hub.order("first", "GET", refs, call=lambda hub: None)
    hub.order("first", "GET", refs, call=lambda hub: repository.set_ref("tags", "v1", None))
    with pytest.raises(PublishError, match="was published, but could not be tagged 'v1': the repository has no such"):
        send(hub, folder, version="v1")
    assert history(hub)[0] == "mine"


def test_a_commit_that_is_answered_too_late_is_found(hub, folder, monkeypatch):
    hub.create(NAME, {"x": b"1"})
    monkeypatch.setattr(publish._within, "__defaults__", (1.0,))
    # Not there when it is looked for, and there when it is sent once more, which is then refused (412).
    hub.order("slow", "POST", COMMIT, seconds=1.6)
    hub.order("slow", "POST", COMMIT, seconds=0.9)
    commit = send(hub, folder)
    assert history(hub) == ["mine", "pushed", "initial commit"] and hub.repositories[NAME].resolve("main") == commit
    assert [entry.status for entry in hub.log if entry.path == COMMIT] == [200, 412]


def test_a_commit_that_is_answered_much_too_late_may_be_there(hub, folder, monkeypatch):
    hub.create(NAME, {"x": b"1"})
    monkeypatch.setattr(publish._within, "__defaults__", (0.3,))
    hub.order("slow", "POST", COMMIT, seconds=2, times=2)
    with pytest.raises(PublishError, match="no answer within 0.3 seconds.*whether it makes one yet, nobody knows"):
        send(hub, folder)
    time.sleep(3)
    assert history(hub) == ["mine", "pushed", "initial commit"]
    monkeypatch.undo()
    assert send(hub, folder) == hub.repositories[NAME].resolve("main") and len(history(hub)) == 3


def test_a_hub_that_is_gone_after_the_commit(hub, folder, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client's pauses
    hub.create(NAME, {"x": b"1"})
    hub.order("lost_answer", "POST", COMMIT)
    hub.order("lost_answer", "GET", f"/api/models/{NAME}/commits/main", times=None)
    with pytest.raises(PublishError, match="could not be asked whether it has the commit.*publish again"):
        send(hub, folder)
    assert hub.fired()[0] == "lost_answer"
    hub.faults.clear()
    assert send(hub, folder) == hub.repositories[NAME].resolve("main")
    assert history(hub) == ["mine", "pushed", "initial commit"]


def test_a_tag_whose_answer_is_lost(hub, folder):
    hub.order("lost_answer", "POST", f"/api/models/{NAME}/tag/.*")
    commit = send(hub, folder, version="v1")
    assert hub.fired() == ["lost_answer"] and hub.repositories[NAME].refs["tags"] == {"v1": commit}
    hub.order("status", "POST", f"/api/models/{NAME}/tag/.*", status=500)
    (folder / "model.safetensors").write_text("other")
    with pytest.raises(
        PublishError, match="was published, but could not be tagged 'v2': the repository has no such tag"
    ):
        send(hub, folder, version="v2")
    assert hub.fired() == ["lost_answer", "status"]
    hub.order("lost_answer", "POST", f"/api/models/{NAME}/tag/.*")
    refs = f"/api/models/{NAME}/refs"
    hub.order("first", "GET", refs, call=lambda hub: hub.order("lost_answer", "GET", refs, times=None))
    (folder / "model.safetensors").write_text("third")
    with pytest.raises(PublishError, match="was published, but whether it is tagged 'v3' is not known"):
        send(hub, folder, version="v3")
    assert history(hub)[0] == "mine"


@pytest.mark.parametrize("status", [403, 404, 429, 500])
def test_a_commit_that_cannot_be_looked_at_is_said_to_be_there(hub, folder, status):
    hub.create(NAME, {"x": b"1"})
    hub.order("status", "GET", f"/api/models/{NAME}/revision/[0-9a-f]+", status=status)
    with pytest.raises(PublishError, match="commit [0-9a-f]{40} was published, but could not be checked"):
        send(hub, folder, version="v1")
    assert history(hub) == ["mine", "pushed", "initial commit"] and not hub.repositories[NAME].refs["tags"]


def test_a_hub_that_does_not_answer_is_not_waited_for_for_ever(hub, folder, monkeypatch):
    hub.create(NAME, {"x": b"1"})
    monkeypatch.setattr(publish._within, "__defaults__", (0.2,))
    hub.order("slow", "GET", f"/api/models/{NAME}/refs", seconds=3)
    with pytest.raises(PublishError, match="no answer within 0.2 seconds.*; nothing was published"):
        send(hub, folder, version="v1")


@pytest.mark.parametrize("name", ["", "my tag", "a..b", "/a", "a/", "-a", "x.lock"])
def test_names_that_no_reference_could_have(hub, folder, name):
    for options in ({"version": name}, {"revision": name}):
        with pytest.raises(ValueError, match="to be a name for git, such as v1; Received"):
            send(hub, folder, **options)
    assert not hub.log


def test_an_upload_that_the_hub_keeps_otherwise_is_noticed(hub, folder, monkeypatch):
    # Its bytes are checked where they arrive, so the hub must forget them afterwards.
    def spoil(hub):
        repository = hub.repositories[NAME]
        repository.commit("main", "spoilt", add={"model.safetensors": repository.store(b"other", large=True)})

    monkeypatch.setattr(publish._Destination, "_send", _committing(spoil, publish._Destination._send))
    with pytest.raises(ChecksumError, match="to hold what was sent; Received: others in model.safetensors"):
        send(hub, folder)


def _committing(spoil, create):
    def create_and_spoil(self, options):
        create(self, options)
        hub = _committing.hub
        spoil(hub)
        return hub.repositories[NAME].resolve("main")

    return create_and_spoil


@pytest.fixture(autouse=True)
def known(hub):
    _committing.hub = hub


def test_no_hub_at_all(folder, hub_client, monkeypatch):
    with pytest.raises(PublishError, match="the Hub did not answer.*; nothing was published"):
        upload(folder, NAME, message="mine", endpoint="http://127.0.0.1:9")
    monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
    with pytest.raises(PublishError, match="HF_HUB_OFFLINE is set; nothing was published"):
        upload(folder, NAME, message="mine", endpoint="http://127.0.0.1:9")


def test_a_card_that_is_there_keeps_what_its_author_wrote(hub, folder):
    theirs = f"---\nlicense: gpl-3.0\nfoo: bar\n---\n# My own\n\n{card.BEGIN}\nold\n{card.END}\n\nThanks!\n"
    hub.create(NAME, {"README.md": theirs.encode()})
    repository = hub.repositories[NAME]
    text = repository.content(repository.files(send(hub, folder))["README.md"]).decode()
    assert text == theirs.replace("old", "fresh").replace("bar\n", "bar\nmodel-index: []\n")
    (folder / "README.md").write_text(CARD)
    text = repository.content(repository.files(send(hub, folder, given=["license"]))["README.md"]).decode()
    assert "license: mit" in text and "gpl" not in text and "# My own" in text


def test_a_card_that_comes_damaged_where_there_are_no_links(hub, folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda folder=None: False)
    repository = hub.create(NAME, {"README.md": b"# Theirs"})
    hub.order("corrupt", "GET", f"/{NAME}/resolve/.*/README.md", after=3)
    text = repository.content(repository.files(send(hub, folder))["README.md"]).decode()
    assert "# Theirs" in text and hub.fired() == ["corrupt"]


def test_a_card_that_comes_damaged_or_is_none(hub, folder):
    repository = hub.create(NAME, {"README.md": b"# Theirs"})
    path = f"/{NAME}/resolve/.*/README.md"
    hub.order("corrupt", "GET", path, after=3)
    text = repository.content(repository.files(send(hub, folder))["README.md"]).decode()
    assert "# Theirs" in text and hub.fired() == ["corrupt"]
    hub.order("corrupt", "GET", path, after=3, times=2)
    (folder / "model.safetensors").write_text("other")
    repository.push({"README.md": b"# Newer"})
    with pytest.raises(ChecksumError, match="expected the card of commit .*; Received: another, twice"):
        send(hub, folder)
    repository.push({"README.md": b"\xff\xfe"})
    with pytest.raises(ValueError, match="README.md: expected UTF-8"):
        send(hub, folder)


@pytest.mark.parametrize("has_xet", [True, False])
def test_with_xet_and_upon_a_hub_that_has_none(tmp_path, folder, hub_client, monkeypatch, has_xet):
    monkeypatch.setattr(hub_client, "HF_HUB_DISABLE_XET", False)
    with Hub(tmp_path / "other", xet=has_xet) as hub:
        commit = send(hub, folder)
        stored = hub.repositories[NAME].files(commit)["model.safetensors"]
        assert hub.repositories[NAME].content(stored) == (folder / "model.safetensors").read_bytes()
        assert any("/lfs/" in path for path in sent(hub)) == (not has_xet)
