"""Models published and loaded: `push_to_hub` and `from_hub`, on disk and on the Hugging Face Hub."""

import os
import pathlib
import tempfile

from keras_inception.hub import card as cards
from keras_inception.hub import directory, folder, stores
from keras_inception.model_folder import loading, writing


def from_hub(reference, *, token=None, endpoint=None):
    """Loads a published model or detector, ready to predict: pixels in; what it is, and its labels, in its spec.

    ```python
    model = keras_inception.from_hub("hf://me/googlenet-flowers@v1")
    keras_inception.decode_predictions(model.predict(images), labels=model)
    ```

    Nothing of the folder is run: it is JSON and arrays. Every file is checked against the sha256 that is published with
    it, and on the Hub the JSON against its commit. `GoogLeNet(weights="hf://...", classes=5)` begins a fine-tuning.

    Args:
        reference: `hf://owner/name[@revision]`, where the revision is a branch, a tag or a commit; or the path of a
            published folder.
        token: of the Hub; None for `HF_TOKEN` or the client's login, as `hf auth login` leaves it.
        endpoint: address of the Hub; None for `HF_ENDPOINT` or the public one.

    Returns:
        A `keras.Model`, not compiled, in the dtype policy that it had when it was published; where the folder does not
        name one, in Keras' current one. Of a detector, a `keras_inception.detection.RCNN` of such models.

    Raises:
        ValueError: there is no such reference, or the weights do not fit the network.
        CheckpointError: a file is damaged, not the published one, or of a newer version; or the architecture has
            layers that are not Keras' own or ours.
        DownloadError: the Hub cannot be reached, and nothing is cached.
    """
    text = os.fspath(reference)
    if text.startswith("hf://"):
        return loading.load(stores.fetch(text, token=token, endpoint=endpoint).content)
    path = pathlib.Path(text).expanduser()
    if not (path / folder.CONFIG).is_file():
        raise ValueError(
            f"expected hf://owner/name[@revision], or a folder that holds {folder.CONFIG}; Received: {text!r}"
            + ("" if path.exists() or not stores.is_repository(text) else f", which on the Hub is hf://{text}")
        )
    return loading.load(folder.read(path))


def push_to_hub(
    model,
    destination,
    *,
    preprocessing=None,
    labels=None,
    metrics=None,
    license=None,
    base_model=None,
    tags=None,
    card=None,
    version=None,
    revision=None,
    private=None,
    token=None,
    create_pr=False,
    commit_message=None,
    endpoint=None,
    dtype=None,
    provenance=None,
) -> str:
    """Publishes a model: arrays, JSON, a card, and Keras' own files, on the Hugging Face Hub or in a folder.

    ```python
    keras_inception.push_to_hub(model, "me/googlenet-flowers", metrics={"accuracy": 0.947}, version="v1")
    ```

    What is written is loaded back, and must predict what the model predicts, before anything is sent. On the Hub it is
    one commit, upon the commit that was looked at: of two publishers at once, one wins and the other is told.

    Args:
        model: a GoogLeNet, whose architecture follows from its spec (what of it is for training alone, such as
            regularizers and `trainable`, is not published); or a functional or sequential model of Keras' own layers
            and ours that is built upon one, or changed, which is published with its architecture; or a
            `keras_inception.detection.RCNN` of such models, whose proposals are `SelectiveSearch` or
            `MultiBoxProposals`.
        destination: `owner/name`, also as `hf://owner/name`; or a folder, as a `pathlib.Path` or a text that begins
            with `/`, `./` or `../`.
        preprocessing: how a photo becomes the input, a `Preprocessing`; None for the model's own.
        labels: the classes' names, or the name of a label set; None for the model's own.
        metrics: what was measured: numbers, and texts (`dataset`, `split`, `protocol`) that say how.
        license: an identifier of the Hub, such as `"apache-2.0"`.
        base_model: repositories of the Hub that it was made from, for the card.
        tags: further tags of the card, one or a list.
        card: the text of a card where there is none yet; its measured part is put between markers. None: a short one.
            A card that is there already is kept: its measured part, its model-index, and of the arguments above what
            is given are brought up to date, nothing else.
        version: a tag for the commit, such as `"v1"`.
        revision: the branch; None for `main`.
        private: whether the repository is to be private. True with a public repository is an error; None: as it is.
        token: of the Hub; None for `HF_TOKEN` or the client's login.
        create_pr: open a pull request instead of committing.
        commit_message: of the commit.
        endpoint: address of the Hub; None for `HF_ENDPOINT` or the public one.
        dtype: `"float16"` for kernels of half precision; None for the variables' own precision.
        provenance: how it was made, texts by name: `recipe`, `command`, `versions`, `commit`. What published it is
            added.

    Returns:
        The full hash of the commit; for a folder, `"sha256:..."` of its JSON, which names the hashes of all files.

    Raises:
        ValueError: the model cannot be published so that it loads back the same, or an argument is wrong; nothing was
            written or sent.
        PublishError: another publisher came first, or the Hub cannot be reached.
    """
    place = _destination(destination)
    on_hub = isinstance(place, str)
    if dtype not in (None, "float16"):
        raise ValueError(f"expected dtype to be None or 'float16'; Received: dtype={dtype!r}")
    if not on_hub:
        named = {"version": version, "revision": revision, "private": private, "create_pr": create_pr or None}
        if wrong := [name for name, value in named.items() if value is not None]:
            raise ValueError(f"expected {', '.join(wrong)} only with a repository of the Hub; Received: {place}")
    before = None if on_hub else directory.revision(place)
    name = place if on_hub else place.name
    provenance = {**folder.check_provenance(provenance or {}), "published with": writing.versions()}
    for_card = {"license": license, "base_model": base_model, "tags": tags}
    given = [key for key, value in for_card.items() if value is not None]
    with tempfile.TemporaryDirectory(prefix="keras_inception") as scratch:
        written = pathlib.Path(scratch) / "model"
        half, facts = dtype == "float16", {"metrics": metrics, "provenance": provenance}
        described = {"preprocessing": preprocessing, "labels": labels}
        published = writing.write(model, written, half=half, keras_files=on_hub, **described, **facts)
        text = cards.render(name, published, **for_card)
        (written / folder.CARD).write_bytes((text if card is None else cards.update(card, text, given)).encode())
        if not on_hub:
            return directory.put(written, place, before, given)
        from keras_inception.hub import publish

        message = commit_message or f"Publish {name.partition('/')[2]} with keras_inception"
        options = {"version": version, "revision": revision, "private": private, "create_pr": create_pr}
        return publish.upload(written, place, message=message, token=token, endpoint=endpoint, given=given, **options)


def _destination(destination):
    """`owner/name`, or the path of a folder."""
    text = os.fspath(destination)
    if isinstance(destination, pathlib.PurePath) or text.startswith(("/", "./", "../", "~")):
        return pathlib.Path(text).expanduser()
    name = text.removeprefix("hf://")
    if not stores.is_repository(name):
        raise ValueError(
            f"expected owner/name, or a folder as a Path, or one that begins with /, ./ or ../; Received: {text!r}"
        )
    return name
