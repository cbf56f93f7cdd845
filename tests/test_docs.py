"""Every block of code on every page runs; links and tables are right."""

import csv
import re
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
# All that is on the site, or leads there.
LINKED = [
    *PAGES,
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "experiments").glob("**/*.md")),
    *sorted((ROOT / "notebooks").glob("*.md")),
]
RESULTS = ROOT / "experiments" / "results"
CODE = re.compile(r"```(?:python|\{code-cell\} python)\n(.*?)```", re.DOTALL)
# A block of code and, right behind it, what it prints.
PRINTED = re.compile(r"```python\n([^`]*?)```\n\n```text\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


# Pages of more than four seconds, of which others call the same functions. The
# building of the site runs the tutorial as well.
SLOW = {"batchnorm", "checkpoints", "epoch", "equinox", "fine-tuning", "from-pytorch",
        "frozen-layers", "gradient-accumulation", "linen", "nnx", "numpyro",
        "optimizers", "sharding", "tutorial", "warm-up"}  # fmt: skip


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            id=page.stem,
            marks=pytest.mark.slow if page.stem in SLOW else (),
        )
        for page in PAGES
    ],
)
def test_the_code_runs_and_prints_what_the_page_says(
    page, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = {"__name__": "page"}
    text = page.read_text()
    printed = dict(PRINTED.findall(text))
    with matplotlib.rc_context():
        for block in CODE.findall(text):
            exec(compile(block, page.name, "exec"), names)
            output = capsys.readouterr().out
            if block in printed:
                assert_prints(output, printed[block])


def assert_prints(output, expected):
    """The same words, and the same numbers as far as rounding goes.

    With the rounding of `make test-rounding` no printed digit of any page changes. A
    decision that comes one check later is no rounding: it halves a scale.
    """
    assert NUMBER.sub("#", output).split() == NUMBER.sub("#", expected).split()
    numbers = [list(map(float, NUMBER.findall(text))) for text in (output, expected)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.05, abs=0.01)


def test_each_way_and_each_set_up_has_a_short_whole_script():
    contents = (ROOT / "docs" / "index.md").read_text()
    for caption in ("Your script", "How to"):
        (listed,) = re.findall(
            rf":caption: {caption}\n:maxdepth: 1\n\n(.*?)```", contents, re.DOTALL
        )
        for name in listed.split():
            text = (ROOT / "docs" / f"{name}.md").read_text()
            script = CODE.findall(text)[0]
            assert len(script.splitlines()) <= 40, name
            assert script in dict(PRINTED.findall(text)), f"{name}: what it prints"
            assert max(map(len, script.splitlines())) <= 88, name


def test_every_block_is_run_or_not_python():
    for page in PAGES:
        fences = re.findall(r"^```(.+)$", page.read_text(), re.MULTILINE)
        assert set(fences) <= {"python", "{code-cell} python", "text", "{toctree}"}


def anchors(page):
    """The anchors of a page's headings, as GitHub and the site make them."""
    found = set()
    for line in FENCED.sub("", page.read_text()).splitlines():
        if heading := re.match(r"#+ (.+)", line):
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def links(page):
    text = FENCED.sub("", page.read_text())
    return [x for x in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in x]


@pytest.mark.parametrize(
    "page", LINKED, ids=lambda page: str(page.relative_to(ROOT).with_suffix(""))
)
def test_links_lead_somewhere(page):
    for link in links(page):
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        assert path.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(path), link


def test_every_page_is_in_the_contents():
    listed = set((ROOT / "docs" / "index.md").read_text().split())
    names = {page.stem for page in PAGES} | {"api"}
    assert names - {"index"} <= listed
    others = [
        *(ROOT / "experiments").glob("**/*.md"),
        *(ROOT / "notebooks").glob("*.ipynb"),
        *(ROOT / "notebooks").glob("*.md"),
    ]
    for page in others:
        assert f"../{page.relative_to(ROOT).with_suffix('').as_posix()}" in listed


def test_everything_public_is_in_the_reference():
    import autodrop_optax
    from autodrop_optax import flax, plot, refinement
    from autodrop_optax.flax import linen

    reference = (ROOT / "docs" / "api.rst").read_text()
    module, documented = "", set()
    for line in reference.splitlines():
        if match := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.match(r"\.\. auto(?:function|class):: (\w+)", line):
            documented.add((module, match[1]))
    public = {(autodrop_optax.__name__, name) for name in autodrop_optax.__all__}
    for module in (flax, refinement):
        public |= {(module.__name__, name) for name in module.__all__}
    public |= {
        (m.__name__, name)
        for m in (linen, plot)
        for name, value in vars(m).items()
        if callable(value)
        and getattr(value, "__module__", "") == m.__name__
        and not name.startswith("_")
    }
    assert documented == public


def test_the_citation_names_the_papers_of_the_readme():
    citation = (ROOT / "CITATION.cff").read_text()
    readme = (ROOT / "README.md").read_text()
    entries = re.findall(r"^@\w+\{.*?^\}", readme, re.DOTALL | re.MULTILINE)
    assert len(entries) == 2
    parts = re.split(r"^  - type: ", citation, flags=re.MULTILINE)[1:]
    for entry, part in zip(entries, parts, strict=True):
        fields = dict(re.findall(r"(\w+)\s*= \{(.*)\}", entry))
        named = re.findall(r"family-names: (\w+)\s+given-names: (\w+)", part)
        assert " and ".join(map(", ".join, named)) == fields["author"]
        assert f"year: {fields['year']}" in part
        assert f'title: "{re.sub("[{}]", "", fields["title"])}"' in part
        if "volume" in fields:
            assert f"volume: {fields['volume']}" in part
            start, end = fields["pages"].split("--")
            assert f"start: {start}\n    end: {end}" in part
            assert fields["booktitle"] in part
            assert fields["series"] in part
        else:
            assert fields["journal"] in part


def rows_of(page):
    table = re.findall(r"^\| (.*) \|$", (ROOT / "docs" / page).read_text(), re.M)
    return [tuple(cell.strip("` ") for cell in row.split("|")) for row in table]


def results(name):
    with (RESULTS / name).open() as file:
        return list(csv.DictReader(file))


def test_the_sizes_are_those_measured():
    found = rows_of("epoch.md")
    for row in results("studies/state_size.csv"):
        assert (row["optimizer"], row["bytes_per_parameter"]) in found
