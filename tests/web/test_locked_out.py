"""Strangers who try a name again and again keep its person out nowhere they signed in before."""

from __future__ import annotations

from orch import people
from orch.sessions import BY_DEVICE, BY_NAME, BY_NAME_ANYWHERE
from tests.web.conftest import PASSWORD, Person, Web


def at(web: Web, address: str) -> Person:
    person = web.visitor()
    person.client.environ_base["REMOTE_ADDR"] = address
    return person


def wrong(person: Person, times: int) -> list[int]:
    return [person.sign_in("ann", "a wrong password").status_code for _ in range(times)]


def test_a_stranger_elsewhere_keeps_nobody_out_by_name(web: Web) -> None:
    web.person("ann")
    stranger = at(web, "203.0.113.1")
    assert wrong(stranger, BY_NAME.most + 1) == [401] * BY_NAME.most + [429]
    assert stranger.sign_in("ann").status_code == 429
    assert at(web, "203.0.113.2").sign_in("ann").status_code == 303


def test_who_signed_in_before_gets_in_whatever_all_others_try(web: Web) -> None:
    web.person("ann")
    ann = at(web, "203.0.113.1")
    assert ann.sign_in("ann").status_code == 303
    assert ann.post("/ui/sign-out").status_code == 303
    for number in range(BY_NAME_ANYWHERE.most // BY_NAME.most):
        assert set(wrong(at(web, f"198.51.100.{number}"), BY_NAME.most)) == {401}
    wrong(at(web, "203.0.113.1"), BY_NAME.most + 1)
    assert at(web, "192.0.2.1").sign_in("ann").status_code == 429
    assert ann.sign_in("ann").status_code == 303


def test_a_device_has_a_limit_of_its_own_and_ends_with_the_password(web: Web) -> None:
    web.person("ann")
    web.person("ben")
    ann = at(web, "203.0.113.1")
    ann.sign_in("ann")
    device = ann.client.get_cookie("orch-device")
    assert device is not None
    assert (device.http_only, device.same_site) == (True, "Lax")
    ann.post("/ui/sign-out")
    assert wrong(ann, BY_DEVICE.most + 1) == [401] * BY_DEVICE.most + [429]
    other = at(web, "203.0.113.9")
    other.client.set_cookie("orch-device", device.value)
    assert (
        other.sign_in("ann").status_code == 429
    )  # it is counted with the browser it was taken from
    web.rig.clock.advance(BY_DEVICE.seconds)
    people.set_password(web.line, web.passwords, "ann", "entirely new words", "root")
    stranger = at(web, "203.0.113.9")
    stranger.client.set_cookie("orch-device", device.value)
    assert wrong(stranger, BY_NAME.most + 1)[-1] == 429
    ann_again = at(web, "192.0.2.7")
    assert ann_again.sign_in("ann", "entirely new words").status_code == 303
    assert at(web, "192.0.2.7").sign_in("ben", PASSWORD).status_code == 303
