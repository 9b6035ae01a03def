# The operator's image, from the root of a checkout:  docker build -t farthing/operator .
#
#   requirements   the names that the `cli` extra needs (the operator and `farthing release`), and nothing else of pyproject.toml: what decides the
#                  layer of packages
#   code           the package, compiled; the local cluster is no part of it (.dockerignore)
#   last           python, the packages in a virtual environment, the code: a change of code moves only the last layer

FROM python:3.11-slim-bookworm AS requirements
WORKDIR /build
COPY pyproject.toml constraints.tx[t] ./
COPY scripts/list_requirements.py scripts/
# A fixed time, so that the copy below is the same layer whenever the list is the same.
RUN python scripts/list_requirements.py cli > requirements.txt && touch constraints.txt \
    && touch --date=@0 requirements.txt constraints.txt

FROM python:3.11-slim-bookworm AS code
COPY operator/farthing /app/farthing
RUN python -m compileall -q --invalidation-mode unchecked-hash /app

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 farthing && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin farthing
COPY --from=requirements /build/requirements.txt /build/constraints.txt /opt/farthing/
# Of a builder behind a proxy with a certificate of its own; not kept in the image.
ARG PIP_CERT
RUN python -m venv /opt/farthing && /opt/farthing/bin/pip install --no-cache-dir --disable-pip-version-check --compile \
    -r /opt/farthing/requirements.txt -c /opt/farthing/constraints.txt
# PYTHONUNBUFFERED: a log line is seen when it is written, not when a buffer is full.
ENV PATH=/opt/farthing/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /app
CMD ["kopf", "run", "--standalone", "--all-namespaces", "-m", "farthing.controller"]
COPY --from=code /app /app
