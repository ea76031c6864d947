# One image, every role:
#   docker build -t wattswap . && docker run -p 8000:8000 -p 1883:1883 wattswap
# The command line is that of `wattswap`; docker-compose.yml runs the roles apart.

FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# First what the project depends on: this layer stays as long as uv.lock does.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project
COPY README.md LICENSE ./
COPY wattswap_mqtt ./wattswap_mqtt
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.13-slim
RUN useradd --uid 1000 --create-home wattswap && install -d -o wattswap /data
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 WATTSWAP_DATA_DIR=/data
USER wattswap
VOLUME /data
EXPOSE 8000 1883
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s \
    CMD ["python", "-m", "wattswap_mqtt.healthcheck", "bridge"]
ENTRYPOINT ["wattswap"]
CMD ["up", "--http-host", "0.0.0.0", "--mqtt-host", "0.0.0.0"]
