"""What this API server serves."""

from farthing.kube.client import Client
from farthing.kube.resources import POD_GROUPS


async def native_gangs(client: Client) -> bool:
    """Whether pods can be scheduled as a gang: PodGroup of scheduling.k8s.io/v1beta1 (Kubernetes 1.37 with its gate)."""
    served = await client.get(POD_GROUPS.root)
    return served is not None and any(each["name"] == POD_GROUPS.plural for each in served.get("resources", ()))
