"""Where the API server is and who we are: the official client's own loading, nothing of ours beside it."""

import asyncio
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes.aio import config as official
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME

from farthing.errors import Unreachable

loading: Any = official
"""The client's configuration loaders, which carry no types."""


@dataclass(slots=True)
class Connection:
    """The server's URL, TLS and the way to a fresh bearer token."""

    server: str
    tls: ssl.SSLContext | None
    proxy: str | None
    _configuration: Any
    _refresher: "asyncio.Task[None] | None" = field(default=None)

    async def authorization(self) -> str | None:
        """The Authorization header; None where a client certificate says who we are.

        In a pod the token file is read again every minute: bound tokens live an hour.
        """
        token: str | None = await self._configuration.get_api_key_with_prefix("BearerToken")
        return token

    async def close(self) -> None:
        """Stop refreshing the token."""
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)


async def connect(kubeconfig: Path | None = None, context: str | None = None) -> Connection:
    """In a pod its service account, elsewhere a kubeconfig: the argument, $KUBECONFIG or ~/.kube/config.

    Raises Unreachable where there is neither.
    """
    configuration = Configuration()
    refresher = None
    try:
        if kubeconfig is None and context is None and SERVICE_HOST_ENV_NAME in os.environ and "KUBECONFIG" not in os.environ:
            loading.load_incluster_config(client_configuration=configuration)
        else:
            file = str(kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
            loader = await loading.load_kube_config(config_file=file, context=context, client_configuration=configuration)
            refresher = asyncio.create_task(loading.refresh_token(loader, configuration), name="refresh-token")
    except loading.ConfigException as error:
        raise Unreachable(f"no cluster to speak to: {error}; set KUBECONFIG or run in a pod") from error
    server = configuration.host.rstrip("/")
    tls = RESTClientObject(configuration).ssl_context if server.startswith("https") else None
    return Connection(server, tls, configuration.proxy, configuration, refresher)
