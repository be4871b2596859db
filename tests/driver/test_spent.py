"""Where the time of a run goes: every moment in one account, coupling told apart."""

from coupler.driver import spent
from coupler.driver.spent import DYNAMICS, FILES, LOOP, MEANS, Spent


def counted() -> dict[str, float]:
    times = iter([0.0, 1.0, 5.0, 7.5, 8.0, 10.0, 50.0])
    account = Spent(lambda: next(times))
    for name in (DYNAMICS, "radiation=grey", MEANS, FILES):
        account.to(name)
    account.leave()
    return account.seconds({"radiation=grey": 2.0})


def test_every_moment_belongs_to_one_account_and_waiting_is_taken_out() -> None:
    assert counted() == {
        DYNAMICS: 4.0,
        "radiation=grey": 0.5,
        MEANS: 0.5,
        FILES: 2.0,
        "waiting for radiation=grey": 2.0,
    }


def test_what_is_counted_outside_or_forgotten_is_not_told() -> None:
    account = Spent()
    account.to(LOOP)
    account.leave()
    assert set(account.seconds()) == {LOOP}
    account.reset()
    assert account.seconds() == {}
    assert spent.table(account.seconds(), 1) == []


def test_the_share_of_coupling_leaves_files_and_waiting_out() -> None:
    assert spent.overhead(counted()) == 0.5 / 5.0
    kinds = {name: spent.kind(name) for name in counted()}
    assert kinds[MEANS] == "coupling"
    assert kinds["radiation=grey"] == "component"
    assert kinds["waiting for radiation=grey"] == "waiting"


def test_the_closing_table_has_a_line_for_each_and_their_sum() -> None:
    lines = spent.table(counted(), 2)
    assert len(lines) == len(counted()) + 2
    assert "2000.000" in next(line for line in lines if line.startswith(DYNAMICS))
    assert "4500.000; coupling: 10.0%" in lines[-1]
