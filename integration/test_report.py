"""The report page: made of a sample of what the measuring commands write, and looked at in a
browser: complete, readable on every screen, and safe with whatever the JSON says."""

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

import browser
from requirements import requires

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, name) for name in ("report", "validate", "bench")]

import page as report_page  # noqa: E402
import sources  # noqa: E402

SAMPLE = os.path.join(HERE, "report", "sample")
MAIN = os.path.join(HERE, "report", "main.py")
DESK, PHONE = (1280, 900), (375, 740)

needs_browser = requires("chromium")


def run(folder, output, *more):
    return subprocess.run([sys.executable, MAIN, "--from", str(folder), "--output", str(output),
                           *more], capture_output=True, text=True, timeout=60, check=False)


def made(folder, output):
    report_page.write(folder, str(output))
    return str(output)


@pytest.fixture(scope="module")
def page():
    with browser.Browser() as one:
        yield one


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "index.html"
    done = run(SAMPLE, path)
    assert (done.returncode, done.stderr) == (0, ""), done
    return str(path)


def show(page, path, size=DESK, scheme="light"):
    page.screen(*size, scheme, mobile=size == PHONE)
    page.complaints.clear()
    page.open("file://" + path)
    assert page.complaints == []


# Outside of what is folded up.
SHOWN = "[...document.querySelectorAll('table, svg')].filter(e => !e.closest('details'))"


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_table_and_plot_is_seen_and_nothing_sticks_out(page, sample, size, scheme):
    show(page, sample, size, scheme)
    assert page.value(f"{SHOWN}.filter(e => e.tagName == 'TABLE').length") >= 9
    assert page.value(f"{SHOWN}.filter(e => e.tagName == 'svg').length") >= 16
    assert page.value(f"{SHOWN}.filter(e => e.getBoundingClientRect().width < 50 "
                      "|| e.getBoundingClientRect().height < 30).length") == 0
    page.value("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert page.value("document.documentElement.scrollWidth") <= size[0]
    # What is wider scrolls in its own box.
    assert page.value("""[...document.querySelectorAll("body *")]
        .filter(e => !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 0.5)
        .map(e => e.outerHTML.slice(0, 80))""") == []
    background = page.value("getComputedStyle(document.body).backgroundColor")
    darkness = sum(map(int, background.removeprefix("rgb(").rstrip(")").split(",")))
    assert darkness < 150 if scheme == "dark" else darkness > 600


@needs_browser
def test_nothing_is_loaded_from_anywhere(page, sample):
    show(page, sample)
    assert page.value("performance.getEntriesByType('resource').length") == 0
    with open(sample, encoding="utf-8") as file:
        text = file.read()
    assert all(target.startswith(("#", "data:,")) for target in
               re.findall(r"""\b(?:src|href|action|data)=["']?([^"'> ]*)""", text))
    assert not re.search(r"@import|url\((?!#)", text)
    assert page.value("document.querySelector('meta[http-equiv]').content").startswith(
        "default-src 'none'")


LIGHT = """const light = c => { const [r, g, b] = c.match(/[0-9.]+/g).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ground = e => { while (getComputedStyle(e).backgroundColor == "rgba(0, 0, 0, 0)")
  e = e.parentElement; return getComputedStyle(e).backgroundColor; };
const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);"""


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(page, sample, scheme):
    """WCAG 2.1: 4.5 to 1. Of a drawing the ground is the sheet's."""
    show(page, sample, DESK, scheme)
    page.value("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert page.value("""(() => { %s
        const poor = new Set();
        for (const e of document.querySelectorAll("body *")) {
          if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())) continue;
          if (["SCRIPT", "STYLE"].includes(e.tagName)) continue;
          const style = getComputedStyle(e);
          const ink = e.namespaceURI.includes("svg") ? style.fill : style.color;
          if (contrast(light(ink), light(ground(e))) < 4.5) poor.add(e.outerHTML.slice(0, 80));
        }
        return [...poor]; })()""" % LIGHT) == []


@needs_browser
def test_its_order_is_that_of_a_document(page, sample):
    show(page, sample)
    levels = page.value("[...document.querySelectorAll('h1, h2, h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(levels, levels[1:]))
    assert page.value(f"""{SHOWN}.filter(e => e.tagName == 'TABLE' && !e.closest("figure")
        .querySelector("figcaption h3#" + e.getAttribute("aria-labelledby"))).length""") == 0
    assert page.value("document.querySelectorAll('th:not([scope])').length") == 0
    assert page.value("document.querySelectorAll('svg:not([aria-label])').length") == 0
    assert page.value("""[...document.querySelectorAll("nav a")]
        .every(e => document.querySelector(e.getAttribute("href")))""")
    assert page.value("""[...document.querySelectorAll("[id]")].length
        == new Set([...document.querySelectorAll("[id]")].map(e => e.id)).size""")
    # Whoever sees no colours reads the verdict.
    assert page.value("""[...document.querySelectorAll(".mark")]
        .every(e => /^(holds|fails|not measured|not shown)$/.test(e.textContent))""")


def test_commands_are_those_that_were_run(sample):
    with open(os.path.join(SAMPLE, "validate.json"), encoding="utf-8") as file:
        document = json.load(file)
    run_commands = {row["command"] for row in document["delays"]}
    assert len(run_commands) == 5 and all("--file FILE" in one for one in run_commands)
    with open(sample, encoding="utf-8") as file:
        shown = {line for line in re.findall("<code>([^<]*)</code>", file.read())
                 if "pollux-validate" in line}
    assert shown == run_commands


@needs_browser
def test_commands_can_be_copied(page, sample):
    show(page, sample)
    assert page.value("document.querySelectorAll('.command code').length") == page.value(
        "document.querySelectorAll('.command code + button').length") > 20
    page.value("document.querySelector('.command button').click()")
    # Without leave to use the clipboard the command is selected.
    assert page.value("""new Promise(done => {
        const button = document.querySelector(".command button");
        const look = () => button.textContent === "Copy" ? setTimeout(look, 1)
                                                         : done(button.textContent);
        look();
    })""") in ("Copied", "Selected")


@needs_browser
def test_it_can_be_printed(page, sample):
    show(page, sample, DESK, "dark")
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert page.value("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        printed = page.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"]
        assert len(printed) > 50_000
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


EVIL = """</script></style><img src=x onerror=alert(1)><script>alert(2)</script>"'&{{7*7}} """
FIXED = {"kind", "expected", "benchmark", "files", "outcome"}  # words that the page looks for


