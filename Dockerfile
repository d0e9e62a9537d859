# The image of the webhook: one static program, nothing else, not even a shell.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) --tag outrigger:dev .
#
# By itself it does not start: give it a certificate and templates, and addresses that can be reached from outside.
#
#   docker run -p 9443:9443 -v "$PWD/certs:/certs:ro" -v "$PWD/templates:/templates:ro" outrigger:dev serve --templates /templates \
#     --tls-cert /certs/tls.pem --tls-key /certs/tls.key --listen 0.0.0.0:9443 --admin-listen 0.0.0.0:8080
#
# The program is linked against glibc statically; it finds the API server by address and brings its own certificates, so that
# an empty base serves. BUILDER may name any image with that version of Rust and a C compiler.
ARG BUILDER=rust:1.95
ARG BASE=scratch

FROM ${BUILDER} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY config config
# Cargo wants to see every target that Cargo.toml names; the image needs only the program.
RUN for file in benches/engine.rs $(sed -n 's/^path = "\(.*\)"$/\1/p' Cargo.toml); do \
      [ -e "$file" ] || { mkdir -p "${file%/*}" && echo 'fn main() {}' > "$file"; } || exit 1; \
    done
# `outrigger serve` tells it as /version and in outrigger_build_info.
ARG REVISION=
ENV OUTRIGGER_REVISION=${REVISION}
# With an explicit target the flag does not reach build scripts and procedural macros, which cannot be linked statically.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --profile dist --locked --bin outrigger --target "$target" \
 && install -D -m 0755 "target/$target/dist/outrigger" /out/outrigger

FROM ${BASE}
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Outrigger" \
      org.opencontainers.image.description="A Kubernetes sidecar injector: templates, annotations, a mutating admission webhook" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/outrigger /outrigger
USER 65532:65532
EXPOSE 9443 8080
ENTRYPOINT ["/outrigger"]
# Arguments of a manifest replace these; the default of the program is to listen on loopback alone.
CMD ["serve", "--listen", "0.0.0.0:9443", "--admin-listen", "0.0.0.0:8080"]
