"""What a job's template can reach: nothing of the node, nothing of another job, nothing that its writer could not have."""

import pytest
from tests.controller.tenants.conftest import Attempt, People, a_job
from tests.support.manifests import Manifest

pytestmark = pytest.mark.controller


def volume(**source: object) -> Manifest:
    return {"volumes": [{"name": "v", **source}]}


FORBIDDEN = {
    "hostPath": volume(hostPath={"path": "/"}),
    "nfs": volume(nfs={"server": "s", "path": "/"}),
    "image volume": volume(image={"reference": "r"}),
    "hostPath beside a kind that is allowed": volume(emptyDir={}, hostPath={"path": "/"}),
    "over the run config": {
        **volume(emptyDir={}),
        "volumeMounts": [{"name": "v", "mountPath": "/etc/farthing/run"}],
    },
    "over the token": {**volume(emptyDir={}), "volumeMounts": [{"name": "v", "mountPath": "/etc/farthing/token"}]},
}
OTHERS = "other-0a1b2-3"
REACHING = {
    "secret": volume(secret={"secretName": OTHERS}),
    "config map": volume(configMap={"name": OTHERS}),
    "projected secret": volume(projected={"sources": [{"downwardAPI": {}}, {"secret": {"name": OTHERS}}]}),
    "projected config map": volume(projected={"sources": [{"configMap": {"name": OTHERS}}]}),
    "a driver's secret": volume(csi={"driver": "d", "nodePublishSecretRef": {"name": OTHERS}}),
    "variable of a secret": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": OTHERS, "key": "token"}}}]},
    "variable of a config map": {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": OTHERS, "key": "k"}}}]},
    "all of a secret": {"envFrom": [{"secretRef": {"name": OTHERS}}]},
    "all of a config map": {"envFrom": [{"configMapRef": {"name": OTHERS}}]},
}
NODE = ("hostNetwork", "hostPID", "hostIPC", "nodeName", "initContainers", "containers", "securityContext", "hostUsers")
NODE_FIELDS = {name: {name: [] if name.endswith("ontainers") else {}} for name in NODE}
TOKEN = volume(projected={"sources": [{"serviceAccountToken": {"path": "token", "audience": "api"}}]})


@pytest.mark.parametrize("template", FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_node_and_farthings_own_mounts_are_out_of_reach(people: People, template: Manifest) -> None:
    answer = people.tenant.create(a_job(**{"spec.template": template}))
    if answer.done:  # an unknown kind of volume is dropped before the rules see it
        assert "hostPath" not in str(answer.body["spec"])
    else:
        assert answer.refuses("template.volume")


@pytest.mark.parametrize("template", NODE_FIELDS.values(), ids=NODE_FIELDS)
def test_fields_outside_the_list_do_not_exist(people: People, template: Manifest) -> None:
    job = a_job(**{"spec.template": template})
    (name,) = template
    strict = people.tenant.ask("POST", _collection(job) + "?fieldValidation=Strict", job)
    assert strict.code == 400
    assert f'unknown field "spec.template.{name}"' in strict.message
    assert name not in people.tenant.create(job).body["spec"]["template"]


@pytest.mark.parametrize("template", REACHING.values(), ids=REACHING)
def test_what_another_attempt_keeps_is_shown_to_no_job(people: People, template: Manifest) -> None:
    for person in (people.tenant, people.treasurer):
        assert person.create(a_job(**{"spec.template": template})).refuses("hold its token and its run config")
    spelt_otherwise = _renamed(template, "team-credentials")
    assert people.tenant.create(a_job(**{"spec.template": spelt_otherwise})).done


def test_nor_by_a_later_change(people: People, attempt: Attempt) -> None:
    reaching = {"spec": {"template": volume(secret={"secretName": attempt.name})}}
    assert people.tenant.patch(a_job("standing"), reaching).refuses("hold its token")


@pytest.mark.parametrize(
    "template",
    [{"serviceAccountName": "ci"}, TOKEN, {"image": "mine"}, volume(secret={"secretName": "ci"}), {"resources": {}}],
    ids=["account", "token", "image", "secret", "anything"],
)
def test_a_template_needs_the_right_to_make_pods(people: People, template: Manifest) -> None:
    job = a_job(**{"spec.template": template})
    assert people.author.create(job).refuses("may not write spec.template: it is a part of a pod")
    assert people.author.patch(a_job("standing"), {"spec": {"template": template}}).refuses("may not write spec.template")
    assert people.tenant.create(job).done


def test_without_one_a_job_needs_none(people: People, attempt: Attempt) -> None:
    assert people.author.create(a_job()).done
    assert people.author.patch(a_job("standing"), {"spec": {"suspend": False}}).done


def test_annotations_of_the_whole_job_are_no_template(people: People) -> None:
    """A controller that only touches metadata needs no right to pods, whatever the template says."""
    borrowed = a_job("borrowed", **{"spec.template": {"serviceAccountName": "ci"}, "spec.suspend": True})
    assert people.tenant.create(borrowed, dry=False).done
    assert people.author.patch(borrowed, {"metadata": {"annotations": {"a": "b"}}}).done
    assert people.author.patch(borrowed, {"spec": {"template": {"image": "mine"}}}).refuses("may not write spec.template")


def _collection(job: Manifest) -> str:
    return f"/apis/farthing.dev/v1alpha1/namespaces/{job['metadata']['namespace']}/budgetedtrainingjobs"


def _renamed(template: object, name: str) -> object:
    """The same template, pointing at another name."""
    if isinstance(template, dict):
        return {key: _renamed(value, name) for key, value in template.items()}
    if isinstance(template, list):
        return [_renamed(value, name) for value in template]
    return name if template == OTHERS else template
