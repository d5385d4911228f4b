# One image for every service; compose.yaml says which of them a container runs.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements/services.txt requirements/services.txt
RUN python -m venv /opt/parallax \
    && /opt/parallax/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/services.txt
COPY pyproject.toml README.md LICENSE ./
COPY parallax parallax
COPY services services
COPY shared shared
COPY compiler compiler
COPY schemas schemas
COPY patterns patterns
RUN /opt/parallax/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim
RUN useradd --system --create-home --home-dir /var/lib/parallax parallax \
    && mkdir -p /var/lib/parallax/workspaces && chown -R parallax: /var/lib/parallax
COPY --from=build /opt/parallax /opt/parallax
COPY patterns /opt/patterns
ENV PATH=/opt/parallax/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PARALLAX_PATTERNS_DIR=/opt/patterns \
    PARALLAX_WORKSPACES_DIR=/var/lib/parallax/workspaces
USER parallax
WORKDIR /var/lib/parallax
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-P", "-m"]
CMD ["services.gateway"]
