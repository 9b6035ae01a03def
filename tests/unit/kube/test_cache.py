"""Caches and models: lists find what events missed, broken objects are reported and left out."""

from tests.support.manifests import POOL, changed
from tests.unit.kube import pods

from farthing.api import GPUNodePool
from farthing.kube.cache import Cache, Models, drop_managed_fields, key_of
from farthing.kube.watches import trim_pod


def thing(name, version="1", **more):
    return {"metadata": {"name": name, "resourceVersion": version, **more}}


def test_a_list_finds_what_no_event_told():
    cache = Cache()
    assert cache.replace([thing("a"), thing("b"), thing("c")]) == ("a", "b", "c")
    assert cache.replace([thing("a"), thing("b", "2"), thing("d")]) == ("b", "c", "d")
    assert [key_of(item) for item in cache] == ["a", "b", "d"]


def test_events():
    cache = Cache()
    assert cache.apply("ADDED", thing("a", namespace="team")) == "team/a"
    cache.apply("MODIFIED", thing("a", "2", namespace="team"))
    assert cache.get("team/a")["metadata"]["resourceVersion"] == "2"
    cache.apply("DELETED", thing("a", "3", namespace="team"))
    assert len(cache) == 0


def test_managed_fields_are_dropped():
    assert "managedFields" not in drop_managed_fields(thing("a", managedFields=[1]))["metadata"]


def test_models_are_parsed_once_a_version():
    cache, broken = Cache(), []
    models = Models(cache, GPUNodePool, lambda key, error: broken.append((key, error.errors()[0]["loc"])))
    good = changed(POOL, {"metadata.resourceVersion": "1"})
    cache.replace([good, changed(POOL, {"metadata.name": "bad", "metadata.resourceVersion": "1", "spec.maxNodes": "many"})])
    first = models.all()
    assert list(first) == ["slots"]
    assert models.all()["slots"] is first["slots"]
    assert broken == [("bad", ("spec", "maxNodes"))]
    cache.apply("MODIFIED", changed(good, {"metadata.resourceVersion": "2", "spec.maxNodes": 7}))
    assert models.all()["slots"].spec.max_nodes == 7


def test_foreign_pods_keep_only_what_their_node_is_charged():
    foreign = {**pods.RUNNING, "metadata": {**pods.RUNNING["metadata"], "labels": {}}}
    trimmed = trim_pod(foreign)
    assert trimmed["spec"] == {
        "nodeName": "gpu-0",
        "containers": [{"resources": foreign["spec"]["containers"][0]["resources"]}],
        "initContainers": [],
    }
    assert trimmed["status"] == {"phase": "Running"}
    assert "podIP" in trim_pod(pods.RUNNING)["status"]
    assert trim_pod(pods.RUNNING)["metadata"]["managedFields"] == [{"time": pods.RUNNING_AT, "subresource": "status"}]
