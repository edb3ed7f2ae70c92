"""The walls of a lab as nftables rules."""

from lab.instance.network import walls


def test_nothing_is_forwarded_in_or_out_but_machines_reach_each_other() -> None:
    rules = walls("abc", "pfabc")
    assert 'iifname "pfabc" oifname != "pfabc" drop' in rules
    assert 'iifname != "pfabc" oifname "pfabc" drop' in rules
    assert "elements" not in rules


def test_links_that_are_cut_stay_cut_when_the_rules_are_written_again() -> None:
    rules = walls("abc", "pfabc", {"cut": ['"vabc-2"', '"vabc-1"']})
    assert 'elements = { "vabc-1", "vabc-2" }' in rules
    assert rules.count("@cut drop") == 4, "in, out, and both ways between machines"


def test_what_is_severed_stays_so_too() -> None:
    pair = '"vabc-1" . "vabc-2"'
    rules = walls("abc", "pfabc", {"severed": [pair], "severed_ports": ['"vabc-1" . 5000']})
    assert f"type ifname . ifname; elements = {{ {pair} }}" in rules
    assert 'type ifname . inet_service; elements = { "vabc-1" . 5000 }' in rules
