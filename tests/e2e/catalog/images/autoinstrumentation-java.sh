# What it is: OpenTelemetry's Java agent itself, of Maven Central, in an image like that of the OpenTelemetry Operator.
image=ghcr.io/open-telemetry/opentelemetry-operator/autoinstrumentation-java:2.20.1
version=2.20.1
files=("$cache/opentelemetry-javaagent-$version.jar:/javaagent.jar")
part=long
prepare() {
  [ -s "$cache/opentelemetry-javaagent-$version.jar" ] && return
  mvn --quiet --batch-mode dependency:copy "-Dartifact=io.opentelemetry.javaagent:opentelemetry-javaagent:$version" \
    "-DoutputDirectory=$cache"
}
