"""A thousand meters: found, sorted, added up, and no more of them drawn than can be seen."""

import pytest
from playwright.sync_api import expect

from tests.outside import serving
from tests.running import wait_until

METERS = 1000


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    flags = ("--meters", str(METERS), "--publish-interval", "2", "--load-noise", "0")
    with serving(tmp_path_factory.mktemp("system"), *flags) as api:
        wait_until(lambda: told(api) == METERS, "all meters have told their state", 60)
        yield api


def told(api):
    return len([value for value in api.get("/fleet")["values"]["pv.pv_power_kw"] if value is not None])


@pytest.fixture
def community(open_page, url):
    with open_page(url + "?view=community") as page:
        expect(page.get_by_text(f"{METERS} meters", exact=True)).to_be_visible()
        yield page


def names(page):
    return page.locator("[data-meter]").evaluate_all("found => found.map((one) => one.dataset.meter)")


def test_only_what_can_be_seen_is_drawn_and_the_last_can_be_reached(community):
    assert 12 <= len(names(community)) < 150
    assert names(community)[:2] == ["demo_meter", "meter_00002"]
    community.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(community.locator(f"[data-meter=meter_{METERS:05d}]")).to_be_visible()
    assert len(names(community)) < 150
    expect(community.locator("[data-meter=demo_meter]")).to_have_count(0)


def test_search_by_name_and_by_status(community):
    search = community.get_by_placeholder("Search by name or status")
    search.fill("meter_0042")
    expect(community.locator("[data-meter]")).to_have_count(10)
    expect(community.get_by_role("status").filter(has_text="10 of 1000 meters")).to_be_visible()
    search.fill("no such thing")
    expect(community.get_by_text("No meter fits.")).to_be_visible()
    search.fill("solar")
    wait_until(
        lambda: names(community) and all("olar" in text for text in community.locator(".tile-badge").all_inner_texts()),
        "only homes that live on the sun are left",
    )


def test_sorting(community):
    community.get_by_label("Sort by").select_option("Sun")
    nets = "found => found.slice(0, 6).map((one) => Number(one.querySelectorAll('.tile-row span')[0].lastChild.data))"

    def sorted_by_sun():
        seen = community.locator("[data-meter]").evaluate_all(nets)
        return seen[0] > 0 and seen == sorted(seen, reverse=True)

    wait_until(sorted_by_sun, "the sunniest come first")


def test_sums_are_those_of_the_meters(community, system):
    shown = community.locator("[data-sum='pv.pv_power_kw'] dd")

    def agree():
        told = system.get("/fleet", fields="pv.pv_power_kw")
        total = sum(told["values"]["pv.pv_power_kw"])
        seen = float("".join(shown.inner_text().split()[:-1]).replace("\u202f", ""))
        return total > 100 and abs(seen - total) <= 0.02 * total

    wait_until(agree, "the sum is the sum")
    expect(community.locator("[data-sum=meters] dd")).to_contain_text("1\u202f000 of 1\u202f000")


@pytest.mark.parametrize("layout", ["Tiles", "Map", "List"])
def test_each_meter_has_a_link(community, layout):
    community.get_by_role("button", name=layout, exact=True).click()
    community.locator("[data-meter=meter_00003]").click()
    expect(community.locator("[data-role=connection]")).to_have_text("live")
    expect(community).to_have_title("meter_00003 · Home · WattSwap")
    community.go_back()
    expect(community.locator("[data-meter=meter_00003]")).to_be_visible()
