# Limner for a host with an NVIDIA GPU (and the NVIDIA container toolkit). The steps are those of `make setup`.
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
RUN python -m venv /app/.venv
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The dependencies change seldom: installing them before the code comes keeps this layer, the largest by far, cached.
RUN mkdir -p bot generation storage \
    && touch bot/__init__.py generation/__init__.py storage/__init__.py \
    && .venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -e '.[postgres,s3]'
COPY bot bot
COPY generation generation
COPY storage storage
COPY config.toml ./

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 1000 limner \
    && install -d -o limner -g limner /data /models
COPY --from=build --chown=root:root /app /app
WORKDIR /app
USER limner
# /data holds the database and the pictures; /models the weights that the hub hands out. Keep both on volumes.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/models \
    LIMNER_STORAGE__DATABASE=sqlite+aiosqlite:////data/limner.sqlite3 \
    LIMNER_STORAGE__FILES=/data/files \
    LIMNER_METRICS__ENABLED=true \
    LIMNER_METRICS__PORT=9464
VOLUME ["/data", "/models"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "bot"]
CMD ["run"]