def hostile(value, key=""):
    """The same document, every name and text of it hostile. Keys that are names (of rows, columns,
    disks) too; columns stay what rows call them."""
    if isinstance(value, str):
        return EVIL + value if value and key not in FIXED else value
    if isinstance(value, list):
        return [hostile(one, key) for one in value]
    if isinstance(value, dict):
        named = key in ("rows", "cells_of_row", "disk", "load_average")
        return {EVIL + name if named else name:
                hostile(one, "cells_of_row" if key == "rows" else name)
                for name, one in value.items()}
    return value


@needs_browser
def test_whatever_the_json_says_is_text(page, tmp_path):
    for name in os.listdir(SAMPLE):
        with open(os.path.join(SAMPLE, name), encoding="utf-8") as file:
            document = json.load(file)
        if name == "validate.json":
            rows = document["verdicts"][0]["rows"]
            next(iter(rows["no lost wake-up"].values())).update(error="it broke")
            document["unexpected"] = ["it broke"]
        document = hostile(document)
        with open(tmp_path / name, "w", encoding="utf-8") as file:
            json.dump(document, file)
    path = made(tmp_path, tmp_path / "index.html")
    show(page, path, PHONE)
    assert page.value("document.scripts.length") == 1
    assert page.value("document.images.length") == 0
    assert page.value("document.documentElement.scrollWidth") <= PHONE[0]
    text = page.value("document.body.textContent")
    assert text.count("<img src=x onerror=alert(1)>") > 100
    assert "{{7*7}}" in text


def test_what_was_not_measured_is_named_with_its_command(tmp_path):
    shutil.copy(os.path.join(SAMPLE, "validate.json"), tmp_path)
    with open(tmp_path / "bench-stall.json", "w", encoding="utf-8") as file:
        file.write('{"benchmark": "stall"}')
    with open(made(tmp_path, tmp_path / "index.html"), encoding="utf-8") as file:
        text = file.read()
    for command in ("ci/bench 2006", "ci/bench hot", "ci/bench scale"):
        assert f"<code>{command}</code>" in text
    assert "Not measured yet" in text
    assert "cannot be used" in text  # of the stall's


