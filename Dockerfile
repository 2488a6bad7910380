# agentstack-exporter as an image: built in one stage, run in another that has no compiler, no pip and no shell scripts of ours.
# syntax: BuildKit is not needed. Another base: --build-arg BASE_IMAGE=… (Debian with Python 3.11 or newer as python3).
ARG BASE_IMAGE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
# The base's own compiler, of whatever version; it stays in this stage. Debian's Python keeps its headers in a package of their own.
# hadolint ignore=DL3008
RUN apt-get update \
    && headers="$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
    && if [ ! -e "$headers/Python.h" ]; then apt-get install --yes --no-install-recommends python3-dev; fi \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv --copies /opt/venv \
    && /opt/venv/bin/python -m pip install --require-hashes --only-binary :all: --requirement requirements.lock \
    && python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --only-binary :all: --requirement requirements-build.lock
COPY LICENSE README.md hatch_build.py pyproject.toml ./
COPY exporter ./exporter
# The wheel that anybody builds from these sources, and not a plain one. The tap's old name is not in the image, so neither is the tap.
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /src/dist \
    && /opt/venv/bin/python -m pip install --no-deps --no-index /src/dist/*.whl \
    && /opt/venv/bin/python -P -c 'from exporter.compiled import BUILD; assert BUILD == "compiled", BUILD' \
    && cp LICENSE /opt/venv/LICENSE \
    && /opt/venv/bin/python -m pip uninstall --yes pip \
    && /opt/venv/bin/python -m compileall -q -j 0 /opt/venv/lib

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="agentstack-exporter" \
      org.opencontainers.image.description="Prometheus and OpenTelemetry exporter for Plivo AgentStack voice agents" \
      org.opencontainers.image.source="https://github.com/plivo/agentstack-exporter" \
      org.opencontainers.image.documentation="https://github.com/plivo/agentstack-exporter/blob/main/README.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root. Nothing is written: the root file system may be read-only.
USER 65532:65532
EXPOSE 8790 8791
HEALTHCHECK --interval=15s --timeout=5s --start-period=5s --retries=3 CMD ["agentstack-exporter", "healthcheck"]
ENTRYPOINT ["agentstack-exporter"]
CMD ["serve"]
