"""The page of a listed folder in a browser: headless chromium, as a desk and as a phone have it."""

import os

import pytest

import browser
from client import fetch
from requirements import requires

pytestmark = requires("chromium")
DESK, PHONE = (1280, 800), (360, 740)


@pytest.fixture
def tree(own_files):
    root = own_files.root
    for folder in ("Holiday 2025", "Holiday 2025/Day 1", "x" * 255):
        os.mkdir(os.path.join(root, folder))
    for size, name in [(10, "part 2"), (1 << 20, "part 10.tar.gz"), (2000, "<b>bold & co.txt"),
                       (3, "ünï 文字 🗎.txt"), (5, "y" * 120 + " " + "z" * 130), (1, "%41?#;"),
                       (7, "javascript:alert(1)"), (8, "line\nbreak")]:
        own_files.new(size, name)
    with open(os.fsencode(root) + b"/no\xff\xfetext", "wb"):
        pass
    own_files.new(11, "Holiday 2025/photo.jpg")
    return own_files


@pytest.fixture(scope="module")
def page():
    with browser.Browser() as one:
        yield one


def keep(page, name):
    """A screenshot to look at, if somebody wants one."""
    if folder := os.environ.get("POLLUX_SCREENSHOTS"):
        os.makedirs(folder, exist_ok=True)
        page.screenshot(os.path.join(folder, name + ".png"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_fits_and_nothing_is_wrong_with_it(pollux, tree, page, size, scheme):
    server = pollux(tree.root, listing=True)
    page.screen(*size, scheme, mobile=size == PHONE)
    page.complaints.clear()
    page.open(server.url("/"))
    keep(page, f"{scheme}-{size[0]}")
    assert page.complaints == []
    assert page.value("document.compatMode") == "CSS1Compat"
    assert page.value("document.documentElement.scrollWidth") <= size[0]
    assert page.value("""[...document.querySelectorAll("tbody a, time, .size")]
        .every(e => e.getBoundingClientRect().right <= innerWidth)""")
    background = page.value("getComputedStyle(document.body).backgroundColor")
    darkness = sum(map(int, background.removeprefix("rgb(").rstrip(")").split(",")))
    assert darkness < 150 if scheme == "dark" else darkness > 600
    # A finger's width between links, and text that can be read without zooming.
    assert page.value("""parseFloat(getComputedStyle(document.querySelector("tbody a")).fontSize)"""
                      ) >= 16
    assert page.value("document.scripts.length") == 0
    assert page.value("document.querySelectorAll('tbody b').length") == 0


def contrast(page, selector):
    """WCAG 2.1's ratio of the text of `selector` to the page."""
    return page.value("""(() => {
      const light = c => { const [r, g, b] = c.match(/[0-9.]+/g).map(v => v / 255)
          .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const a = light(getComputedStyle(document.querySelector(%r)).color);
      const b = light(getComputedStyle(document.body).backgroundColor);
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); })()""" % selector)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_can_be_read(pollux, tree, page, scheme):
    server = pollux(tree.root, listing=True)
    page.screen(*DESK, scheme)
    page.open(server.url("/Holiday%202025/"))
    for selector in ("h1 a", "tbody a", ".date", "td.size", "footer"):
        assert contrast(page, selector) >= 4.5, selector


def test_links_lead_where_they_say(pollux, tree, page):
    server = pollux(tree.root, listing=True)
    page.screen(*DESK, "light")
    page.open(server.url("/"))
    links = page.value("[...document.querySelectorAll('tbody a')].map(a => a.href)")
    assert len(links) == len(os.listdir(tree.root))
    for link in links:
        assert link.startswith(server.url("/")), link
        path = link.removeprefix(server.url("")) if server.url("") else link
        target = "/" + link.split("/", 3)[3]
        assert fetch(server.port, target, method="HEAD").status == 200, path
    page.complaints.clear()
    page.click("a[href='Holiday%202025/']")
    assert page.value("document.title") == "/Holiday 2025/"
    page.click("a[href='Day%201/']")
    assert page.value("location.pathname") == "/Holiday%202025/Day%201/"
    page.click("tbody a[href='../']")
    assert page.value("document.title") == "/Holiday 2025/"
    page.click("h1 a")
    assert page.value("location.pathname") == "/"
    assert page.complaints == []


def test_names_are_shown_as_they_are(pollux, tree, page):
    server = pollux(tree.root, listing=True)
    page.open(server.url("/"))
    shown = page.value("[...document.querySelectorAll('tbody bdi')].map(e => e.textContent)")
    assert {"<b>bold & co.txt", "ünï 文字 🗎.txt", "%41?#;", "javascript:alert(1)",
            "line\N{SYMBOL FOR LINE FEED}break", "no\ufffd\ufffdtext"} <= set(shown)
    assert shown.index("part 2") + 1 == shown.index("part 10.tar.gz")


def test_a_long_listing_is_a_page_like_any_other(pollux, own_files, page):
    for number in range(3000):
        open(os.path.join(own_files.root, f"{number}"), "wb").close()
    server = pollux(own_files.root, listing=True)
    page.complaints.clear()
    page.open(server.url("/"))
    assert page.value("document.querySelectorAll('tbody tr').length") == 3000
    assert page.value("document.querySelector('footer').textContent").strip().startswith(
        "0 folders, 3,000 files")
    assert page.complaints == []
