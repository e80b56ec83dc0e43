# What there is to do here. `just` lists it; https://just.systems

# Lists the recipes.
default:
    @just --list --unsorted

# Everything that CI runs, in the same way.
check:
    .ci/run

# Every test, or those whose name has `filter`.
test *filter:
    ./test {{ filter }}

# Whole calls between real LiveKit clients on a real LiveKit server, alone.
e2e-livekit *filter:
    ./test --test e2e {{ filter }}

# What schemathesis finds at a gateway that it knows by its OpenAPI document alone; docs/SECURITY-MODEL.md. Needs Python with venv.
schemathesis *args:
    cargo build --release --locked
    tests/schemathesis/run --binary target/release/bellwire --examples 150 --at-least 20000 {{ args }}

# Fuzzes every input from outside for so many seconds each, or the targets that are named; docs/SECURITY-MODEL.md. Needs a C++ compiler.
fuzz seconds="60" *targets:
    fuzz/run {{ seconds }} {{ targets }}

# Formats the code.
fmt:
    cargo fmt

# A whole call between simulated phones, without keys, certificates or a LiveKit server.
demo *args:
    cargo run --locked -- demo {{ args }}

# Starts the gateway on a configuration of your own.
serve *args:
    cargo run --locked -- serve {{ args }}

# Measures Bellwire, what a team would write instead, and the floor, side by side; writes the tables and plots of docs/PERFORMANCE.md.
bench *args:
    benches/load/run {{ args }}

# Measures parts of the code, each alone.
bench-parts *args:
    cargo bench --locked {{ args }}

# Calculates and simulates what so many users need: the tables of docs/SCALING.md (--write, --check). Needs Python 3.
scaling *args:
    benches/scaling/scaling.py {{ args }}

# Breaks gateways, Redis and the wires between them under load, and checks every promise; docs/RELIABILITY.md. Needs redis-server.
chaos *args:
    cargo build --locked --bins --example chaos
    cargo run --locked --example chaos -- {{ args }}

# Runs this version beside another one (a ref; the last release if none is named) on one Redis, upgrades and takes back all the time, and
# checks every promise; docs/OPERATIONS.md. Options after the ref go to the chaos run.
upgrade *args:
    examples/chaos/upgrade {{ args }}

# What a release must pass: check, licences and advisories, the benchmarks, the release before beside it, the image.
full: check bench upgrade docker
    cargo deny --locked check

# Builds the program as it is released, by what it runs under load, into target/pgo; docs/DEPLOY.md. Where there is cargo-auditable, the list of its crates is in it:
# `cargo audit bin target/pgo/bellwire` reads it.
release:
    deploy/pgo/build

# Builds the image as it is released.
docker tag="bellwire":
    docker build --build-arg BUILD=pgo --tag {{ tag }} .

# Opens the documentation of the code, private parts included.
docs:
    cargo doc --locked --lib --no-deps --document-private-items --open
