# Two stages: the first builds the wheel and installs it with its locked dependencies, the second runs it as nobody in
# particular. Build: docker build -t milepost .
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
RUN apt-get update -q && apt-get install -q -y --no-install-recommends gcc libc6-dev
RUN python -m venv /opt/milepost
ENV PATH=/opt/milepost/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY examples examples
COPY consumers consumers
COPY producers producers
COPY src src
COPY ops/compiled.py ops/compiled.py
RUN MILEPOST_COMPILE=1 pip install --no-deps --no-build-isolation .

FROM python:3.11.14-slim-bookworm
RUN groupadd --gid 10001 milepost && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin milepost \
 && install -d -o milepost -g milepost /var/lib/milepost /var/lib/milepost/evidence /var/lib/milepost/anchors
COPY --from=build /opt/milepost /opt/milepost
ENV PATH=/opt/milepost/bin:$PATH PYTHONUNBUFFERED=1 MILEPOST_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/milepost
ENTRYPOINT ["milepost"]
CMD ["--help"]