def test_a_score_that_cannot_be_shown_keeps_no_other_from_it(tmp_path):
    for name in ("validate", "torture-pollux", "torture-nginx-aio"):
        shutil.copy(os.path.join(SAMPLE, name + ".json"), tmp_path)
    (tmp_path / "torture-empty.json").write_text('{"facts": {}}')
    (tmp_path / "torture-odd.json").write_text('{"facts": {}, "name": "odd", "rows": [{"name": 1}]}')
    (tmp_path / "torture-cut $HOME.json").write_text('{"facts": {}, ')
    with open(made(tmp_path, tmp_path / "index.html"), encoding="utf-8") as file:
        text = file.read()
    assert "<code>pollux</code>" in text and "<code>nginx-aio</code>" in text
    for name in ("empty", "odd", "cut $HOME"):
        assert f"The server {name}" in text
    assert "<code>ci/torture --server &#39;cut $HOME&#39;</code>" in text


@pytest.mark.parametrize("typed, shown", [
    (["/a b/integration/torture/main.py", "--server", "caddy --root {root}", "-k", "a or b"],
     "ci/torture --server 'caddy --root {root}' -k 'a or b'"),
    (["integration/bench/main.py", "cold", "--rounds", "2"], "ci/bench cold --rounds 2"),
    (["/usr/lib/python3/pytest"], "otherwise"), ([""], "otherwise"), ([], "otherwise")])
def test_commands_are_as_a_shell_reads_them(typed, shown):
    assert sources.as_typed(shlex.join(typed), "otherwise") == shown


def test_a_verdict_that_is_not_as_it_must_be_leads_the_page(tmp_path):
    with open(os.path.join(SAMPLE, "validate.json"), encoding="utf-8") as file:
        document = json.load(file)
    cell = next(part for part in document["verdicts"] if part["kind"] == "retire")["rows"][
        "bytes exact, late reader"]["punch"]
    cell |= {"holds": False, "ok": False, "figure": "3 % wrong"}
    document["unexpected"] = ["bytes exact, late reader, retire punch: must hold, but FAILS"]
    with open(tmp_path / "validate.json", "w", encoding="utf-8") as file:
        json.dump(document, file)
    with open(made(tmp_path, tmp_path / "index.html"), encoding="utf-8") as file:
        text = file.read()
    assert "<title>Pollux: Not as it must be: 1 of the verdicts</title>" in text
    assert 'class="mark wrong">fails</span><span class="figure">3 % wrong</span>' in text


def changed(change):
    with open(os.path.join(SAMPLE, "validate.json"), encoding="utf-8") as file:
        document = copy.deepcopy(json.load(file))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize("text, words", [
    (None, "is not there: ci/validate writes it"),
    ("", "no JSON that ci/validate wrote"),
    ('{"facts": ', "no JSON that ci/validate wrote"),
    ("[" * 100_000, "no JSON that ci/validate wrote"),
    ("\x00\xff", "no JSON that ci/validate wrote"),
    ("[1, 2]", "no JSON that ci/validate wrote"),
    ('{"hello": "world"}', "not what ci/validate of this revision writes"),
    (lambda document: document.update(verdicts=7), "not what ci/validate of this revision writes"),
    (lambda document: document.update(facts=[]), "not what ci/validate of this revision writes"),
    (lambda document: document["delays"][0].update(p50_s="soon"),
     "not what ci/validate of this revision writes"),
])
def test_what_is_no_verdict_is_refused_in_a_line(tmp_path, text, words):
    if text is not None:
        with open(tmp_path / "validate.json", "w", encoding="latin-1") as file:
            file.write(changed(text) if callable(text) else text)
    with pytest.raises(sources.SourceError, match=words) as refused:
        report_page.write(tmp_path, str(tmp_path / "index.html"))
    assert "\n" not in str(refused.value)
    assert not os.path.exists(tmp_path / "index.html")


def test_mistakes_are_a_line_and_status_2(tmp_path):
    (tmp_path / "file").touch()
    for folder, output, words in ((tmp_path, tmp_path / "index.html", "validate.json is not there"),
                                  (SAMPLE, tmp_path / "file" / "index.html", "file")):
        done = run(folder, output)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("ci/report: ") and done.stderr.count("\n") == 1, done.stderr
        assert words in done.stderr
