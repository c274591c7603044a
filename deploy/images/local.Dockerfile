# Stands in for public images on machines that reach no registry of images. They have what servers.Dockerfile expects of the public
# ones: the same programs, users and places. Context: .kaon/images.

ARG PYTHON_BASE
FROM ${PYTHON_BASE} AS kafka
RUN mkdir -p /usr/share/man/man1 /usr/share/man/man7 && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 appuser
COPY kafka /opt/kafka/libs

FROM ${PYTHON_BASE} AS postgres
RUN mkdir -p /usr/share/man/man1 /usr/share/man/man7 && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15 && rm -rf /var/lib/apt/lists/*

FROM ${PYTHON_BASE} AS registry
RUN mkdir -p /usr/share/man/man1 /usr/share/man/man7 && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-registry && rm -rf /var/lib/apt/lists/*

FROM ${PYTHON_BASE} AS gateway
RUN mkdir -p /usr/share/man/man1 /usr/share/man/man7 && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy && rm -rf /var/lib/apt/lists/*

FROM ${PYTHON_BASE} AS object-store
COPY object-store/versitygw /usr/local/bin/versitygw
