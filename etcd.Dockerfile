# etcd for compose.yaml, out of Debian's packages: a version that is fit for production, with the etcdctl of its health check.
FROM debian:13-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends etcd-client etcd-server \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["etcd"]
