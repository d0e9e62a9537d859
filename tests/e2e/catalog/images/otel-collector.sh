# What it is: The OpenTelemetry Collector itself, built of its Go modules by its own builder, at the path of the official image.
#
# It has the components that templates and cases of the catalog name; the official image has many more.
image=docker.io/otel/opentelemetry-collector-contrib:0.165.0
part=long
version=0.165.0
files=("$cache/otelcol-contrib-$version:/otelcol-contrib")
entrypoint=(/otelcol-contrib)
user=10001
prepare() {
  [ -x "$cache/otelcol-contrib-$version" ] && return
  local core=go.opentelemetry.io/collector contrib=github.com/open-telemetry/opentelemetry-collector-contrib
  rm -rf "$cache/build"
  mkdir -p "$cache/build"
  cat >"$cache/build/components.yaml" <<END
dist: {name: otelcol-contrib, output_path: $cache/build/source, version: $version}
extensions:
- gomod: $contrib/extension/healthcheckextension v$version
- gomod: $contrib/extension/storage/filestorage v$version
receivers:
- gomod: $contrib/receiver/filelogreceiver v$version
- gomod: $core/receiver/otlpreceiver v$version
processors:
- gomod: $core/processor/batchprocessor v$version
- gomod: $core/processor/memorylimiterprocessor v$version
- gomod: $contrib/processor/resourceprocessor v$version
exporters:
- gomod: $core/exporter/debugexporter v$version
- gomod: $core/exporter/otlpexporter v$version
- gomod: $core/exporter/otlphttpexporter v$version
- gomod: $contrib/exporter/fileexporter v$version
providers:
- gomod: $core/confmap/provider/envprovider v1.71.0
- gomod: $core/confmap/provider/fileprovider v1.71.0
- gomod: $core/confmap/provider/yamlprovider v1.71.0
END
  # `go mod tidy`, which the builder would run, wants modules of tests that not every proxy has.
  go run "$core/cmd/builder@v$version" --skip-get-modules --skip-compilation --config "$cache/build/components.yaml"
  (
    cd "$cache/build/source"
    go mod init otelcol-contrib
    sed -n 's/^- gomod: \(.*\) v/\1@v/p' ../components.yaml | xargs go get
    CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -ldflags '-s -w' -o "$cache/otelcol.part" .
  )
  mv "$cache/otelcol.part" "$cache/otelcol-contrib-$version"
  rm -rf "$cache/build"
}
