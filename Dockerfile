# syntax=docker/dockerfile:1
# One static binary, no shell, no root. Build: docker build -t bellwire .
# As a release is, by what the program runs under load, for less CPU and three times the wait: --build-arg BUILD=pgo
# A test (tests/architecture.rs) keeps the Rust version equal to Cargo.toml's and the copied paths existing; docs/DEPLOY.md says how each
# step was tried.

ARG BUILD=dist

FROM rust:1.95-slim-bookworm AS source
WORKDIR /src
# Writes the list of crates and their versions into the binary, where `cargo audit bin`, Trivy, Grype and Syft read it.
RUN cargo install --locked cargo-auditable@0.7.7
# The image has the C compiler that `ring` needs, and glibc's static libraries.
COPY . .

FROM source AS dist
# With a target named, build scripts and macros stay dynamic, as they must. The caches are gone after the step, so the binary is
# copied out of them within it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(rustc --print host-tuple)" \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo auditable build --locked --profile dist --target "$target" --bin bellwire \
    && install -D "target/$target/dist/bellwire" /out/bellwire

FROM source AS pgo
RUN apt-get update && apt-get install -y --no-install-recommends iproute2 redis-server && rustup component add llvm-tools
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    RUSTFLAGS="-C target-feature=+crt-static" deploy/pgo/build \
    && install -D target/pgo/bellwire /out/bellwire

FROM ${BUILD} AS build
RUN install -d /out/data

# CA certificates, time zones, /tmp, and uid 65532 as `nonroot`: two megabytes.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/bellwire /usr/local/bin/bellwire
# The embedded store's folder, the only place that is written to, and where relative paths of the defaults start.
COPY --from=build --chown=65532:65532 /out/data /var/lib/bellwire
WORKDIR /var/lib/bellwire
VOLUME /var/lib/bellwire
# The defaults listen on loopback, which nobody outside the container reaches.
ENV BELLWIRE__HTTP__LISTEN=0.0.0.0:8080 \
    BELLWIRE__HTTP__OPS_LISTEN=0.0.0.0:9090
EXPOSE 8080 9090
# Alive, not ready: an outage of the store must not have every gateway started again.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
    CMD ["/usr/local/bin/bellwire", "health", "--url", "http://127.0.0.1:9090"]
# SIGTERM ends it gently. `docker stop` kills after 10 s and http.shutdown_grace is 15 s: stop with `-t 20`.
ENTRYPOINT ["/usr/local/bin/bellwire"]
CMD ["serve"]
