# Stands in for public images on machines that reach no registry of images. They have what servers.Dockerfile expects of the public
# ones: the same programs, users and places. Context: .kaon/images.

ARG PYTHON_BASE
# Word for word as in Dockerfile: the two share this layer.
FROM ${PYTHON_BASE} AS jre
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked --mount=type=cache,target=/var/cache/apt,sharing=locked \
    mkdir -p /usr/share/man/man1 /usr/share/man/man7 && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless

FROM jre AS kafka
RUN useradd --uid 1000 appuser
COPY kafka /opt/kafka/libs

FROM ${PYTHON_BASE} AS postgres
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked --mount=type=cache,target=/var/cache/apt,sharing=locked \
    mkdir -p /usr/share/man/man1 /usr/share/man/man7 && apt-get update -qq \
    && mkdir /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold postgresql-15

FROM ${PYTHON_BASE} AS registry
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked --mount=type=cache,target=/var/cache/apt,sharing=locked \
    mkdir -p /usr/share/man/man1 /usr/share/man/man7 && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-registry

FROM ${PYTHON_BASE} AS gateway
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked --mount=type=cache,target=/var/cache/apt,sharing=locked \
    mkdir -p /usr/share/man/man1 /usr/share/man/man7 && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy

FROM ${PYTHON_BASE} AS object-store
COPY object-store/versitygw /usr/local/bin/versitygw
