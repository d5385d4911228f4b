# One image for every service; compose.yaml says which of them a container runs.
# `docker build -t parallax .` needs a package index and nothing else: every package is in the lock, with its hash.

FROM python:3.11-slim AS build
COPY requirements/services.txt /tmp/services.txt
# Wheels only: an sdist would be built with tools that no lock names. The environment itself needs no pip.
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --no-deps --only-binary :all: --require-hashes -r /tmp/services.txt \
    && echo /opt/parallax >"$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/parallax.pth" \
    && printf '#!/bin/sh\nexec /opt/venv/bin/python -P -m parallax "$@"\n' >/opt/venv/bin/parallax \
    && chmod 755 /opt/venv/bin/parallax
WORKDIR /opt/parallax
COPY LICENSE ./
COPY parallax parallax
COPY services services
COPY shared shared
COPY compiler compiler
COPY schemas schemas
COPY patterns patterns
# Compiled here, because a service cannot write there; readable by it, whatever the umask of the checkout was.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R u=rwX,go=rX .

FROM python:3.11-slim
# A number, so that Kubernetes can tell that it is not root; always the same, so that volumes stay readable.
RUN useradd --uid 10001 --user-group --no-log-init --no-create-home --home-dir /var/lib/parallax parallax \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/parallax /var/lib/parallax/workspaces
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/parallax /opt/parallax
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PARALLAX_PATTERNS_DIR=/opt/parallax/patterns \
    PARALLAX_WORKSPACES_DIR=/var/lib/parallax/workspaces
USER 10001:10001
WORKDIR /var/lib/parallax
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-P", "-m"]
CMD ["services.gateway"]
