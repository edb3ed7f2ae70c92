"""HAProxy's answers as values."""

from __future__ import annotations

import pytest

from permafrost.adapters.haproxy.answers import UnreadableAnswerError, parse
from permafrost.facts import ServerState

STAT = """\
# pxname,svname,qcur,qmax,scur,smax,slim,stot,status,check_status,last_chk,
chat,FRONTEND,,,3,5,1000,90,OPEN,,,
chat_a,lab-chat-01,2,2,5,9,64,10,UP,L7OK,HTTP 200,
chat_a,lab-chat-02,0,0,1,9,64,10,DRAIN,L7OK,,
chat_a,lab-chat-03,0,0,0,9,64,10,DOWN,L4CON,Connection refused,
chat_a,lab-chat-04,0,0,0,9,64,10,MAINT,,,
chat_a,lab-chat-05,0,0,0,9,64,10,UP 1/3,L7OK,,
chat_a,BACKEND,4,9,6,9,200,40,UP,,,
health_a_lab-chat-01,health,0,0,1,1,,10,no check,,,

"""
STATES = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
3 chat_a 1 lab-chat-01 10.64.1.21 2 0 1
3 chat_a 2 lab-chat-02 10.64.1.22 2 8 1
3 chat_a 3 lab-chat-03 10.64.1.23 0 8 1
3 chat_a 4 lab-chat-04 10.64.1.24 0 1 1
3 chat_a 5 lab-chat-05 10.64.1.25 2 4 1
9 health_a_lab-chat-01 1 health 10.64.1.21 2 0 1

"""


@pytest.mark.parametrize("text", [STAT + STATES, STATES + STAT, STAT.rstrip() + "\n" + STATES])
def test_health_load_and_will_of_every_server(text: str) -> None:
    (backend,) = parse("edge", text)
    assert (backend.edge, backend.name, backend.queued) == ("edge", "chat_a", 4)
    seen = {s.replica: (s.is_up, s.admin, s.in_flight) for s in backend.servers}
    assert seen == {
        "lab-chat-01": (True, ServerState.READY, 7),
        "lab-chat-02": (True, ServerState.DRAIN, 1),
        "lab-chat-03": (False, ServerState.DRAIN, 0),
        "lab-chat-04": (False, ServerState.MAINT, 0),
        "lab-chat-05": (True, ServerState.READY, 0),
    }
    assert [s.replica for s in backend.servers if s.takes_requests] == [
        "lab-chat-01",
        "lab-chat-05",
    ]
    assert backend.servers[2].check == "DOWN L4CON Connection refused"
    assert {s.most_at_once for s in backend.servers} == {9}


def test_what_an_edge_has_counted() -> None:
    names = "stot,hrsp_5xx,econ,eresp,srv_abrt,wretr,wredis,rtime"
    row = "90,3,7,5,2,4,1,120"
    text = (
        f"# pxname,svname,qcur,scur,status,check_status,last_chk,{names},\n"
        f"chat_a,lab-chat-01,0,1,UP,L7OK,,{row},\n"
    )
    (backend,) = parse("edge", text + STATES)
    told = backend.servers[0].counts.as_dict()
    assert told == {"requests": 90, "errors": 6, "retried": 5, "cut": 2, "response_ms": 120}


@pytest.mark.parametrize("text", ["", "Unknown command\n", STAT, STATES])
def test_half_an_answer_is_none(text: str) -> None:
    with pytest.raises(UnreadableAnswerError):
        parse("edge", text)
