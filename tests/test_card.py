"""The model card: what the Hub indexes, what people read, and what stays their own."""

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_inception import GoogLeNetSpec
from keras_inception.hub import card
from keras_inception.hub.folder import WEIGHTS, FileRecord, Published


def published(**facts):
    spec = GoogLeNetSpec(stem="small", classes=2, preprocessing={"size": 32, "resize": "short_side"}, source="a.py")
    metrics = {"top1": 91.25, "top5": 99.5, "dataset": "cifar10", "split": "test", "protocol": "one crop"}
    return Published(spec.to_dict(), {WEIGHTS: FileRecord("0" * 64, 1)}, **{"metrics": metrics, **facts})


def test_what_the_hub_indexes():
    text = card.render("me/net", published(), license="mit", base_model="you/net", tags=["fun"])
    data = ModelCard(text, ignore_metadata_errors=False).data
    assert (data.library_name, data.pipeline_tag, data.license) == ("keras", "image-classification", "mit")
    assert data.base_model == "you/net" and data.datasets == ["cifar10"] and "fun" in data.tags
    results = {result.metric_type: result for result in data.eval_results}
    assert results["accuracy"].metric_value == 91.25 and results["top-5-accuracy"].metric_value == 99.5
    assert (results["accuracy"].dataset_name, results["accuracy"].dataset_split) == ("cifar10", "test")


def test_what_people_read():
    text = card.render("me/net", published(provenance={"recipe": "r.py", "command": "python -m x"}))
    code = text.split("```python\n")[1].split("```")[0].replace("\n\n", "\n").splitlines()
    assert text.count("```") == 2 and len(code) == 4  # the import, and three lines
    assert code[1] == 'model = keras_inception.from_hub("hf://me/net")'
    bare = card.render("me/net", published(options={"include_preprocessing": False}))
    assert (
        "images = (images - [123, 117, 104]) * [1, 1, 1]\n" in bare and "then, not in the model, (pixel - mean)" in bare
    )
    for part in (
        "| top1 | 91.25 |",
        "size 32",
        "mean 123, 117, 104",
        "* recipe: r.py",
        "* command: python -m x",
        "a.py",
    ):
        assert part in text
    assert 'from_hub("path/to/net")' in card.render("net", published())
    assert "not measured" in card.render("net", published(metrics={}))


def test_only_the_measured_part_of_an_existing_card_changes():
    theirs = "---\nlicense: gpl-3.0\ntags: [mine]\nlibrary_name: torch\nmodel-index: [old]\n---\n\n# Title\n\nText.\n"
    unmeasured = card.update(theirs, card.render("me/net", published(metrics={})))
    assert yaml.safe_load(unmeasured.split("---")[1])["model-index"] == ["old"], "which is its author's"
    first = card.update(theirs, card.render("me/net", published(), license="mit"))
    facts = yaml.safe_load(first.split("---")[1])
    assert facts["license"] == "gpl-3.0" and facts["tags"] == ["mine"] and facts["library_name"] == "keras"
    assert facts["model-index"][0]["results"][0]["metrics"][0]["value"] == 91.25
    assert "\n# Title\n\nText.\n\n" + card.BEGIN in first and first.count(card.BEGIN) == 1
    longer = first + "\nMore of theirs.\n"
    second = card.update(longer, card.render("me/net", published(metrics={"top1": 50.0})))
    assert "| top1 | 50.0 |" in second and "91.25" not in second and second.endswith("\nMore of theirs.\n")
    assert card.update(second, second) == second
    assert "model-index" not in card.update(second, card.render("me/net", published(metrics={})))


def test_what_its_author_wrote_stays_as_it_was_written():
    theirs = (
        '---\r\n# a comment\r\nversion: 1.10  # not 1.1\r\nlanguage: no\r\ntags:\r\n- a\r\n"quoted": [1,\r\n  2]\r\n'
        "datasets:\r\n- old\r\nlicense: mit\r\n---\r\nText\r\n"
    )
    card_ = card.update(theirs, card.render("me/net", published(), license="gpl-3.0", tags=["new"]))
    kept = theirs.replace("- old", "- old\r\n- cifar10").split("---")[1]
    assert card_.startswith("---" + kept) and "datasets:\r\n- old\r\n- cifar10\r\nlicense" in card_
    assert card_.count("\n") == card_.count("\r\n") and "Text\r\n\r\n" + card.BEGIN in card_
    card_ = card.update(
        theirs, card.render("me/net", published(), license="gpl-3.0", tags=["new"]), ["license", "tags"]
    )
    facts = yaml.safe_load(card_.split("---")[1])
    assert (
        facts["license"] == "gpl-3.0"
        and "new" in facts["tags"]
        and facts["version"] == 1.1
        and facts["quoted"] == [1, 2]
    )


FRONTS = {
    "keys with blanks and points": "model-index:\n- old\nmy key: 1\nother.key: {a: 2}\n",
    "a comment behind what is replaced": "datasets: [x]\n# mine\nlicense: gpl\n",
    "keys in one line": "{license: gpl, tags: [a], datasets: [x]}\n",
    "anchors": "datasets: &d [x]\nlicense: gpl\nalso: *d\n",
    "a text that looks like a key": 'datasets: "a\nlicense: b"\nlicense: gpl\n',
    "a block": "summary: |\n  license: no\n\n  datasets: no\nlicense: gpl\ndatasets: [x]\n",
    "a document's end": "license: gpl\ndatasets: [x]\n...\n",
}


