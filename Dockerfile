# syntax=docker/dockerfile:1
# One binary, no shell, no root. Build: docker build -t bellwire .
# A test (tests/architecture.rs) keeps the Rust version equal to Cargo.toml's and the copied paths existing.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# The image has the C compiler that `ring` needs.
COPY . .
# The caches are gone after the step, so the binary is copied out of them within it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin bellwire \
    && install -D target/release/bellwire /out/bellwire \
    && install -d /out/data

# Debian 12 as above, so that glibc fits; it has CA certificates, and uid 65532 as `nonroot`.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/bellwire /usr/local/bin/bellwire
# The embedded store's folder; relative paths of the defaults start in the working directory.
COPY --from=build --chown=65532:65532 /out/data /var/lib/bellwire/data
WORKDIR /var/lib/bellwire
VOLUME /var/lib/bellwire/data
# The defaults listen on loopback, which nobody outside the container reaches.
ENV BELLWIRE__HTTP__LISTEN=0.0.0.0:8080 \
    BELLWIRE__HTTP__OPS_LISTEN=0.0.0.0:9090
EXPOSE 8080 9090
# `docker stop` kills after 10 s; http.shutdown_grace is 15 s, so stop with `--time 20`.
ENTRYPOINT ["/usr/local/bin/bellwire"]
CMD ["serve"]
