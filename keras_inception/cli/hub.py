"""`keras-inception publish` and `verify`: models brought to a hub, and hubs looked through."""

import pathlib

import keras

from keras_inception import checkpoints, publishing
from keras_inception.cli.loading import load
from keras_inception.hub import folder, serialization
from keras_inception.model_folder import loading
from keras_inception_cli import in_one_line


def publish_model(args) -> int:
    """Publishes a model, a published folder with its own card, metrics and provenance; prints the revision."""
    content, place = _published(args.model)
    options = {
        "license": args.license,
        "base_model": args.base_model,
        "tags": args.tag,
        "version": args.version,
        "revision": args.revision,
        "private": True if args.private else None,
        "create_pr": args.create_pr,
        "commit_message": args.message,
        "dtype": "float16" if args.half else None,
        "metrics": dict(args.metric or ()),
    }
    if content is not None:
        known, model = content.published, loading.load(content)
        options["metrics"] = {**known.metrics, **options["metrics"]}
        options["provenance"] = known.provenance
        # Of a detector the first of its models.
        if serialization.is_half(place / min(name for name in known.files if name.endswith(folder.WEIGHTS))):
            options["dtype"] = "float16"
        if (place / folder.CARD).exists():
            options["card"] = folder.read_text(place, folder.CARD, links=args.model.startswith("hf://"))
    elif args.model.endswith(".keras") and place.is_file():
        model = keras.saving.load_model(place, compile=False)
    else:
        model = load(args.model, args.allow_unverified)
    print(publishing.push_to_hub(model, args.destination, **options))
    return 0


def _published(name: str) -> tuple[folder.Content | None, pathlib.Path]:
    """A model that was published on the Hub, in the package or in a folder, and where that is; None for another one."""
    if name.startswith("hf://"):
        from keras_inception.hub import stores

        fetched = stores.fetch(name, files="all")
        return fetched.content, fetched.folder
    place = checkpoints.embedded().get(name) or pathlib.Path(name).expanduser()
    return (folder.read(place) if (place / folder.CONFIG).is_file() else None), place


def verify_hub(args) -> int:
    """Checks published models; prints a line for each, and what is wrong with it. 1 if anything is."""
    wrong = False
    for path in args.paths:
        on_hub = path.startswith("hf://")
        if on_hub:
            from keras_inception.hub import stores

            places = [stores.fetch(path, files="all").folder]
        else:
            places = models_in(path)
        for place in places:
            problems = loading.verify(place, links=on_hub)
            wrong = wrong or bool(problems)
            print(in_one_line(f"{place}: {'; '.join(problems) or 'as published'}"))
    return int(wrong)


def models_in(path) -> list[pathlib.Path]:
    """The published folders in a hub on disk, or the one that the path itself is.

    Raises:
        ValueError: there is none.
    """
    path = pathlib.Path(path).expanduser()
    places = [path] if (path / folder.CONFIG).is_file() else sorted(p.parent for p in path.glob(f"*/{folder.CONFIG}"))
    if not places:
        raise ValueError(f"expected a published folder, or a folder of such; Received: {path}")
    return places
