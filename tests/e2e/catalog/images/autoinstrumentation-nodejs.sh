# What it is: OpenTelemetry's packages for Node.js themselves, of npm, in an image like that of the OpenTelemetry Operator.
image=ghcr.io/open-telemetry/opentelemetry-operator/autoinstrumentation-nodejs:0.69.0
files=("$cache/agent:/autoinstrumentation")
part=long
prepare() {
  [ -s "$cache/agent/autoinstrumentation.js" ] && return
  mkdir -p "$cache/agent"
  echo '{"private": true}' >"$cache/agent/package.json"
  npm install --prefix "$cache/agent" --no-audit --no-fund --omit=dev --ignore-scripts \
    @opentelemetry/api@1.9.0 @opentelemetry/auto-instrumentations-node@0.69.0
  find "$cache/agent" -name '*.map' -delete
  echo "require('@opentelemetry/auto-instrumentations-node/register');" >"$cache/agent/autoinstrumentation.js"
}
