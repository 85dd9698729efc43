# Two stages: what builds the environment stays behind.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /usr/local/orch
COPY requirements.lock ./
RUN /usr/local/orch/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml LICENSE celeryconfig.py ./
COPY orch orch
COPY web web
RUN /usr/local/orch/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
    && rm -rf /var/lib/apt/lists/*
# Agents run with this user's rights: none beyond its own folder.
RUN useradd --system --uid 10001 --create-home --shell /usr/sbin/nologin orch \
    && install -d -o orch -g orch /var/lib/orch
COPY --from=build /usr/local/orch /usr/local/orch
COPY --chown=root:root examples /etc/orch
ENV PATH=/usr/local/orch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ORCH_CONFIG=/etc/orch/orch.toml \
    ORCH_DATA_DIR=/var/lib/orch
USER orch
WORKDIR /var/lib/orch
VOLUME /var/lib/orch
CMD ["orch", "--help"]
