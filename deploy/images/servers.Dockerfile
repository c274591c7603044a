# Servers that Kaon uses: the public images, started by scripts that take their settings from the environment. Context: deploy/images.
# The same scripts work on what `make images` builds where no registry of images is reached (local.Dockerfile).

ARG KAFKA_BASE=apache/kafka:4.4.0
ARG POSTGRES_BASE=postgres:15-bookworm
ARG REGISTRY_BASE=registry:2.8.3
ARG GATEWAY_BASE=haproxy:2.6-bookworm
ARG OBJECT_STORE_BASE=versity/versitygw:v1.8.0

FROM ${KAFKA_BASE} AS kafka
USER root
RUN mkdir -p /var/lib/kafka/data /var/lib/kafka/conf && chown -R 1000:1000 /var/lib/kafka
COPY entry/kafka.sh /usr/local/bin/kafka-node
COPY --chmod=755 stay-healthy.sh /usr/local/bin/stay-healthy
USER 1000
EXPOSE 9092 9093
HEALTHCHECK --interval=5s --timeout=90s --start-period=90s --retries=6 CMD ["stay-healthy", "bash", "-c", "</dev/tcp/127.0.0.1/9092"]
ENTRYPOINT ["kafka-node"]
ARG VERSION=dev
LABEL org.opencontainers.image.title="kaon kafka" org.opencontainers.image.version=$VERSION

FROM ${POSTGRES_BASE} AS postgres
USER root
RUN mkdir -p /var/lib/postgresql/data && chown -R postgres:postgres /var/lib/postgresql/data
COPY entry/postgres.sh /usr/local/bin/postgres-node
COPY --chmod=755 stay-healthy.sh /usr/local/bin/stay-healthy
USER postgres
EXPOSE 5432
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --timeout=90s --start-period=90s --retries=6 CMD ["stay-healthy", "postgres-node", "healthy"]
ENTRYPOINT ["postgres-node"]
ARG VERSION=dev
LABEL org.opencontainers.image.title="kaon postgres" org.opencontainers.image.version=$VERSION

FROM ${REGISTRY_BASE} AS registry
USER root
RUN mkdir -p /var/lib/registry && chown 10001:10001 /var/lib/registry
COPY entry/registry.sh /usr/local/bin/registry-node
COPY --chmod=755 healthcheck.sh /usr/local/bin/healthcheck
COPY --chmod=755 stay-healthy.sh /usr/local/bin/stay-healthy
COPY registry.yml /etc/kaon/registry.yml
USER 10001:10001
EXPOSE 5000
HEALTHCHECK --interval=5s --timeout=90s --start-period=90s --retries=6 CMD ["stay-healthy", "registry-node", "healthy"]
ENTRYPOINT ["registry-node"]
ARG VERSION=dev
LABEL org.opencontainers.image.title="kaon registry" org.opencontainers.image.version=$VERSION

# One address for any number of coordinators.
FROM ${GATEWAY_BASE} AS gateway
USER root
COPY gateway.cfg engines.cfg /etc/kaon/
COPY --chmod=755 stay-healthy.sh /usr/local/bin/stay-healthy
USER 10001:10001
EXPOSE 7070
HEALTHCHECK --interval=5s --timeout=90s --start-period=90s --retries=6 CMD ["stay-healthy", "bash", "-c", "</dev/tcp/127.0.0.1/7070"]
ENTRYPOINT ["haproxy", "-W", "-db", "-f", "/etc/kaon/gateway.cfg"]
ARG VERSION=dev
LABEL org.opencontainers.image.title="kaon gateway" org.opencontainers.image.version=$VERSION

FROM ${OBJECT_STORE_BASE} AS object-store
USER root
RUN mkdir -p /var/lib/objects && chown 10001:10001 /var/lib/objects
COPY entry/object-store.sh /usr/local/bin/object-store-node
COPY --chmod=755 healthcheck.sh /usr/local/bin/healthcheck
COPY --chmod=755 stay-healthy.sh /usr/local/bin/stay-healthy
USER 10001:10001
WORKDIR /var/lib/objects
EXPOSE 9000
HEALTHCHECK --interval=5s --timeout=90s --start-period=90s --retries=6 CMD ["stay-healthy", "object-store-node", "healthy"]
ENTRYPOINT ["object-store-node"]
ARG VERSION=dev
LABEL org.opencontainers.image.title="kaon object-store" org.opencontainers.image.version=$VERSION
