import crash_loop


def test_killed_writers_lose_nothing() -> None:
    figures = crash_loop.run(24, writers=3, seed=5)
    assert figures["found"] == []
    assert figures["ends"] == {"killed": figures["kills"]}
    assert figures["kills"] >= 24
    assert figures["changes_acknowledged"] > 0
