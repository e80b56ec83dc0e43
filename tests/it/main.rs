//! Bellwire from outside, one module a subject.

mod machine;
