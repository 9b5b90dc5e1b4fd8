"""Nodes that come, go and look at different times share the work out evenly, and never take from one that is alive."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from firmcast.ids import PARTITIONS, NodeId
from firmcast.nodes.model import DUTIES, PARTITION_SHARES, Epoch, Lease, Node, Share, Standing
from firmcast.nodes.sharing_out import plan
from firmcast.settings import Role

EVERYTHING = frozenset(Role)
NOBODY = Standing(nodes={}, leases={})


def node(number: int, roles: frozenset[Role] = EVERYTHING) -> Node:
    return Node(node_id=NodeId(f"node-{number}"), name=f"host-{number}", roles=roles)


def standing(*nodes: Node, leases: dict[Share, Lease] | None = None) -> Standing:
    return Standing(nodes={each.node_id: each for each in nodes}, leases=leases or {})


def carried_out(before: Standing, node_id: NodeId) -> Standing:
    """Return how things stand when a node has done what it planned."""
    what = plan(before, node_id)
    leases = dict(before.leases)
    for share in what.claims:
        lease = leases.get(share)
        assert lease is None or lease.node_id not in before.nodes, "taken from a node that is alive"
        leases[share] = Lease(node_id=node_id, epoch=Epoch(lease.epoch + 1 if lease else 1))
    for share in what.surplus:
        assert leases[share].node_id == node_id
        leases[share] = replace(leases[share], node_id=NodeId(""))
    return Standing(nodes=before.nodes, leases=leases)


def partitions_of(it: Standing, node_id: NodeId) -> int:
    return sum(lease.node_id == node_id for share, lease in it.leases.items() if share in PARTITION_SHARES)


def test_a_node_that_is_alone_takes_everything_at_once() -> None:
    alone = node(1)
    after = carried_out(standing(alone), alone.node_id)
    assert set(after.leases) == {*PARTITION_SHARES, *DUTIES}
    assert plan(after, alone.node_id).claims == plan(after, alone.node_id).surplus == ()


def test_who_does_not_push_takes_no_partition() -> None:
    gateway = node(1, frozenset({Role.GATEWAY}))
    claims = plan(standing(gateway), gateway.node_id).claims
    assert set(claims) == {duty for duty, role in DUTIES.items() if role is Role.GATEWAY}
    rest = node(2, frozenset({Role.REST}))
    assert plan(standing(rest), rest.node_id).claims == ()


def test_who_retires_gives_back_what_the_others_take() -> None:
    one, other = node(1), node(2)
    both = carried_out(carried_out(standing(one, other), one.node_id), other.node_id)
    retired = replace(both, nodes={**both.nodes, one.node_id: replace(one, roles=frozenset())})
    assert plan(retired, one.node_id).claims == ()
    after = carried_out(carried_out(retired, one.node_id), other.node_id)
    assert (partitions_of(after, one.node_id), partitions_of(after, other.node_id)) == (0, PARTITIONS)


def test_nodes_that_come_together_ask_for_different_partitions() -> None:
    nodes = [node(number) for number in range(4)]
    asked = [set(plan(standing(*nodes), each.node_id).claims) & set(PARTITION_SHARES) for each in nodes]
    assert sorted(map(len, asked)) == [16, 16, 16, 16]
    assert len(set().union(*asked)) == PARTITIONS


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 60))
def test_whoever_comes_and_goes_all_is_shared_out_in_the_end(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    it = NOBODY
    born = 0
    for _ in range(steps):
        alive = list(it.nodes)
        match chance.choice(("come", "go", "look", "look", "look")):
            case "come" if len(alive) < 9:
                born += 1
                it = replace(it, nodes={**it.nodes, node(born).node_id: node(born)})
            case "go" if alive:
                gone = chance.choice(alive)
                it = replace(it, nodes={key: each for key, each in it.nodes.items() if key != gone})
            case _ if alive:
                it = carried_out(it, chance.choice(alive))
    if not it.nodes:
        return
    for _ in range(3):
        for node_id in it.nodes:
            it = carried_out(it, node_id)
    counts = [partitions_of(it, node_id) for node_id in it.nodes]
    assert sum(counts) == PARTITIONS
    assert max(counts) <= -(-PARTITIONS // len(counts))
    assert all(it.leases[duty].node_id in it.nodes for duty in DUTIES)
