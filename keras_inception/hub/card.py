"""The model card: front matter that the Hub indexes, and a measured part between markers, which is ours to update."""

import json
import re

from keras_inception.hub.folder import Published

BEGIN = "<!-- keras_inception: measured -->"
END = "<!-- keras_inception: end -->"
# What of the front matter is a fact about the weights; everything else is its author's, once it is there.
_OURS = ("library_name", "pipeline_tag", "model-index")
_FRONT = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_PROTOCOL = ("dataset", "split", "protocol")  # texts among the metrics


def render(name: str, published: Published, *, license=None, base_model=None, tags=None) -> str:
    """A card for a model that has none.

    Args:
        name: `owner/name` or a folder's name.
        published: the JSON beside it.
        license: an identifier of the Hub, such as `apache-2.0`.
        base_model: repositories of the Hub that it was made from, one or a list.
        tags: further tags.
    """
    reference = f"hf://{name}" if "/" in name else f"path/to/{name}"
    facts = front_matter(name, published, license=license, base_model=base_model, tags=tags)
    text = "\n".join(
        (
            f"# {name.rpartition('/')[2]}\n",
            _what_it_is(published),
            "```python",
            "import keras_inception",
            f'model = keras_inception.from_hub("{reference}")  # RGB pixels 0..255',
            "keras_inception.decode_predictions(model.predict(images), labels=model)",
            "```\n",
        )
    )
    return compose(facts, text, published)


def compose(facts: dict, text: str, published: Published) -> str:
    """A card of front matter, a text, and the measured part."""
    return f"---\n{_yaml(facts)}---\n\n{text.rstrip()}\n\n{measured(published)}\n"


def front_matter(name: str, published: Published, *, license=None, base_model=None, tags=None) -> dict:
    """What the Hub indexes, as data."""
    from huggingface_hub import EvalResult, ModelCardData

    texts = {key: published.metrics[key] for key in _PROTOCOL if key in published.metrics}
    dataset = str(texts.get("dataset") or published.provenance.get("dataset") or "unnamed")
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=texts.get("split"),
            metric_type=_METRICS.get(key, key),
            metric_value=value,
            metric_name=None if "protocol" not in texts else f"{key}, {texts['protocol']}",
        )
        for key, value in published.metrics.items()
        if isinstance(value, (int, float))
    ]
    data = ModelCardData(
        library_name="keras",
        pipeline_tag="image-classification",
        license=license,
        base_model=base_model,
        datasets=None if dataset == "unnamed" else [dataset],
        tags=["keras", "googlenet", "inception", *(tags or ())],
        model_name=name.rpartition("/")[2] if results else None,
        eval_results=results or None,
    )
    return data.to_dict()


_METRICS = {"top1": "accuracy", "top5": "top-5-accuracy"}


def measured(published: Published) -> str:
    """The measured part: preprocessing, results and provenance, between the markers."""
    spec, lines = published.spec, [BEGIN]
    lines += [
        "| measured | |",
        "|---|---|",
        *(f"| {_text(key)} | {_text(value)} |" for key, value in published.metrics.items()),
    ]
    if not published.metrics:
        lines += ["| | not measured |"]
    steps = ", ".join(f"{key} {value}" for key, value in (spec.get("preprocessing") or {}).items())
    lines += [
        "",
        f"**Preprocessing**: {steps or 'not said'}; then, in the model's first layer, (pixel - mean) x scale of each "
        f"channel R, G, B, with mean {_numbers(spec['mean'])} and scale {_numbers(spec['scale'])}.",
        "",
        "**Provenance**",
        "",
    ]
    made = {"weights": spec.get("source"), **published.provenance}
    lines += [f"* {key}: {_text(value)}" for key, value in made.items() if value not in (None, "", {}, [])]
    return "\n".join((*lines, END))


def _numbers(values) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _text(value) -> str:
    """A value in one line of a table or a list, in which it cannot be taken for markup of the card."""
    if isinstance(value, dict):
        value = ", ".join(f"{key} {inner}" for key, inner in value.items())
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text.split()).replace("|", "\\|").replace("<!--", "&lt;!--")


def _what_it_is(published: Published) -> str:
    spec = published.spec
    heads = "with" if spec["aux_heads"] else "without"
    upon = "" if published.kind == "GoogLeNet" else "A network that is built upon GoogLeNet. "
    return (
        f'{upon}The network of "Going deeper with convolutions", variant `{spec["variant"]}`, stem `{spec["stem"]}`, '
        f"{spec['classes']} classes, {heads} auxiliary classifiers.\n"
    )


def update(text: str, fresh: str) -> str:
    """An existing card with the measured part of a fresh one; nothing else of it is changed.

    What stands between the markers is replaced; a card without markers gets them at its end. In the front matter the
    model-index and what says that this is a Keras image classifier are replaced, and what is missing is added.

    Raises:
        ValueError: its front matter cannot be read, or it has one marker without the other.
    """
    facts, body = _parts(text)
    new, fresh_body = _parts(fresh)
    for key, value in new.items():
        if key in _OURS or key not in facts:
            facts[key] = value
    if "model-index" not in new:
        facts.pop("model-index", None)  # of the weights before
    counts = body.count(BEGIN), body.count(END)
    if counts not in ((0, 0), (1, 1)) or body.find(BEGIN) > body.find(END):
        raise ValueError(f"expected a card with the markers {BEGIN} and {END}, once each; Received: {counts}")
    part = fresh_body[fresh_body.index(BEGIN) : fresh_body.index(END) + len(END)]
    if counts == (1, 1):
        body = body[: body.index(BEGIN)] + part + body[body.index(END) + len(END) :]
    else:
        body = f"{body.rstrip()}\n\n{part}\n"
    return f"---\n{_yaml(facts)}---\n{body}"


def metric_values(text: str) -> set[float]:
    """The numbers in a card's model-index.

    Raises:
        ValueError: its front matter cannot be read.
    """
    found, waiting = set(), [_parts(text)[0].get("model-index")]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("value"), (int, float)):
                found.add(part["value"])
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return found


def _parts(card: str) -> tuple[dict, str]:
    """The front matter of a card, as data, and its text."""
    import yaml

    match = _FRONT.match(card)
    try:
        facts = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError as error:
        raise ValueError(f"expected a card whose front matter is YAML; Received: {error}") from error
    if not isinstance(facts, dict | None):
        raise ValueError(f"expected a card whose front matter is a mapping; Received: {facts!r:.200}")
    return facts or {}, card[match.end() :] if match else card


def _yaml(facts) -> str:
    import yaml

    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
