FROM python:3.11-slim AS build
# For example --build-arg EXTRAS=[rl,data]
ARG EXTRAS=""
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY schemas schemas
COPY streams streams
COPY agents agents
COPY rl rl
COPY orchestrator orchestrator
COPY infra infra
RUN python -m venv /opt/finagent \
    && /opt/finagent/bin/pip install --no-cache-dir --constraint constraints.txt ".${EXTRAS}"

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home finagent && install -d -o finagent -g finagent /app /app/.finagent
COPY --from=build /opt/finagent /opt/finagent
COPY config /app/config
ENV PATH=/opt/finagent/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER finagent
EXPOSE 9000
ENTRYPOINT ["finagent"]
CMD ["orchestrator", "--mode", "production"]
