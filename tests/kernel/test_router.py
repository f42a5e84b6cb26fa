"""Method and path to operation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.router import DuplicateRoute, Router


def routed(*routes: str) -> Router[str]:
    """A router whose targets are the routes themselves, given as `METHOD /path`."""
    router: Router[str] = Router()
    for route in routes:
        method, path = route.split(" ")
        router.add(method, path, route)
    return router


def found(router: Router[str], path: str) -> tuple[dict[str, str], list[str]] | None:
    hit = router.find(path)
    return None if hit is None else (hit[0], list(hit[1]))


def test_a_literal_path_is_found() -> None:
    router = routed("GET /things", "POST /things")
    assert found(router, "/things") == ({"GET": "GET /things", "POST": "POST /things"}, [])


def test_the_values_of_names_are_in_the_order_of_the_path() -> None:
    router = routed("GET /threads/{thread_id}/messages/{message_id}")
    hit = found(router, "/threads/t1/messages/m2")
    assert hit is not None
    assert hit[1] == ["t1", "m2"]


def test_a_literal_segment_is_over_a_name() -> None:
    router = routed("POST /threads/runs", "GET /threads/{thread_id}")
    assert found(router, "/threads/runs") == ({"POST": "POST /threads/runs"}, [])
    assert found(router, "/threads/t1") == ({"GET": "GET /threads/{thread_id}"}, ["t1"])


def test_a_literal_that_leads_nowhere_is_left_again() -> None:
    router = routed("GET /a/b/c", "GET /{x}/b/d")
    assert found(router, "/a/b/d") == ({"GET": "GET /{x}/b/d"}, ["a"])


def test_the_values_of_a_road_that_led_nowhere_are_forgotten() -> None:
    router = routed("GET /{x}/{y}/end", "GET /{x}/{rest:path}")
    assert found(router, "/1/2/3") == ({"GET": "GET /{x}/{rest:path}"}, ["1", "2/3"])


def test_the_rest_of_a_path_keeps_its_slashes() -> None:
    router = routed("GET /models/{model:path}")
    assert found(router, "/models/org/name") == ({"GET": "GET /models/{model:path}"}, ["org/name"])


def test_a_longer_literal_road_is_over_the_rest() -> None:
    router = routed("GET /models/{model:path}", "GET /models/{model}/card")
    hit = found(router, "/models/m/card")
    assert hit == ({"GET": "GET /models/{model}/card"}, ["m"])


@pytest.mark.parametrize(
    "path", ["/", "/thing", "/things/", "/things/1/", "//", "/things//", "/things/1/2", "/x/things"]
)
def test_what_is_not_there_is_not_found(path: str) -> None:
    assert found(routed("GET /things", "GET /things/{id}"), path) is None


def test_an_empty_segment_is_no_value() -> None:
    router = routed("GET /things/{id}/parts", "GET /files/{name:path}")
    assert found(router, "/things//parts") is None
    assert found(router, "/files/") is None


def test_two_routes_of_one_method_and_shape_are_refused() -> None:
    router = routed("GET /things/{id}")
    with pytest.raises(DuplicateRoute, match=r"GET /things/\{other\}"):
        router.add("GET", "/things/{other}", "again")


def test_one_path_may_have_a_route_for_each_method() -> None:
    router = routed("GET /a/{x}", "DELETE /a/{y}")
    hit = found(router, "/a/1")
    assert hit is not None
    assert sorted(hit[0]) == ["DELETE", "GET"]


SEGMENT = st.sampled_from(["a", "b", "{x}"])
PATHS = st.lists(st.lists(SEGMENT, min_size=1, max_size=4).map("/".join), max_size=12, unique=True)
ASKED = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map("/".join)


def fits(route: str, path: str) -> bool:
    parts, asked = route.split("/"), path.split("/")
    return len(parts) == len(asked) and all(
        part in ("{x}", word) for part, word in zip(parts, asked, strict=True)
    )


@given(PATHS, ASKED)
def test_the_trie_finds_exactly_what_comparing_every_route_would(
    paths: list[str], asked: str
) -> None:
    hit = routed(*(f"GET /{path}" for path in paths)).find(f"/{asked}")
    fitting = [path for path in paths if fits(path, asked)]
    if not fitting:
        assert hit is None
        return
    assert hit is not None
    # Segment by segment from the left, a literal is over a name.
    best = min(fitting, key=lambda path: [part == "{x}" for part in path.split("/")])
    assert hit[0] == {"GET": f"GET /{best}"}
