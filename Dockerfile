# For x86-64 and arm64; every package has a wheel for both. See docs/guides/service.md.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY edge_fairmot edge_fairmot
COPY runtimes runtimes
COPY convert convert
COPY benchmarks benchmarks
RUN python -m venv /opt/edge-fairmot \
    && /opt/edge-fairmot/bin/pip install --no-cache-dir -c constraints.txt '.[cpu,live,web,mqtt]'

FROM python:3.12-slim-bookworm
COPY --from=build /opt/edge-fairmot /opt/edge-fairmot
RUN useradd --system --uid 10001 --no-create-home edge-fairmot && install -d -o edge-fairmot /data
USER 10001
WORKDIR /data
# What a run keeps between starts: the page's token, events that wait for the broker.
ENV STATE_DIRECTORY=/data
VOLUME /data
# A run touches this file every second, unless it is stalled; in memory, to spare an SD card.
ENV EDGE_FAIRMOT_HEALTH_FILE=/dev/shm/edge-fairmot.health
# hadolint ignore=DL3025
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD test -n "$(find "$EDGE_FAIRMOT_HEALTH_FILE" -newermt '-15 seconds')"
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/edge-fairmot/bin/edge-fairmot"]
CMD ["live", "--config", "/etc/edge-fairmot/live.toml"]
