# What it is: The exporter of StatsD itself, built of its Go module, at the path of the official image.
image=docker.io/prom/statsd-exporter:v0.31.0
part=long
version=0.31.0
files=("$cache/statsd_exporter-$version:/bin/statsd_exporter")
entrypoint=(/bin/statsd_exporter)
user=65534
prepare() {
  [ -x "$cache/statsd_exporter-$version" ] && return
  CGO_ENABLED=0 GOBIN=$cache/bin go install -trimpath "github.com/prometheus/statsd_exporter@v$version"
  mv "$cache/bin/statsd_exporter" "$cache/statsd_exporter-$version"
}
