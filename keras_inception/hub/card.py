"""The model card: front matter that the Hub indexes, and a measured part between markers, which is ours to update."""

import itertools
import json
import re

from keras_inception.hub.folder import Published

BEGIN = "<!-- keras_inception: measured -->"
END = "<!-- keras_inception: end -->"
# What networks are tagged with; the first is what a card's model is called after.
TAGS = {"GoogLeNet": ("googlenet", "inception"), "NetworkInNetwork": ("network-in-network",)}
# What of the front matter is a fact about the weights; everything else is its author's, once it is there.
_OURS = ("library_name", "pipeline_tag")
# To which we add.
_LISTS = ("datasets", "tags")
# Values in a front matter, those that are referred to counted again.
_MAX_VALUES = 10_000
# As the Hub finds it: white space may stand in front.
_FRONT = re.compile(r"\A(?P<lead>[\s\ufeff]*)---[ \t]*\r?\n(?P<front>.*?\r?\n|)---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
# A line that begins with anything else than these begins a new key.
_WITHIN = re.compile(r"\s|#|-|\]|\}")
_REFERENCE = re.compile(r'from_hub\("([^"\n]*)"\)')
_METRICS = {"top1": "accuracy", "top5": "top-5-accuracy"}


def render(name: str, published: Published, *, license=None, base_model=None, tags=None) -> str:
    """A card for a model that has none.

    Args:
        name: `owner/name` or a folder's name.
        published: the JSON beside it.
        license: an identifier of the Hub, such as `apache-2.0`.
        base_model: repositories of the Hub that it was made from, one or a list.
        tags: further tags, one or a list.
    """
    facts = front_matter(name, published, license=license, base_model=base_model, tags=tags)
    return compose(facts, f"# {name.rpartition('/')[2]}\n\n{what_it_is(published)}", name, published)


def compose(facts: dict, text: str, name: str, published: Published) -> str:
    """A card of front matter, a text, and the measured part."""
    return f"---\n{_yaml(facts)}---\n\n{text.rstrip()}\n\n{measured(name, published)}\n"


def front_matter(name: str, published: Published, *, license=None, base_model=None, tags=None) -> dict:
    """What the Hub indexes, as data."""
    from huggingface_hub import EvalResult, ModelCardData

    said = published.metrics
    dataset = str(said.get("dataset") or "")
    protocol = said.get("protocol")
    own = TAGS[published.spec.get("architecture", "GoogLeNet")]
    task = "object-detection" if published.kind == "detector" else "image-classification"
    results = [
        EvalResult(
            task_type=task,
            dataset_type=dataset or "unnamed",
            dataset_name=dataset or "unnamed",
            dataset_split=said.get("split"),
            metric_type=_METRICS.get(key, key),
            metric_value=value,
            metric_name=None if protocol is None else f"{key}, {protocol}",
        )
        for key, value in said.items()
        if isinstance(value, (int, float))
    ]
    data = ModelCardData(
        library_name="keras",
        pipeline_tag=task,
        license=license,
        base_model=base_model,
        datasets=[dataset] if dataset else None,
        tags=["keras", *own, *([tags] if isinstance(tags, str) else tags or ())],
        model_name=name.rpartition("/")[2] if results else None,
        eval_results=results or None,
    )
    return data.to_dict()


def measured(name: str, published: Published) -> str:
    """The measured part, between the markers: use, preprocessing, results and provenance."""
    reference = name if name.startswith(("path/", "./")) else f"hf://{name}" if "/" in name else f"path/to/{name}"
    spec, said = published.spec, published.metrics
    mean, scale = (
        _numbers(spec.get(key) or ()) for key in ("mean", "scale")
    )  # a JSON may leave out what has a default
    inside = published.options.get("include_preprocessing", True)
    own = published.options.get("takes_pixels", inside)
    where = "in the model's first layer" if inside else "in layers of its own instead of" if own else "not in the model"
    steps = ", ".join(f"{key} {_text(value)}" for key, value in (spec.get("preprocessing") or {}).items())
    made = {"weights": spec.get("source"), **published.provenance}
    detector = published.kind == "detector"
    classify = [
        f'model = keras_inception.from_hub("{reference}")',
        'images = keras_inception.preprocess_input(["photo.jpg"], model=model)',
        *([] if own else [f"images = (images - [{mean}]) * [{scale}]"]),
        "print(keras_inception.decode_predictions(model.predict(images), labels=model))",
    ]
    heading = "What the first classifier sees" if detector else "Preprocessing"
    detect = [
        f'detector = keras_inception.from_hub("{reference}")',
        '(found,) = detector(["photo.jpg"])',
        "print([(detector.classes[label], score, box) for box, label, score in found])",
    ]
    lines = [
        BEGIN,
        "```python",
        "import keras_inception",
        "",  # as formatters of code want it, which change cards too
        *(detect if detector else classify),
        "```",
        "",
        "| measured | |",
        "|---|---|",
        *(f"| {_text(key)} | {_text(value)} |" for key, value in said.items()),
        *([] if said else ["| | not measured |"]),
        "",
        f"**{heading}**: {steps or 'not said'}; then, {where}, (pixel - mean) x scale of each channel R, G, B, "
        f"with mean {mean} and scale {scale}.",
        "",
        "**Provenance**",
        "",
        *(f"* {_text(key)}: {_text(value)}" for key, value in made.items() if value not in (None, "", {}, [])),
        END,
    ]
    return "\n".join(lines)


def _numbers(values) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _text(value) -> str:
    """A value in one line of a table or a list, in which it cannot be taken for markup of the card."""
    if isinstance(value, dict):
        value = ", ".join(f"{key} {inner}" for key, inner in value.items())
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text.split()).replace("|", "\\|").replace("<!--", "&lt;!--").replace("```", "'''")


