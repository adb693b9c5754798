# Limner for a host with an NVIDIA GPU (and the NVIDIA container toolkit). The steps are those of `make setup`.
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
# The optional parts: add `cluster` for Ray, `fp8` for eight bits.
ARG EXTRAS=postgres,s3
RUN python -m venv /app/.venv
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The dependencies change seldom: installing them before the code comes keeps this layer, the largest by far, cached.
RUN mkdir -p bot generation storage \
    && touch bot/__init__.py generation/__init__.py storage/__init__.py \
    && .venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -e ".[$EXTRAS]"
COPY bot bot
COPY generation generation
COPY storage storage
COPY config.toml ./

FROM python:3.11-slim-bookworm
# generation.compile builds its kernels with a C compiler.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 limner \
    && install -d -o limner -g limner /data /models
COPY --from=build --chown=root:root /app /app
WORKDIR /app
USER limner
# /data holds the database, the pictures and what was compiled; /models the weights that the hub hands out. Keep both on volumes.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/models \
    LIMNER_STORAGE__DATABASE=sqlite+aiosqlite:////data/limner.sqlite3 \
    LIMNER_STORAGE__FILES=/data/files \
    LIMNER_GENERATION__COMPILE_FOLDER=/data/compiled \
    LIMNER_METRICS__ENABLED=true \
    LIMNER_METRICS__PORT=9464
VOLUME ["/data", "/models"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "bot"]
CMD ["run"]
