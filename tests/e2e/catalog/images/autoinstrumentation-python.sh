# What it is: OpenTelemetry's packages for Python themselves, of PyPI, in an image like that of the OpenTelemetry Operator, with fewer
# instrumentations.
image=ghcr.io/open-telemetry/opentelemetry-operator/autoinstrumentation-python:0.59b0
files=("$cache/agent:/autoinstrumentation")
part=long
prepare() {
  [ -d "$cache/agent" ] && return
  rm -rf "$cache/agent.part"
  pip install --quiet --disable-pip-version-check --root-user-action ignore --no-compile --target "$cache/agent.part" \
    --python-version 3.11 --only-binary :all: opentelemetry-exporter-otlp-proto-http==1.38.0 opentelemetry-distro==0.59b0 \
    opentelemetry-instrumentation-{flask,requests,urllib,urllib3,wsgi,threading}==0.59b0
  mv "$cache/agent.part" "$cache/agent"
}