@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
@pytest.mark.parametrize("lead", ["", "\n \n", "\ufeff"])
def test_no_way_to_write_a_card_costs_its_author_anything(front, lead):
    text = card.update(f"{lead}---\n{front}---\nText\n", card.render("me/net", published(), license="mit"))
    assert text.startswith(f"{lead}---\n") and text.removeprefix(lead).count("---\n") == 2 and "Text\n" in text
    before, after = yaml.safe_load(front), yaml.safe_load(text.removeprefix(lead).split("---\n")[1])
    ours = {"model-index", "datasets", "library_name", "pipeline_tag"}
    assert {key: after[key] for key in set(before) - ours} == {key: before[key] for key in set(before) - ours}
    theirs = before.get("datasets") or []
    assert after["datasets"] == [*(theirs if isinstance(theirs, list) else [theirs]), "cifar10"]
    assert after["model-index"][0]["name"] == "net"
    assert after["license"] == before.get("license", "mit") and ("# mine" in text) == ("# mine" in front)
    assert card.update(text, text) == text


@pytest.mark.parametrize(
    "front",
    [
        "model-index: 5",
        "model-index: [5]",
        "model-index: [{results: 1}]",
        "model-index: [{name: x, results: }]",
        "model-index: [{results: [{metrics: [5, {type: [1]}]}]}]",
        "x: " + "[" * 5000,
        "x: !!timestamp foo",
        "x: 2001-99-99",
        "x: !!python/object:os.system {}",
        "? [a]\n: b",
        "x: !!int foo",
        "x: !!binary 5",
    ],
)
def test_a_card_of_anything_is_looked_at_and_is_no_riddle(front):
    try:
        found = card.problems(f"---\n{front}\n---\n", published())
    except ValueError as error:
        found = [str(error)]
    assert found and all(problem.startswith("expected ") for problem in found)


@settings(max_examples=200, deadline=None)
@given(st.text("-:[]{}#&*!|>'\"\n\r ab", max_size=40))
def test_any_front_matter_keeps_its_facts_or_is_refused(front):
    theirs = f"---\n{front}\n---\n"
    try:
        before = card._facts(theirs)
        text = card.update(theirs, card.render("me/net", published()))
    except ValueError:
        return
    after = card._facts(text)
    assert {key: after[key] for key in before} == before


def test_a_card_that_refers_to_itself_again_and_again_takes_no_time():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    text = "---\n" + "\n".join(lines) + "\nmodel-index: [{results: [{metrics: [{type: *a11, value: *a11}]}]}]\n---\n"
    for look in (lambda: card.problems(text, published()), lambda: card.update(text, card.render("me/n", published()))):
        with pytest.raises(ValueError, match="front matter has at most 10000 values; Received: more"):
            look()


def test_further_tags_and_data_sets_are_added_to_the_authors():
    theirs = "---\ntags: [flowers, mine]\ndatasets: me/flowers\n---\n"
    facts = card._facts(card.update(theirs, card.render("me/net", published(), tags="fun"), ["tags"]))
    assert facts["tags"] == ["flowers", "mine", "keras", "googlenet", "inception", "fun"]
    assert facts["datasets"] == ["me/flowers", "cifar10"]
    facts = card._facts(card.update(theirs, card.render("me/net", published(metrics={}))))
    assert facts["tags"] == ["flowers", "mine"] and facts["datasets"] == "me/flowers"


def test_one_tag_is_one_tag():
    facts = card.front_matter("me/net", published(), tags="fun")
    assert "fun" in facts["tags"] and "f" not in facts["tags"]


def test_a_card_without_front_matter():
    text = card.update("# Mine\n", card.render("me/net", published()))
    assert yaml.safe_load(text.split("---")[1])["library_name"] == "keras" and "\n# Mine\n" in text


@pytest.mark.parametrize(
    "text, message",
    [
        ("---\n[\n---\n", "whose front matter is YAML"),
        ("---\n- a\n---\n", "whose front matter is a mapping"),
        (f"{card.BEGIN}\n", "with the markers .* once each"),
        (f"{card.END}\n{card.BEGIN}\n", "with the markers .* once each"),
        (f"{card.BEGIN}{card.END}{card.BEGIN}{card.END}", "with the markers .* once each"),
    ],
)
def test_cards_that_cannot_be_updated(text, message):
    with pytest.raises(ValueError, match=message):
        card.update(text, card.render("me/net", published()))


TEXTS = st.text(max_size=30) | st.sampled_from([card.BEGIN, card.END, "a|b", "---\nx", "{{", "'\""])


@settings(max_examples=200, deadline=None)
@given(key=TEXTS, value=TEXTS, recipe=TEXTS)
def test_any_text_leaves_the_card_one_that_can_be_updated(key, value, recipe):
    text = card.render("me/net", published(metrics={key: value, "top1": 1.0}, provenance={"recipe": recipe}))
    assert yaml.safe_load(text.split("\n---\n")[0])["library_name"] == "keras"
    assert card.update(text, text) == text