def what_it_is(published: Published) -> str:
    """One sentence: which network, and of how many classes."""
    spec = published.spec
    if spec.get("architecture") == "NetworkInNetwork":
        name, network = "Network in Network", f"Network in Network (Lin, Chen, Yan 2013), variant `{spec['variant']}`"
    else:
        name = "GoogLeNet"
        network = f'the network of "Going deeper with convolutions", variant `{spec["variant"]}`, stem `{spec["stem"]}`'
    if spec.get("widths"):
        network += f", modules {', '.join(module for module, _ in spec['widths'])} of other widths"
    if published.kind == "detector":
        return f"{_detector(published.options)} Its first classifier is {network}."
    if published.kind == "functional":
        return f"A network that is built upon {name}: {network}."
    heads = f", {'with' if spec['aux_heads'] else 'without'} auxiliary classifiers" if name == "GoogLeNet" else ""
    return f"{network[0].upper()}{network[1:]}, {spec['classes']} classes{heads}."


def _detector(options: dict) -> str:
    """One sentence: what a detector finds, and how."""
    classes = ", ".join(map(str, options.get("classes", ())))
    sources = [str(source.get("source")) for source in options.get("proposals", ()) if isinstance(source, dict)]
    names = " and ".join(dict.fromkeys("MultiBox" if "multibox" in name else "selective search" for name in sources))
    count = options.get("classifiers", 1)
    by = "a classifier" if count == 1 else f"{count} classifiers, whose probabilities are averaged"
    return f"A detector (R-CNN) of {classes}: proposals by {names}, each looked at by {by}."


def update(text: str, fresh: str, given=()) -> str:
    """An existing card with the measured part of a fresh one; nothing else of it is changed.

    What stands between the markers is replaced; a card without markers gets them at its end. In the front matter what
    says that this is a Keras image classifier is replaced, and the model-index, unless it is the author's and there is
    nothing new; data sets and given tags are added to the author's, and so is every key that is missing. The lines of
    all others stay as they are. Where YAML is written in a way that does not allow it, such as all keys in one line,
    their values stay.

    Args:
        text: the card.
        fresh: the card that a model without one would get.
        given: further keys of the front matter that the user has given, and that win; tags are added.

    Raises:
        ValueError: its front matter cannot be read, or it has one marker without the other.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lead, front, body = _split(text)
    new, part = _facts(fresh), _measured_part(fresh)
    counts = body.count(BEGIN), body.count(END)
    if counts not in ((0, 0), (1, 1)) or body.find(BEGIN) > body.find(END):
        raise ValueError(f"expected a card with the markers {BEGIN} and {END}, once each; Received: {counts}")
    part = part.replace("\n", newline)
    if counts == (1, 1):
        body = body[: body.index(BEGIN)] + part + body[body.index(END) + len(END) :]
    else:
        body = f"{body.rstrip()}{newline * 2 if body.strip() else ''}{part}{newline}"
    old = _facts(text)
    wanted = {key: _merged(key, old[key], new.get(key), key in given, counts == (1, 1)) for key in old}
    wanted |= {key: value for key, value in new.items() if key not in old}
    wanted = {key: value for key, value in wanted.items() if value is not None or key in old and old[key] is None}
    lines = _replaced(front, wanted, old, newline)
    return f"{lead}---{newline}{lines}---{newline}{body}"


def _merged(key: str, old, new, given: bool, ours: bool):
    """What a key of an existing card's front matter becomes; None: it goes.

    Args:
        key, old, new: its name, and what the card and a fresh one have.
        given: whether the user has asked for the new one.
        ours: whether the card has our markers, and so was measured by us before.
    """
    if new is None and (key != "model-index" or not ours):
        return old
    if key in _LISTS:
        theirs, more = (value if isinstance(value, list) else [value] for value in (old, new))
        add = key == "datasets" or given
        return theirs + [item for item in more if item not in theirs and item is not None] if add else old
    return new if key in ("model-index", *_OURS) or given else old


def _replaced(front: str, wanted: dict, old: dict, newline: str) -> str:
    """A front matter that says what is wanted, its lines as they are wherever that can be."""
    lines = ""
    for key, block in _blocks(front):
        if key in old and old[key] != wanted.get(key):
            comments = "".join(line for line in block.splitlines(keepends=True) if line.startswith("#"))
            block = (_yaml({key: wanted[key]}).replace("\n", newline) if key in wanted else "") + comments
        lines += block
    if lines and not lines.endswith("\n"):
        lines += newline
    if missing := {key: value for key, value in wanted.items() if key not in old}:
        lines += _yaml(missing).replace("\n", newline)
    try:
        faithful = _facts(f"---\n{lines}---\n") == wanted
    except ValueError:
        faithful = False
    return lines if faithful else _yaml(wanted).replace("\n", newline)


def _split(card: str) -> tuple[str, str, str]:
    """What stands before a card's front matter, the front matter as text, and everything behind it."""
    match = _FRONT.match(card)
    return (match["lead"], match["front"], card[match.end() :]) if match else ("", "", card)


