//! Tests of the parts together, on the wire and on disk.

mod store_laws;