def _blocks(front: str):
    """The keys of a front matter, each with its lines; comments belong to what stands before them."""
    key, lines = None, []
    for line in front.splitlines(keepends=True):
        if not _WITHIN.match(line):
            yield key, "".join(lines)
            key, lines = line.partition(":")[0].strip().strip("\"'"), []
        lines.append(line)
    yield key, "".join(lines)


def _facts(card: str) -> dict:
    """The front matter of a card, as data.

    Raises:
        ValueError: it cannot be read.
    """
    import yaml

    try:
        facts = yaml.safe_load(_split(card)[1])
    # AttributeError, TypeError, ValueError: values that are not of the kind that they say; RecursionError: brackets.
    except (yaml.YAMLError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected a card whose front matter is YAML; Received: {error!s:.300}") from error
    if sum(1 for _ in itertools.islice(_values(facts), _MAX_VALUES + 1)) > _MAX_VALUES:
        raise ValueError(f"expected a card whose front matter has at most {_MAX_VALUES} values; Received: more")
    if not isinstance(facts, dict | None):
        raise ValueError(f"expected a card whose front matter is a mapping; Received: {facts!r:.200}")
    return facts or {}


def _values(facts):
    """All values in a front matter, which may refer to one another, and to themselves, again and again."""
    left = [facts]
    while left:
        value = left.pop()
        yield value
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list | set | tuple):
            left += value


def _measured_part(card: str) -> str:
    body = _split(card)[2]
    return body[body.index(BEGIN) : body.index(END) + len(END)]


def problems(text: str, published: Published) -> list[str]:
    """What a card says otherwise than the JSON beside it: one sentence each.

    Raises:
        ValueError: its front matter cannot be read.
    """
    found, shown = [], {}
    for entry in _listed(_facts(text), "model-index"):
        for result in _listed(entry, "results"):
            for metric in _listed(result, "metrics"):
                shown.setdefault(str(metric.get("type")), []).append(metric.get("value"))
    for key, value in published.metrics.items():
        if isinstance(value, (int, float)) and value not in shown.get(_METRICS.get(key, key), ()):
            found.append(f"expected {key} of {value} in its model-index; Received: {shown.get(_METRICS.get(key, key))}")
    body = _split(text)[2].replace("\r\n", "\n")
    if BEGIN in body and END in body:
        part = body[body.index(BEGIN) : body.index(END) + len(END)]
        reference = _REFERENCE.search(part)
        name = "" if reference is None else reference[1].removeprefix("hf://").removeprefix("path/to/")
        if part != measured(name, published):
            found.append("expected the measured part that the JSON gives; Received: another")
    elif published.metrics:
        found.append(f"expected the measured part between {BEGIN} and {END}; Received: none")
    return found


def _listed(facts, key: str) -> list[dict]:
    """The mappings in a list of a card's front matter, which is its author's, and may be anything."""
    value = facts.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _yaml(facts) -> str:
    import yaml

    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
